// SPDX-License-Identifier: GPL-2.0
//! Reading and writing sequences of device parts.
//!
//! Reading is strict: reserved fields are zero, the OPTIONAL flag is where the
//! specification has it, parts come in order and once. A part of a type nobody
//! knows is skipped if it is OPTIONAL and refused if not.

use std::collections::BTreeSet;

use crate::virtio::bytes::{array, u16_at, u32_at};

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
    let mut seen = BTreeSet::new();
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
        if !seen.insert((part.kind, part.selector)) {
            return Err(part.refuse("given twice"));
        }
        highest = part.kind;
        parts.push(part);
    }
    Ok(parts)
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

/// Collects parts.
#[derive(Debug, Default)]
pub struct PartWriter {
    bytes: Vec<u8>,
    headers: Vec<[u8; HEADER]>,
    /// Only these, by type and selector, if set.
    selected: Option<BTreeSet<(u16, [u8; 8])>>,
}

impl PartWriter {
    /// Collects all parts.
    pub fn all() -> Self {
        Self::default()
    }

    /// Collects the parts named by the headers in `list`. A header that is cut
    /// short counts as filled up with zeroes, so that it names nothing.
    pub fn selected(list: &[u8]) -> Self {
        let selected = list
            .chunks(HEADER)
            .map(|h| (u16_at(h, 0), array(h, 4)))
            .collect();
        Self {
            selected: Some(selected),
            ..Self::default()
        }
    }

    pub fn push(&mut self, kind: u16, selector: [u8; 8], value: &[u8]) {
        if self
            .selected
            .as_ref()
            .is_some_and(|wanted| !wanted.contains(&(kind, selector)))
        {
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
        self.bytes.extend(header);
        self.bytes.extend(value);
        self.headers.push(header);
    }

    /// The headers alone.
    pub fn headers(&self) -> &[[u8; HEADER]] {
        &self.headers
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
