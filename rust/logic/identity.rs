// SPDX-License-Identifier: GPL-2.0

//! The optional records that this driver adds to a stream: who it is from, and
//! that it is whole. See `Documentation/stream.rst`.

use super::features::Features;

/// Largest number of feature words that an identity can have.
pub const MAX_FEATURE_WORDS: usize = super::features::WORDS;

/// First four bytes of an identity's content: "VVPS".
pub const MAGIC: u32 = u32::from_le_bytes(*b"VVPS");

/// Version of the format. A loader skips an identity of any other, as it skips
/// optional records that it does not know.
pub const VERSION: u16 = 1;

/// Length in bytes of an identity's content before the feature words.
pub const FIXED_LEN: usize = 16;

/// Length in bytes of the longest content of an identity.
pub const MAX_LEN: usize = FIXED_LEN + 8 * MAX_FEATURE_WORDS;

/// Length in bytes of an end record's content.
pub const END_LEN: usize = 16;

/// What the device data record that follows was saved from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Virtio device type: 1 for network, 2 for block.
    pub device_type: u16,
    /// Number of parts in the device data record that follows.
    pub parts: u32,
    /// Negotiated features.
    pub features: Features,
    /// The end record has the checksum of the stream.
    pub checksum: bool,
}

/// Flag of an identity: no checksum was made of the stream it is in, and its end has zero.
pub const NO_CHECKSUM: u16 = 1 << 0;

/// The content is none of an identity: wrong size or wrong first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Identity {
    /// The content on the stream: so many bytes of the array.
    pub fn encode(&self) -> ([u8; MAX_LEN], usize) {
        let words = self.features.words();
        let mut bytes = [0; MAX_LEN];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.device_type.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.parts.to_le_bytes());
        bytes[12..14].copy_from_slice(&(words.len() as u16).to_le_bytes());
        let flags = if self.checksum { 0 } else { NO_CHECKSUM };
        bytes[14..16].copy_from_slice(&flags.to_le_bytes());
        for (slot, word) in bytes[FIXED_LEN..].chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        (bytes, FIXED_LEN + 8 * words.len())
    }

    /// The identity that `content` spells; `None` if it has another version, of
    /// which only the beginning is looked at: a later one may have more fields.
    ///
    /// # Errors
    ///
    /// The content is no identity.
    pub fn decode(content: &[u8]) -> Result<Option<Self>, Malformed> {
        let (fixed, words) = content.split_first_chunk::<FIXED_LEN>().ok_or(Malformed)?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *fixed;
        if u32::from_le_bytes([a, b, c, d]) != MAGIC {
            return Err(Malformed);
        }
        if u16::from_le_bytes([e, f]) != VERSION {
            return Ok(None);
        }
        let count = usize::from(u16::from_le_bytes([m, n]));
        let flags = u16::from_le_bytes([o, p]);
        if count > MAX_FEATURE_WORDS || words.len() != 8 * count || flags & !NO_CHECKSUM != 0 {
            return Err(Malformed);
        }
        Ok(Some(Self {
            device_type: u16::from_le_bytes([g, h]),
            parts: u32::from_le_bytes([i, j, k, l]),
            features: Features::from_bytes(words),
            checksum: flags & NO_CHECKSUM == 0,
        }))
    }
}

/// The end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Number of records before this one.
    pub records: u64,
    /// CRC-32C of all bytes before this record's header; zero if none was made.
    pub checksum: u32,
}

impl End {
    /// The content on the stream.
    pub fn encode(&self) -> [u8; END_LEN] {
        let mut bytes = [0; END_LEN];
        bytes[..8].copy_from_slice(&self.records.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    /// The end that `content` spells; the last four bytes are for later use.
    pub fn decode(content: &[u8; END_LEN]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *content;
        Self {
            records: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            checksum: u32::from_le_bytes([i, j, k, l]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            device_type: 1,
            parts: 0x0102,
            features: Features::from_bytes(&[1, 0, 0, 0, 2, 0, 0, 0x80, 5]),
            checksum: true,
        }
    }

    #[test]
    fn wire_format() {
        let (bytes, len) = identity().encode();
        let wire = [
            0x56, 0x56, 0x50, 0x53, 1, 0, 1, 0, 2, 1, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0x80,
            5, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(bytes[..len], wire);
        assert_eq!(Identity::decode(&wire), Ok(Some(identity())));

        let without = Identity {
            checksum: false,
            ..identity()
        };
        let (bytes, _) = without.encode();
        assert_eq!(bytes[14..16], [1, 0]);
        assert_eq!((&bytes[..14], &bytes[16..len]), (&wire[..14], &wire[16..]));
        assert_eq!(Identity::decode(&bytes[..len]), Ok(Some(without)));

        let end = End {
            records: 3,
            checksum: 0xa1b2_c3d4,
        };
        let wire = [3, 0, 0, 0, 0, 0, 0, 0, 0xd4, 0xc3, 0xb2, 0xa1, 0, 0, 0, 0];
        assert_eq!(end.encode(), wire);
        assert_eq!(End::decode(&wire), end);
    }

    #[test]
    fn anything_else_is_no_identity() {
        let (bytes, len) = identity().encode();
        for cut in 0..len {
            assert_eq!(
                Identity::decode(&bytes[..cut]),
                Err(Malformed),
                "length {cut}"
            );
        }
        assert_eq!(Identity::decode(&bytes[..=len]), Err(Malformed));
        let mut other = bytes;
        other[0] ^= 1;
        assert_eq!(Identity::decode(&other[..len]), Err(Malformed));
        // More words than there can be, and flags that nobody knows.
        for (at, value) in [(12, 0xff), (13, 0xff), (14, 2), (15, 0x80)] {
            let mut other = bytes;
            other[at] = value;
            assert_eq!(Identity::decode(&other[..len]), Err(Malformed), "byte {at}");
        }
    }

    #[test]
    fn other_versions_are_none_at_any_length() {
        let (mut bytes, len) = identity().encode();
        bytes[4] = 2;
        for len in [FIXED_LEN, len, MAX_LEN] {
            assert_eq!(Identity::decode(&bytes[..len]), Ok(None));
        }
    }
}
