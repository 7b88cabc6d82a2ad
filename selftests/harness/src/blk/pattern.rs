// SPDX-License-Identifier: GPL-2.0
//! Sectors that show if they are the right ones: every word says in which round
//! it was written, to which sector, and where in it.

use anyhow::{Result, bail};

/// Bytes of a sector, whatever the medium is made of.
pub const SECTOR: usize = 512;

const WORD: usize = 8;

fn word(round: u64, sector: u64, index: usize) -> u64 {
    // An odd factor, so that different rounds stay different in every bit.
    round.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (sector << 6) ^ index as u64
}

/// The sectors from `sector` on as `round` writes them. Round 0 is a disk that
/// nobody has written to.
pub fn fill(round: u64, sector: u64, sectors: usize) -> Vec<u8> {
    if round == 0 {
        return vec![0; sectors * SECTOR];
    }
    (sector..)
        .take(sectors)
        .flat_map(|sector| (0..SECTOR / WORD).map(move |index| word(round, sector, index)))
        .flat_map(u64::to_le_bytes)
        .collect()
}

/// Checks that `data` are what `round` wrote from `sector` on.
pub fn check(round: u64, sector: u64, data: &[u8]) -> Result<()> {
    let expected = fill(round, sector, data.len() / SECTOR);
    if let Some(at) = expected.iter().zip(data).position(|(a, b)| a != b) {
        let from = at / WORD * WORD;
        bail!(
            "sector {} byte {:#x}: {:02x?} instead of {:02x?} of round {round}",
            sector + (at / SECTOR) as u64,
            from % SECTOR,
            &data[from..from + WORD],
            &expected[from..from + WORD]
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sector_and_round_is_its_own() {
        let data = fill(3, 10, 4);
        assert_eq!(data.len(), 4 * SECTOR);
        check(3, 10, &data).unwrap();
        check(3, 12, &data[2 * SECTOR..]).unwrap();
        assert!(check(4, 10, &data).is_err());
        assert!(check(3, 11, &data).is_err());
        assert!(check(0, 10, &data).is_err());
        check(0, 10, &[0; SECTOR]).unwrap();
        let mut damaged = data.clone();
        damaged[3 * SECTOR + 9] ^= 1;
        let error = check(3, 10, &damaged).unwrap_err().to_string();
        assert!(error.starts_with("sector 13 byte 0x8:"), "{error}");
    }
}
