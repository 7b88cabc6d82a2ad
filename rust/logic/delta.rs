// SPDX-License-Identifier: GPL-2.0

//! What changed between two contexts of one device.
//!
//! Device parts may be set repeatedly, and not all at once: a target that has
//! one context and is given the parts that differ has the other, as long as the
//! two have the same parts. Whether a part is missing from a context because it
//! is gone, and how a target would lose it, no command can say; so a context
//! with other parts is sent whole.
//!
//! The specification (virtio 1.4, "Device parts order") also lists parts that
//! must precede others, and leaves open whether in each command or once. A
//! delta has them, so that it is right either way: they are few and short.
//!
//! One pass checks a context, compares it, and notes where it differs. The notes
//! have a fixed size: where they do not suffice, a delta has more than it needs.

use super::parts::{
    self,
    Checker,
    Parts,
    PartsError,
    HEADER_LEN, //
};
use core::ops::Range;

/// Parts that differ and lie together: their place in the context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

/// Most spans that are worth noting: a delta of more is mostly headers.
pub const MAX_SPANS: usize = 1 << 17;

/// How a context differs from one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Not at all.
    Nothing,
    /// In the values of parts.
    Values(Values),
    /// In which parts there are.
    Shape,
}

/// What [`compare`] says of a context.
pub struct Comparison {
    /// What was learnt from its parts.
    pub parts: Checker,
    /// How it differs.
    pub change: Change,
}

/// Values that differ; where is in the notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Values {
    /// Number of spans noted.
    spans: usize,
    /// Where the last of the parts ends that precede others.
    common_end: usize,
    /// Where the last of those that differ stands in the order.
    last_common: u16,
}

/// Notes under way.
struct Notes<'a> {
    room: &'a mut [Span],
    used: usize,
}

impl Notes<'_> {
    /// Notes that a part differs. False if there is no room at all.
    fn add(&mut self, part: Range<usize>) -> bool {
        let (Ok(start), Ok(end)) = (u32::try_from(part.start), u32::try_from(part.end)) else {
            return false;
        };
        let last = self.used.checked_sub(1);
        let is_full = self.used == self.room.len();
        match last.and_then(|last| self.room.get_mut(last)) {
            // With what lies between, for want of room.
            Some(span) if is_full || span.end == start => span.end = end,
            _ => {
                let Some(next) = self.room.get_mut(self.used) else {
                    return false;
                };
                *next = Span { start, end };
                self.used += 1;
            }
        }
        true
    }
}

/// Checks `new`, a context, and tells how it differs from `old`, one that was checked;
/// notes in `notes` where.
///
/// # Errors
///
/// What is wrong with `new` first.
pub fn compare(old: &[u8], new: &[u8], notes: &mut [Span]) -> Result<Comparison, PartsError> {
    let mut checker = Checker::new(new.len() as u64);
    let mut notes = Notes {
        room: notes,
        used: 0,
    };
    let mut same_shape = old.len() == new.len();
    let (mut common_end, mut last_common) = (0, 0);
    // Up to here, and from the part that was found to differ last, both are equal.
    let mut equal_to = if same_shape {
        common_prefix(old, new)
    } else {
        0
    };
    let rest = checker.whole_parts(new, |part_type, place| {
        let order = parts::order(part_type);
        let (start, end) = (place.start, place.end);
        if order > 0 {
            common_end = end;
        }
        if !same_shape || end <= equal_to {
            return;
        }
        // The first difference is in this part.
        last_common = last_common.max(order);
        same_shape = equal_to >= start + HEADER_LEN && notes.add(place);
        if same_shape {
            let [old, new] = [old, new].map(|context| context.get(end..).unwrap_or_default());
            equal_to = end + common_prefix(old, new);
        }
    })?;
    // A part that is cut is none.
    checker.push(rest)?;
    let change = match notes.used {
        _ if !same_shape => Change::Shape,
        0 => Change::Nothing,
        spans => Change::Values(Values {
            spans,
            common_end,
            last_common,
        }),
    };
    Ok(Comparison {
        parts: checker,
        change,
    })
}

/// Number of bytes at the beginning that are equal.
fn common_prefix(mut a: &[u8], mut b: &[u8]) -> usize {
    const WORD: usize = 8;
    /// So many bytes at a time: few jumps, and few words to look at again.
    const BLOCK: usize = 4 * WORD;
    fn word(bytes: &[u8]) -> u64 {
        u64::from_le_bytes(bytes.first_chunk().copied().unwrap_or_default())
    }
    let differing_bits = |a: &[u8], b: &[u8]| {
        let words = a.chunks_exact(WORD).zip(b.chunks_exact(WORD));
        words.fold(0, |bits, (a, b)| bits | word(a) ^ word(b))
    };
    let blocks = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK));
    let equal = blocks.take_while(|(a, b)| differing_bits(a, b) == 0);
    let mut at = BLOCK * equal.count();
    a = a.get(at..).unwrap_or_default();
    b = b.get(at..).unwrap_or_default();
    while let (Some((x, a_rest)), Some((y, b_rest))) =
        (a.split_first_chunk::<WORD>(), b.split_first_chunk::<WORD>())
    {
        let bits = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if bits != 0 {
            return at + bits.trailing_zeros() as usize / WORD;
        }
        at += WORD;
        (a, b) = (a_rest, b_rest);
    }
    at + a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

impl Values {
    /// Where in `new` the delta's parts are, those that must precede others among
    /// them. The arguments are those that [`compare`] had.
    pub fn ranges<'a>(
        &self,
        old: &'a [u8],
        new: &'a [u8],
        notes: &'a [Span],
    ) -> impl Iterator<Item = Range<usize>> + Clone + 'a {
        let Self {
            spans,
            common_end,
            last_common,
        } = *self;
        let precedes = move |part_type| {
            parts::IN_ALL.contains(&part_type)
                || part_type == parts::VQ_CFG && last_common > parts::order(parts::VQ_CFG)
        };
        let mut end = 0;
        let common = Parts::new(new.get(..common_end).unwrap_or_default())
            .map(move |(header, part)| {
                let start = end;
                end += part.len();
                (parts::Header::decode(header).part_type, start..end)
            })
            .filter(move |(part_type, place)| {
                precedes(*part_type) || old.get(place.clone()) != new.get(place.clone())
            })
            .map(|(_, place)| place);
        let others = notes
            .iter()
            .take(spans)
            .map(move |span| (span.start as usize).max(common_end)..span.end as usize)
            .filter(|place| !place.is_empty());
        common.chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(parts: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (part_type, value) in parts {
            bytes.extend(part_type.to_le_bytes());
            bytes.extend([0; 10]);
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend(*value);
        }
        bytes
    }

    /// How `new` differs from `old`, and what the delta is, with so many notes.
    fn difference(old: &[u8], new: &[u8], notes: usize) -> (Change, Vec<u8>) {
        let mut notes = vec![Span::default(); notes];
        let comparison = compare(old, new, &mut notes).unwrap();
        let delta = match comparison.change {
            Change::Values(values) => values
                .ranges(old, new, &notes)
                .flat_map(|place| new[place].to_vec())
                .collect(),
            _ => Vec::new(),
        };
        (comparison.change, delta)
    }

    fn delta(old: &[u8], new: &[u8]) -> Vec<u8> {
        let (change, delta) = difference(old, new, 16);
        assert!(matches!(change, Change::Values(_)), "{change:?}");
        delta
    }

    #[test]
    fn equal_contexts() {
        let a = context(&[(1, b"x"), (2, b"")]);
        assert_eq!(difference(&a, &a, 0).0, Change::Nothing);
        assert_eq!(difference(&[], &[], 0).0, Change::Nothing);
    }

    /// Parts of a device: features, status, two queues and their notifications.
    fn device(queue: &[u8], notify: &[u8]) -> Vec<u8> {
        context(&[
            (0x100, b"offered"),
            (0x101, b"negotiated"),
            (0x102, b"config"),
            (0x103, b"status"),
            (0x104, b"queue 0"),
            (0x104, queue),
            (0x105, b"notify 0"),
            (0x105, notify),
            (0x200, b"filters"),
        ])
    }

    #[test]
    fn what_must_precede_a_changed_part_goes_with_it() {
        let old = device(b"one", b"one");
        let queue = device(b"two", b"one");
        let expected = context(&[
            (0x100, b"offered"),
            (0x101, b"negotiated"),
            (0x102, b"config"),
            (0x103, b"status"),
            (0x104, b"two"),
        ]);
        assert_eq!(delta(&old, &queue), expected);

        // A queue's notification is preceded by the queues, too.
        let notify = device(b"one", b"two");
        let expected = context(&[
            (0x100, b"offered"),
            (0x101, b"negotiated"),
            (0x102, b"config"),
            (0x103, b"status"),
            (0x104, b"queue 0"),
            (0x104, b"one"),
            (0x105, b"two"),
        ]);
        assert_eq!(delta(&old, &notify), expected);
    }

    #[test]
    fn changed_values_are_found_with_their_headers() {
        let old = context(&[(1, b"abc"), (2, b"def"), (3, b""), (2, b"ghi"), (4, b"j")]);
        let new = context(&[(1, b"abc"), (2, b"dEf"), (3, b""), (2, b"ghI"), (4, b"J")]);
        let expected = context(&[(2, b"dEf"), (2, b"ghI"), (4, b"J")]);
        assert_eq!(delta(&old, &new), expected);
    }

    #[test]
    fn a_common_part_behind_others_is_found_once() {
        let old = context(&[(0x200, b"a"), (0x200, b"b"), (0x104, b"c"), (0x200, b"d")]);
        let new = context(&[(0x200, b"a"), (0x200, b"B"), (0x104, b"C"), (0x200, b"D")]);
        let expected = context(&[(0x200, b"B"), (0x104, b"C"), (0x200, b"D")]);
        assert_eq!(delta(&old, &new), expected);
    }

    #[test]
    fn few_notes_make_a_longer_delta() {
        let old = context(&[(1, b"a"), (2, b"b"), (3, b"c"), (4, b"d"), (5, b"e")]);
        let new = context(&[(1, b"A"), (2, b"b"), (3, b"C"), (4, b"d"), (5, b"E")]);
        let exact = context(&[(1, b"A"), (3, b"C"), (5, b"E")]);
        assert_eq!(difference(&old, &new, 3).1, exact);
        let more = context(&[(1, b"A"), (3, b"C"), (4, b"d"), (5, b"E")]);
        assert_eq!(difference(&old, &new, 2).1, more);
        assert_eq!(difference(&old, &new, 1).1, new);
        assert_eq!(difference(&old, &new, 0).0, Change::Shape);
    }

    #[test]
    fn a_difference_is_found_wherever_it_is() {
        for len in [0, 1, 7, 8, 31, 32, 33, 63, 64, 100] {
            let one: Vec<u8> = (0..len).collect();
            assert_eq!(common_prefix(&one, &one), one.len());
            assert_eq!(common_prefix(&one, &[&one[..], &[1]].concat()), one.len());
            for at in 0..one.len() {
                let mut other = one.clone();
                other[at] ^= 0x80;
                assert_eq!(common_prefix(&one, &other), at, "of {len}");
                assert_eq!(common_prefix(&one[..at], &other), at, "of {len}");
            }
        }
    }

    #[test]
    fn other_parts_are_another_shape() {
        let old = context(&[(1, b"ab"), (2, b"cd")]);
        for new in [
            context(&[(1, b"ab")]),
            context(&[(1, b"ab"), (2, b"cd"), (3, b"")]),
            context(&[(2, b"cd"), (1, b"ab")]),
            context(&[(1, b"abc"), (2, b"d")]),
            context(&[]),
        ] {
            assert_eq!(difference(&old, &new, 16).0, Change::Shape);
        }
    }

    #[test]
    fn a_context_is_checked_whatever_it_is_compared_with() {
        let good = device(b"one", b"one");
        for old in [&good[..], &[]] {
            let found = compare(old, &good, &mut []).unwrap().parts;
            assert_eq!(found.count(), 9);
            let cut = &good[..good.len() - 1];
            let error = compare(old, cut, &mut []).err();
            assert_eq!(error, Some(PartsError::PartTooLong));
            let turned = context(&[(0x104, b"queue"), (0x103, b"status")]);
            let error = compare(old, &turned, &mut []).err();
            assert_eq!(error, Some(PartsError::OutOfOrder(0x103)));
        }
    }
}
