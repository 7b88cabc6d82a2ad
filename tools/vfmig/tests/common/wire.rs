// SPDX-License-Identifier: GPL-2.0
//! Streams by hand, for unit tests and for those of the program: as
//! Documentation/stream.rst has them, and not by what encodes or decodes them elsewhere.

/// {le16 type, 2 bytes of zero, 8 bytes of selector, le32 length} and the value.
pub fn part(kind: u16, selector: u64, value: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(selector.to_le_bytes());
    bytes.extend((value.len() as u32).to_le_bytes());
    bytes.extend(value);
    bytes
}

/// {le64 size, le32 flags 0, le32 tag 0} and parts.
pub fn data(parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    let mut bytes = (content.len() as u64).to_le_bytes().to_vec();
    bytes.extend([0; 8]);
    bytes.extend(content);
    bytes
}
