// SPDX-License-Identifier: GPL-2.0

//! What changed between two contexts of one device.
//!
//! Device parts may be set repeatedly, and not all at once: a target that has
//! one context and is given the parts that differ has the other, as long as the
//! two have the same parts. Whether a part is missing from a context because it
//! is gone, and how a target would lose it, no command can say; so a context
//! with other parts is sent whole.

use super::parts::{
    Header,
    HEADER_LEN, //
};

/// The parts of a context, header and value each. Ends early where the framing
/// is wrong; contexts are checked where they arise (`parts::check`).
#[derive(Clone)]
pub struct Parts<'a> {
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The parts of `context`.
    pub const fn new(context: &'a [u8]) -> Self {
        Self { rest: context }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = (&'a [u8; HEADER_LEN], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (header, rest) = self.rest.split_first_chunk::<HEADER_LEN>()?;
        let length = usize::try_from(Header::decode(header).length).ok()?;
        let part = self.rest.get(..HEADER_LEN.checked_add(length)?)?;
        self.rest = rest.get(length..)?;
        Some((header, part))
    }
}

/// How a context differs from one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Not at all.
    Nothing,
    /// In the values of parts; those that differ have this many bytes, headers
    /// included.
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
    Change::Values(changed(old, new).map(<[u8]>::len).sum())
}

/// The parts of `new` whose values differ from those of `old`, which has the
/// same parts.
pub fn changed<'a>(old: &'a [u8], new: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    Parts::new(old)
        .zip(Parts::new(new))
        .filter(|((_, old), (_, new))| old != new)
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

    #[test]
    fn changed_values_are_found_with_their_headers() {
        let old = context(&[(1, b"abc"), (2, b"def"), (3, b""), (2, b"ghi")]);
        let new = context(&[(1, b"abc"), (2, b"dEf"), (3, b""), (2, b"ghI")]);
        assert_eq!(compare(&old, &new), Change::Values(38));
        let parts: Vec<_> = changed(&old, &new).collect();
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

    #[test]
    fn wrong_framing_ends_the_parts() {
        let mut bytes = context(&[(1, b"ab"), (2, b"cd")]);
        bytes.truncate(bytes.len() - 1);
        assert_eq!(Parts::new(&bytes).count(), 1);
        bytes[12..16].copy_from_slice(&[0xff; 4]);
        assert_eq!(Parts::new(&bytes).count(), 0);
    }
}
