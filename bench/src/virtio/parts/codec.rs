// SPDX-License-Identifier: GPL-2.0
//! Reading and writing sequences of device parts.
//!
//! Reading is strict: reserved fields are zero, the OPTIONAL flag is where the
//! specification has it, parts come in order and once. A part of a type nobody
//! knows is skipped if it is OPTIONAL and refused if not.

use std::collections::BTreeSet;

use crate::virtio::bytes::{array, u16_at, u32_at, u64_at};

/// Size of a part's header.
pub const HEADER: usize = 16;
/// Header flag: the part may be ignored.
pub const OPTIONAL: u8 = 1;
/// A driver pads commands to a multiple of this many bytes, with zeroes.
const PADDING: usize = 8;

/// Why parts were not taken. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("part {kind:#x} selector {selector:#x}: {reason}")]
pub struct Refusal {
    pub kind: u16,
    pub selector: u64,
    pub reason: &'static str,
}

/// One part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    pub kind: u16,
    pub optional: bool,
    pub selector: [u8; 8],
    pub value: &'a [u8],
}

impl Part<'_> {
    pub fn refuse(&self, reason: &'static str) -> Refusal {
        Refusal {
            kind: self.kind,
            selector: u64::from_le_bytes(self.selector),
            reason,
        }
    }

    /// The value, if it has exactly `N` bytes.
    pub fn exactly<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        self.value
            .try_into()
            .map_err(|_| self.refuse("wrong length"))
    }

    /// A selector that is a queue index.
    pub fn queue(&self) -> Result<u16, Refusal> {
        if self.selector[2..] != [0; 6] {
            return Err(self.refuse("reserved selector bytes are set"));
        }
        Ok(u16_at(&self.selector, 0))
    }

    /// Checks that the part has no selector.
    pub fn unselected(&self) -> Result<(), Refusal> {
        match self.selector {
            [0, 0, 0, 0, 0, 0, 0, 0] => Ok(()),
            _ => Err(self.refuse("selector is set")),
        }
    }
}

/// The parts in `bytes`, without those that are optional and unknown.
pub fn parse(bytes: &[u8]) -> Result<Vec<Part<'_>>, Refusal> {
    let mut parts = Vec::new();
    let mut seen = Selectors::default();
    let mut highest = 0;
    let mut rest = bytes;
    while !is_padding(rest) {
        let (part, tail) = split(rest)?;
        rest = tail;
        if !is_known(part.kind) {
            if part.optional {
                continue;
            }
            return Err(part.refuse("unknown mandatory part"));
        }
        if part.optional != is_optional(part.kind) {
            return Err(part.refuse("OPTIONAL flag is wrong for this part"));
        }
        if part.kind < highest {
            return Err(part.refuse("out of order"));
        }
        if part.kind != highest {
            seen = Selectors::default();
            highest = part.kind;
        }
        if !seen.insert(u64::from_le_bytes(part.selector)) {
            return Err(part.refuse("given twice"));
        }
        parts.push(part);
    }
    Ok(parts)
}

/// The selectors of the parts of one type, of which there may be millions.
#[derive(Default)]
struct Selectors {
    /// Each above all that came before it: where a device gives parts by number, all.
    ascending: Vec<u64>,
    others: BTreeSet<u64>,
}

impl Selectors {
    /// Adds one; false if it is there.
    fn insert(&mut self, selector: u64) -> bool {
        if self.ascending.last().is_none_or(|&last| last < selector) {
            self.ascending.push(selector);
            return true;
        }
        self.ascending.binary_search(&selector).is_err() && self.others.insert(selector)
    }
}

fn is_padding(rest: &[u8]) -> bool {
    rest.len() < PADDING && rest.iter().all(|&byte| byte == 0)
}

fn is_known(kind: u16) -> bool {
    matches!(
        kind,
        super::DEV_FEATURES..=super::VQ_NOTIFY_CFG | super::NET_CVQ_CFG
    ) || kind == super::extra::KIND
}

fn is_optional(kind: u16) -> bool {
    kind == super::DEV_FEATURES
}

fn split(bytes: &[u8]) -> Result<(Part<'_>, &[u8]), Refusal> {
    let kind = u16_at(bytes, 0);
    let selector = array(bytes, 4);
    let fail = |reason| Refusal {
        kind,
        selector: u64::from_le_bytes(selector),
        reason,
    };
    if bytes.len() < HEADER {
        return Err(fail("trailing bytes"));
    }
    let (flags, reserved) = (bytes[2], bytes[3]);
    if flags & !OPTIONAL != 0 || reserved != 0 {
        return Err(fail("reserved header bits are set"));
    }
    let length = usize::try_from(u32_at(bytes, 12)).map_err(|_| fail("too long"))?;
    let body = &bytes[HEADER..];
    if length > body.len() {
        return Err(fail("value is cut short"));
    }
    let (value, rest) = body.split_at(length);
    Ok((
        Part {
            kind,
            optional: flags & OPTIONAL != 0,
            selector,
            value,
        },
        rest,
    ))
}

/// Some of a device's parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// All parts of these types.
    pub kinds: BTreeSet<u16>,
    /// These, by type and selector.
    pub parts: BTreeSet<(u16, u64)>,
}

impl Selection {
    /// The parts with these headers. A header that is cut short counts as filled up
    /// with zeroes, so that it names nothing.
    pub fn named<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let parts = headers.into_iter().map(|h| (u16_at(h, 0), u64_at(h, 4)));
        Self {
            parts: parts.collect(),
            ..Self::default()
        }
    }

    fn has(&self, kind: u16, selector: [u8; 8]) -> bool {
        let part = (kind, u64::from_le_bytes(selector));
        self.kinds.contains(&kind) || self.parts.contains(&part)
    }
}

/// What is kept of the parts that are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Parts,
    Headers,
    Nothing,
}

/// Collects parts.
#[derive(Debug)]
pub struct PartWriter {
    kept: Kept,
    bytes: Vec<u8>,
    size: usize,
    count: usize,
    /// Only these, if set.
    selected: Option<Selection>,
}

impl PartWriter {
    fn new(kept: Kept) -> Self {
        Self {
            kept,
            bytes: Vec::new(),
            size: 0,
            count: 0,
            selected: None,
        }
    }

    /// Collects all parts, which have about `size` bytes.
    pub fn all(size: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(size),
            ..Self::new(Kept::Parts)
        }
    }

    /// Collects the parts of a selection, as far as there are any.
    pub fn selected(selection: Selection) -> Self {
        Self {
            selected: Some(selection),
            ..Self::new(Kept::Parts)
        }
    }

    /// Collects the headers of all parts.
    pub fn headers() -> Self {
        Self::new(Kept::Headers)
    }

    /// Collects the headers of a selection's parts, as far as there are any.
    pub fn selected_headers(selection: Selection) -> Self {
        Self {
            selected: Some(selection),
            ..Self::headers()
        }
    }

    /// Counts parts and their bytes.
    pub fn counting() -> Self {
        Self::new(Kept::Nothing)
    }

    pub fn push(&mut self, kind: u16, selector: [u8; 8], value: &[u8]) {
        if self
            .selected
            .as_ref()
            .is_some_and(|wanted| !wanted.has(kind, selector))
        {
            return;
        }
        self.size += HEADER + value.len();
        self.count += 1;
        if self.kept == Kept::Nothing {
            return;
        }
        let flags = if is_optional(kind) { OPTIONAL } else { 0 };
        // Parts are far smaller than 4 GiB: the largest is one of `extra`.
        let length = value.len() as u32;
        let mut header = [0; HEADER];
        header[..2].copy_from_slice(&kind.to_le_bytes());
        header[2] = flags;
        header[4..12].copy_from_slice(&selector);
        header[12..].copy_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&header);
        if self.kept == Kept::Parts {
            self.bytes.extend_from_slice(value);
        }
    }

    /// Bytes of the parts.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Number of the parts.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What was kept.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::parts::{NET_CVQ_CFG, VQ_CFG, extra};

    fn bytes(parts: &[(u16, u64)], mut writer: PartWriter) -> Vec<u8> {
        for &(kind, selector) in parts {
            writer.push(kind, selector.to_le_bytes(), &[1, 2, 3]);
        }
        writer.into_bytes()
    }

    #[test]
    fn a_part_comes_once_in_whatever_order() {
        for (selectors, once) in [
            (&[0, 1, 2, 3][..], true),
            (&[3, 2, 1, 0], true),
            (&[1, 7, 3, 9, 2, 0x100, 8], true),
            (&[0, 0], false),
            (&[0, 1, 2, 1], false),
            (&[5, 3, 3], false),
            (&[5, 3, 9, 3], false),
            (&[5, 3, 9, 9], false),
        ] {
            let parts: Vec<_> = selectors.iter().map(|&at| (extra::KIND, at)).collect();
            let bytes = bytes(&parts, PartWriter::all(0));
            assert_eq!(parse(&bytes).is_ok(), once, "{selectors:?}");
        }
        // Parts of other types may have the same selectors.
        let alike = [(VQ_CFG, 1), (NET_CVQ_CFG, 1), (extra::KIND, 1)];
        assert!(parse(&bytes(&alike, PartWriter::all(0))).is_ok());
    }

    #[test]
    fn writers_keep_what_is_asked_for() {
        let parts = [(VQ_CFG, 0), (VQ_CFG, 1), (extra::KIND, 0x102)];
        let all = bytes(&parts, PartWriter::all(0));
        let headers = bytes(&parts, PartWriter::headers());
        let expected: Vec<u8> = all
            .chunks(HEADER + 3)
            .flat_map(|part| &part[..HEADER])
            .copied()
            .collect();
        assert_eq!(headers, expected);
        let selection = || Selection::named([&headers[2 * HEADER..], &headers[..2]]);
        let selected = bytes(&parts, PartWriter::selected(selection()));
        assert_eq!(
            selected,
            [&all[..HEADER + 3], &all[2 * (HEADER + 3)..]].concat()
        );
        let selected = bytes(&parts, PartWriter::selected_headers(selection()));
        assert_eq!(
            selected,
            [&headers[..HEADER], &headers[2 * HEADER..]].concat()
        );
        let mut counting = PartWriter::counting();
        for (kind, selector) in parts {
            counting.push(kind, selector.to_le_bytes(), &[1, 2, 3]);
        }
        assert_eq!((counting.count(), counting.size()), (3, all.len()));
        assert!(counting.into_bytes().is_empty());
    }
}
