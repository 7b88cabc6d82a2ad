// SPDX-License-Identifier: GPL-2.0

//! Ranges of I/O addresses, and what can be computed of them.

/// Addresses from `first` to `last`, both included, so that the end of the
/// address space can be part of one.
///
/// # Invariants
///
/// `first <= last`: a span is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    first: u64,
    last: u64,
}

impl Span {
    /// All addresses.
    // INVARIANT: 0 is the lowest.
    pub const ALL: Self = Self {
        first: 0,
        last: u64::MAX,
    };

    /// The span between two addresses, `None` if they are in the wrong order.
    pub const fn new(first: u64, last: u64) -> Option<Self> {
        if first <= last {
            // INVARIANT: Just checked.
            Some(Self { first, last })
        } else {
            None
        }
    }

    /// `length` bytes from `first` on; `None` if that is nothing or too much.
    pub const fn with_length(first: u64, length: u64) -> Option<Self> {
        match length.checked_sub(1) {
            Some(rest) => match first.checked_add(rest) {
                Some(last) => Self::new(first, last),
                None => None,
            },
            None => None,
        }
    }

    /// The block of size `1 << order` around `address`.
    ///
    /// `order` must be below 64.
    pub const fn block(address: u64, order: u32) -> Self {
        let mask = (1_u64 << order) - 1;
        // INVARIANT: Setting bits makes no number smaller.
        Self {
            first: address & !mask,
            last: address | mask,
        }
    }

    /// The lowest address.
    pub const fn first(self) -> u64 {
        self.first
    }

    /// The highest address.
    pub const fn last(self) -> u64 {
        self.last
    }

    /// What both have.
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }

    /// Is all of `other` in it?
    pub const fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// What of it lies below `other`.
    pub fn below(self, other: Self) -> Option<Self> {
        let last = other.first.checked_sub(1)?;
        Self::new(self.first, self.last.min(last))
    }

    /// What of it lies above `other`.
    pub fn above(self, other: Self) -> Option<Self> {
        let first = other.last.checked_add(1)?;
        Self::new(self.first.max(first), self.last)
    }

    /// The smallest span with both in it.
    pub fn hull(self, other: Self) -> Self {
        // INVARIANT: Each end moves outwards only.
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }

    /// Do they overlap, or follow one another without a gap?
    pub const fn touches(self, other: Self) -> bool {
        self.first <= other.last.saturating_add(1) && other.first <= self.last.saturating_add(1)
    }

    /// How many addresses lie between them.
    pub fn distance(self, other: Self) -> u64 {
        other
            .first
            .saturating_sub(self.last)
            .max(self.first.saturating_sub(other.last))
    }

    /// Widened to whole pages of size `1 << order`, `order` below 64.
    pub fn whole_pages(self, order: u32) -> Self {
        Self::block(self.first, order).hull(Self::block(self.last, order))
    }
}

/// Joins spans that touch, which must be in ascending order. The first as many as
/// returned are the result.
pub fn merge(spans: &mut [Span]) -> usize {
    let mut count = 0_usize;
    for index in 0..spans.len() {
        let span = spans[index];
        match count.checked_sub(1) {
            Some(before) if spans[before].touches(span) => {
                spans[before] = spans[before].hull(span);
            }
            _ => {
                spans[count] = span;
                count += 1;
            }
        }
    }
    count
}
