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

use super::parts::{
    self,
    Header,
    Parts,
    HEADER_LEN, //
};

/// How a context differs from one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Not at all.
    Nothing,
    /// In the values of parts; the delta has this many bytes, headers included.
    Values(usize),
    /// In which parts there are.
    Shape,
}

/// How `new` differs from `old`.
pub fn compare(old: &[u8], new: &[u8]) -> Change {
    if old == new {
        return Change::Nothing;
    }
    let headers = |context| Parts::new(context).map(|(header, _)| header);
    if old.len() != new.len() || !headers(old).eq(headers(new)) {
        return Change::Shape;
    }
    Change::Values(delta(old, new).map(<[u8]>::len).sum())
}

fn part_type(header: &[u8; HEADER_LEN]) -> u16 {
    Header::decode(header).part_type
}

/// The parts of `new` whose values differ from those of `old`, which has the
/// same parts, and those that must precede them. Nothing if none differs.
pub fn delta<'a>(old: &'a [u8], new: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let pairs = || Parts::new(old).zip(Parts::new(new));
    let mut differs = false;
    let mut last_common = 0;
    for ((_, old), (header, new)) in pairs() {
        if old != new {
            differs = true;
            last_common = last_common.max(parts::order(part_type(header)));
        }
    }
    let precedes = move |part_type| {
        differs
            && (parts::IN_ALL.contains(&part_type)
                || part_type == parts::VQ_CFG && last_common > parts::order(parts::VQ_CFG))
    };
    pairs()
        .filter(move |((_, old), (header, new))| old != new || precedes(part_type(header)))
        .map(|(_, (_, new))| new)
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

    #[test]
    fn equal_contexts() {
        let a = context(&[(1, b"x"), (2, b"")]);
        assert_eq!(compare(&a, &a), Change::Nothing);
        assert_eq!(compare(&[], &[]), Change::Nothing);
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
        let delta: Vec<_> = super::delta(&old, &queue).collect();
        let expected = context(&[
            (0x100, b"offered"),
            (0x101, b"negotiated"),
            (0x102, b"config"),
            (0x103, b"status"),
            (0x104, b"two"),
        ]);
        assert_eq!(delta.concat(), expected);
        assert_eq!(compare(&old, &queue), Change::Values(expected.len()));

        // A queue's notification is preceded by the queues, too.
        let notify = device(b"one", b"two");
        let delta: Vec<_> = super::delta(&old, &notify).collect();
        let expected = context(&[
            (0x100, b"offered"),
            (0x101, b"negotiated"),
            (0x102, b"config"),
            (0x103, b"status"),
            (0x104, b"queue 0"),
            (0x104, b"one"),
            (0x105, b"two"),
        ]);
        assert_eq!(delta.concat(), expected);
        assert_eq!(compare(&old, &notify), Change::Values(expected.len()));
    }

    #[test]
    fn nothing_goes_without_a_change() {
        let same = device(b"one", b"one");
        assert_eq!(super::delta(&same, &same).count(), 0);
    }

    #[test]
    fn changed_values_are_found_with_their_headers() {
        let old = context(&[(1, b"abc"), (2, b"def"), (3, b""), (2, b"ghi")]);
        let new = context(&[(1, b"abc"), (2, b"dEf"), (3, b""), (2, b"ghI")]);
        assert_eq!(compare(&old, &new), Change::Values(38));
        let parts: Vec<_> = super::delta(&old, &new).collect();
        assert_eq!(parts.concat(), context(&[(2, b"dEf"), (2, b"ghI")]));
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
            assert_eq!(compare(&old, &new), Change::Shape);
        }
    }
}
