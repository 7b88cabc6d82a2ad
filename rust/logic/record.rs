// SPDX-License-Identifier: GPL-2.0

//! Records: the framing of the migration stream.
//!
//! A stream is a sequence of records, each a 16-byte little-endian header and
//! `size` bytes of content. The framing is that of the in-tree driver
//! `virtio_vfio_pci`, so that streams load both ways. See
//! `Documentation/stream.rst`.

/// Length of a record header in bytes.
pub const HEADER_LEN: usize = 16;

/// Flag: a loader that does not know the tag may skip the record.
pub const FLAG_OPTIONAL: u32 = 1 << 0;

/// Tag: the content is a sequence of virtio device parts.
pub const TAG_DEVICE_DATA: u32 = 0;

/// Tag of an optional record: an [`Identity`](super::identity::Identity).
pub const TAG_IDENTITY: u32 = u32::from_le_bytes(*b"VVP1");

/// Tag of an optional record: an [`End`](super::identity::End).
pub const TAG_END: u32 = u32::from_le_bytes(*b"VVP2");

/// A record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of content behind the header.
    pub size: u64,
    /// Zero or [`FLAG_OPTIONAL`].
    pub flags: u32,
    /// What the content is.
    pub tag: u32,
}

impl Header {
    /// The header of a device data record with `size` bytes of parts.
    pub const fn device_data(size: u64) -> Self {
        Self {
            size,
            flags: 0,
            tag: TAG_DEVICE_DATA,
        }
    }

    /// The header of an optional record.
    pub const fn optional(tag: u32, size: u64) -> Self {
        Self {
            size,
            flags: FLAG_OPTIONAL,
            tag,
        }
    }

    /// The bytes of the header on the stream.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&self.size.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.flags.to_le_bytes());
        bytes[12..].copy_from_slice(&self.tag.to_le_bytes());
        bytes
    }

    /// The header that `bytes` spell. Every bit pattern is a header; whether a
    /// loader accepts it is for [`super::load`] to say.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
        Self {
            size: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            flags: u32::from_le_bytes([i, j, k, l]),
            tag: u32::from_le_bytes([m, n, o, p]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_format() {
        let header = Header {
            size: 0x0102_0304_0506_0708,
            flags: FLAG_OPTIONAL,
            tag: 0xa0b0_c0d0,
        };
        let wire = [8, 7, 6, 5, 4, 3, 2, 1, 1, 0, 0, 0, 0xd0, 0xc0, 0xb0, 0xa0];
        assert_eq!(header.encode(), wire);
        assert_eq!(Header::decode(&wire), header);
    }

    #[test]
    fn device_data_is_mandatory() {
        assert_eq!(
            Header::device_data(5).encode(),
            [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
    }
}
