// SPDX-License-Identifier: GPL-2.0

//! Dirty addresses that were learned of before anybody asked for them.

use crate::vfio::Span;

/// A set of addresses in bounded memory. When it is full, it takes addresses in
/// that nobody put there: it may have too many, but never too few.
///
/// # Invariants
///
/// No two of the first `count` spans touch.
#[derive(Clone, Debug)]
pub struct Leftover<const N: usize> {
    spans: [Span; N],
    count: usize,
}

impl<const N: usize> Leftover<N> {
    /// The empty set.
    pub const fn new() -> Self {
        const { assert!(N >= 2) };
        // INVARIANT: There is none.
        Self {
            spans: [Span::block(0, 0); N],
            count: 0,
        }
    }

    /// The spans it consists of.
    pub fn spans(&self) -> &[Span] {
        &self.spans[..self.count]
    }

    fn remove(&mut self, index: usize) -> Span {
        let span = self.spans[index];
        self.count -= 1;
        self.spans[index] = self.spans[self.count];
        span
    }

    /// Adds `span`.
    pub fn insert(&mut self, span: Span) {
        let mut span = span;
        loop {
            // INVARIANT: What touches the new span becomes part of it.
            while let Some(index) = self.spans().iter().position(|old| old.touches(span)) {
                span = span.hull(self.remove(index));
            }
            if self.count < N {
                self.spans[self.count] = span;
                self.count += 1;
                return;
            }
            let nearest = (0..self.count).min_by_key(|index| self.spans[*index].distance(span));
            if let Some(index) = nearest {
                span = span.hull(self.remove(index));
            }
        }
    }

    /// Takes what is in `window` out, and gives it to `take`.
    ///
    /// # Errors
    ///
    /// What `take` gives; what it did not take stays.
    pub fn take<E>(
        &mut self,
        window: Span,
        mut take: impl FnMut(Span) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut index = 0;
        while index < self.count {
            let span = self.spans[index];
            let Some(inside) = span.intersection(window) else {
                index += 1;
                continue;
            };
            take(inside)?;
            match (span.below(inside), span.above(inside)) {
                (None, None) => {
                    self.remove(index);
                    continue;
                }
                (Some(rest), None) | (None, Some(rest)) => self.spans[index] = rest,
                // Without room for both rests the span stays, to be given once more.
                (Some(below), Some(above)) => {
                    if self.count < N {
                        // INVARIANT: `inside` is between them.
                        self.spans[index] = below;
                        self.spans[self.count] = above;
                        self.count += 1;
                    }
                }
            }
            index += 1;
        }
        Ok(())
    }
}

impl<const N: usize> Default for Leftover<N> {
    fn default() -> Self {
        Self::new()
    }
}
