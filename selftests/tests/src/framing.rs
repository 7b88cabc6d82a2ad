// SPDX-License-Identifier: GPL-2.0
//! The framing of migration streams, as Documentation/stream.rst has it, written
//! down independently of the module.

use anyhow::{Context, Result};

/// {le64 size, le32 flags, le32 tag}
pub const HEADER: usize = 16;
/// Flag: a loader that does not know the tag skips the record.
pub const OPTIONAL: u32 = 1;
/// Tag of device data.
pub const DATA: u32 = 0;

/// A record that announces `size` bytes and holds `content`.
pub fn record(size: u64, flags: u32, tag: u32, content: &[u8]) -> Vec<u8> {
    let mut record = size.to_le_bytes().to_vec();
    record.extend_from_slice(&flags.to_le_bytes());
    record.extend_from_slice(&tag.to_le_bytes());
    record.extend_from_slice(content);
    record
}

/// Tag of the record that tells what a context is from.
pub const IDENTITY: u32 = u32::from_le_bytes(*b"VVP1");
/// Tag of the record that ends a stream.
pub const END: u32 = u32::from_le_bytes(*b"VVP2");
/// Length of a device part's header.
pub const PART_HEADER: usize = 16;
/// Type of the part with the negotiated features.
pub const DRIVER_FEATURES: u16 = 0x101;
/// Type of the parts that are registers of the common configuration.
const COMMON_CFG: u16 = 0x102;

/// Types of the parts that precede all others.
const PRECEDING: std::ops::RangeInclusive<u16> = 0x100..=0x103;
/// Length of the content of an end record.
pub const END_LENGTH: usize = 16;

/// A record of a good stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub flags: u32,
    pub tag: u32,
    pub content: Vec<u8>,
}

impl Record {
    /// A record of device data.
    pub fn data(content: &[u8]) -> Self {
        Self {
            flags: 0,
            tag: DATA,
            content: content.to_vec(),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        record(
            self.content.len() as u64,
            self.flags,
            self.tag,
            &self.content,
        )
    }
}

/// The records of a good stream.
pub fn records(mut stream: &[u8]) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    while !stream.is_empty() {
        let (header, rest) = stream
            .split_first_chunk::<HEADER>()
            .context("a record header is cut")?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *header;
        let size = usize::try_from(u64::from_le_bytes([a, b, c, d, e, f, g, h]))?;
        let (content, rest) = rest.split_at_checked(size).context("a record is cut")?;
        records.push(Record {
            flags: u32::from_le_bytes([i, j, k, l]),
            tag: u32::from_le_bytes([m, n, o, p]),
            content: content.to_vec(),
        });
        stream = rest;
    }
    Ok(records)
}

/// The bytes of `records`.
pub fn stream(records: &[Record]) -> Vec<u8> {
    records.iter().flat_map(Record::bytes).collect()
}

/// The device parts in a data record, each with its header, and their types.
pub fn parts(mut content: &[u8]) -> Result<Vec<(u16, Vec<u8>)>> {
    let mut parts = Vec::new();
    while !content.is_empty() {
        let header = content.get(..PART_HEADER).context("a part header is cut")?;
        let length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
        let kind = u16::from_le_bytes([header[0], header[1]]);
        let (part, rest) = content
            .split_at_checked(PART_HEADER + length as usize)
            .context("a part is cut")?;
        parts.push((kind, part.to_vec()));
        content = rest;
    }
    Ok(parts)
}

/// `content` without the parts of the common configuration.
pub fn without_common_cfg(content: &[u8]) -> Result<Vec<u8>> {
    let rest = parts(content)?
        .into_iter()
        .filter(|(kind, _)| *kind != COMMON_CFG);
    Ok(rest.flat_map(|(_, part)| part).collect())
}

/// Bytes of the parts of the first data record that every selection of parts
/// begins with: features, common configuration and device status.
pub fn preceding_length(stream: &[u8]) -> Result<u64> {
    let records = records(stream)?;
    let data = records.iter().find(|record| record.tag == DATA);
    let parts = parts(&data.context("no device data")?.content)?;
    let length: usize = parts
        .iter()
        .filter(|(kind, _)| PRECEDING.contains(kind))
        .map(|(_, part)| part.len())
        .sum();
    Ok(length as u64)
}

/// What the end record of `records` has to be: {le64 number of records, le32
/// CRC-32C of their bytes, 4 bytes of zero}.
pub fn end(records: &[Record]) -> Record {
    let mut content = (records.len() as u64).to_le_bytes().to_vec();
    content.extend(crc32c::crc32c(&stream(records)).to_le_bytes());
    content.extend([0; 4]);
    Record {
        flags: OPTIONAL,
        tag: END,
        content,
    }
}
