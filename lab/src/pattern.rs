// SPDX-License-Identifier: GPL-2.0
//! What a page that the bench's page writer wrote looks like.

/// Size of a page that the device writes.
pub const PAGE_SIZE: usize = 4096;

/// Number of 64-bit words in it.
pub const WORDS: usize = PAGE_SIZE / 8;

/// Word `index` of a page written with `sequence`.
pub fn word(sequence: u32, index: usize) -> u64 {
    (u64::from(sequence) << 32) | index as u64
}

/// The first word that is not as `sequence` demands, with what was found.
pub fn first_difference(page: &[u64], sequence: u32) -> Option<(usize, u64)> {
    page.iter()
        .enumerate()
        .find(|&(index, &found)| found != word(sequence, index))
        .map(|(index, &found)| (index, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_counts() {
        let mut page: Vec<u64> = (0..WORDS).map(|index| word(7, index)).collect();
        assert_eq!(page[3], 0x0000_0007_0000_0003);
        assert_eq!(first_difference(&page, 7), None);
        assert_eq!(first_difference(&page, 8), Some((0, 7 << 32)));
        page[WORDS - 1] = word(6, WORDS - 1);
        assert_eq!(
            first_difference(&page, 7),
            Some((WORDS - 1, word(6, WORDS - 1)))
        );
    }
}
