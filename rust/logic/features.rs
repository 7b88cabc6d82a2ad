// SPDX-License-Identifier: GPL-2.0

//! Sets of virtio feature bits, as device parts and the stream spell them.

/// Words of 64 feature bits that are looked at. Linux and the specification
/// know of two.
pub const WORDS: usize = 16;

/// A set of feature bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features([u64; WORDS]);

impl Features {
    /// The set that little-endian 64-bit words spell. A last word that is not
    /// whole is filled up with zeroes; words beyond the last that can be kept
    /// are dropped.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
            *word = bytes
                .iter()
                .rev()
                .fold(0, |word, &byte| word << 8 | u64::from(byte));
        }
        Self(words)
    }

    /// The words, up to the last that is not zero.
    pub fn words(&self) -> &[u64] {
        let used = self.0.iter().rposition(|&word| word != 0);
        &self.0[..used.map_or(0, |last| last + 1)]
    }

    /// The lowest bit that is in this set and not in `other`.
    pub fn first_not_in(&self, other: &Self) -> Option<u32> {
        (0..)
            .step_by(64)
            .zip(self.0.iter().zip(other.0))
            .find_map(|(base, (&word, other))| {
                let extra = word & !other;
                (extra != 0).then(|| base + extra.trailing_zeros())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_little_endian() {
        let features = Features::from_bytes(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(features.words(), [0x0807_0605_0403_0201, 9]);
        assert_eq!(Features::from_bytes(&[0; 24]).words(), []);
    }

    #[test]
    fn the_first_extra_bit() {
        let set = |bytes: &[u8]| Features::from_bytes(bytes);
        let all = set(&[0xff; 16]);
        assert_eq!(set(&[0xff; 16]).first_not_in(&all), None);
        assert_eq!(all.first_not_in(&set(&[0xff; 15])), Some(120));
        assert_eq!(set(&[6]).first_not_in(&set(&[2])), Some(2));
        assert_eq!(set(&[]).first_not_in(&set(&[])), None);
    }

    #[test]
    fn more_words_than_are_kept_are_dropped() {
        let bytes = [0xff; 8 * WORDS + 8];
        assert_eq!(Features::from_bytes(&bytes).words(), [u64::MAX; WORDS]);
    }
}
