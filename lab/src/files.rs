// SPDX-License-Identifier: GPL-2.0
//! Files that show what was written to them last. The guest writes them and knows
//! what must be in each block; whoever else reads them can tell whether a block is
//! whole, and sum up what is there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Number of files.
pub const FILES: usize = 8;
/// Blocks of each file.
pub const BLOCKS: usize = 32;
/// Bytes of a block.
pub const BLOCK: usize = 4096;

const WORD: usize = 8;
const MAGIC: u64 = u64::from_le_bytes(*b"vvp-disk");

/// A block of a file, aligned as direct reads want it. On the heap, because
/// rustc 1.85 loses the frame pointer of some functions with variables aligned to
/// a page.
pub struct Block {
    memory: Vec<u8>,
    start: usize,
}

/// Where a block is: number of its file, and of itself in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: usize,
    pub block: usize,
}

impl Place {
    /// Its position in its file.
    pub fn offset(self) -> u64 {
        (self.block * BLOCK) as u64
    }
}

impl Block {
    /// Something that no round has written.
    pub fn blank() -> Self {
        let memory = vec![0xee; 2 * BLOCK];
        // Bytes can always be aligned, and to a block in less than a block.
        let start = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
        Self { memory, start }
    }

    /// The block at `place` as `round` writes it.
    pub fn new(place: Place, round: u64) -> Self {
        let mut block = Self::blank();
        let seed = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ((place.file as u64) << 32);
        for (index, word) in block.bytes_mut().chunks_exact_mut(WORD).enumerate() {
            let value = match index {
                0 => MAGIC,
                1 => round,
                _ => seed ^ ((place.block as u64) << 16) ^ index as u64,
            };
            word.copy_from_slice(&value.to_le_bytes());
        }
        block
    }

    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + BLOCK]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + BLOCK]
    }

    /// The round that has written this block at `place`, all of it.
    pub fn round(&self, place: Place) -> Result<u64, String> {
        let mut word = [0; WORD];
        word.copy_from_slice(&self.bytes()[WORD..2 * WORD]);
        let round = u64::from_le_bytes(word);
        let whole = Self::new(place, round);
        let mut pairs = self.bytes().iter().zip(whole.bytes());
        match pairs.position(|(a, b)| a != b) {
            None => Ok(round),
            Some(at) => Err(format!(
                "file {} block {} byte {at:#x} is {:#04x}, not as round {round} wrote it",
                place.file,
                place.block,
                self.bytes()[at]
            )),
        }
    }
}

/// How files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the page cache.
    Cached,
    /// Past it: what the disk itself has.
    Direct,
}

/// The files in a directory.
#[derive(Clone)]
pub struct Files {
    directory: PathBuf,
}

impl Files {
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            directory: directory.to_path_buf(),
        }
    }

    fn path(&self, file: usize) -> PathBuf {
        self.directory.join(format!("file-{file}"))
    }

    /// Writes blocks of one file anew, and returns when they are safe.
    pub fn write(&self, places: &[Place], round: u64) -> io::Result<()> {
        let Some(first) = places.first() else {
            return Ok(());
        };
        let file = OpenOptions::new().write(true).open(self.path(first.file))?;
        for place in places {
            file.write_all_at(Block::new(*place, round).bytes(), place.offset())?;
        }
        file.sync_data()
    }

    /// Puts a new file in the place of an old one, or of none, and returns when
    /// that is safe.
    pub fn replace(&self, file: usize, round: u64) -> io::Result<()> {
        let temporary = self.directory.join("new");
        let new = File::create(&temporary)?;
        for block in 0..BLOCKS {
            let place = Place { file, block };
            new.write_all_at(Block::new(place, round).bytes(), place.offset())?;
        }
        new.sync_all()?;
        fs::rename(&temporary, self.path(file))?;
        File::open(&self.directory)?.sync_all()
    }

    /// Reads one block.
    pub fn read(&self, place: Place, way: Way) -> io::Result<Block> {
        let file = self.open(place.file, way)?;
        let mut block = Block::blank();
        file.read_exact_at(block.bytes_mut(), place.offset())?;
        Ok(block)
    }

    fn open(&self, file: usize, way: Way) -> io::Result<File> {
        let flags = match way {
            Way::Cached => 0,
            Way::Direct => libc::O_DIRECT,
        };
        OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(self.path(file))
    }

    /// Reads everything.
    pub fn survey(&self, way: Way) -> io::Result<Survey> {
        let mut survey = Survey::default();
        for file in 0..FILES {
            let opened = self.open(file, way)?;
            for block in 0..BLOCKS {
                let place = Place { file, block };
                let mut data = Block::blank();
                opened.read_exact_at(data.bytes_mut(), place.offset())?;
                survey.rounds.push(data.round(place));
            }
        }
        Ok(survey)
    }
}

/// What all blocks are: the round that wrote each, or what is wrong with it. File
/// by file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    pub rounds: Vec<Result<u64, String>>,
}

impl Survey {
    /// A number that is another one if any block is of another round (FNV-1a).
    pub fn digest(&self) -> u64 {
        let rounds = self
            .rounds
            .iter()
            .map(|round| *round.as_ref().unwrap_or(&0));
        digest(rounds)
    }
}

/// The number that a survey of blocks of these rounds has.
pub fn digest(rounds: impl IntoIterator<Item = u64>) -> u64 {
    let bytes = rounds.into_iter().flat_map(u64::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { file: 3, block: 4 };

    #[test]
    fn a_block_tells_its_round_and_nothing_else_passes() {
        let block = Block::new(PLACE, 77);
        assert_eq!(block.round(PLACE), Ok(77));
        for elsewhere in [Place { file: 2, ..PLACE }, Place { block: 5, ..PLACE }] {
            assert!(block.round(elsewhere).is_err());
        }
        for at in [0, 9, 100, BLOCK - 1] {
            let mut damaged = Block::new(PLACE, 77);
            damaged.bytes_mut()[at] ^= 1;
            assert!(damaged.round(PLACE).is_err(), "byte {at}");
        }
        assert!(Block::blank().round(PLACE).is_err());
        let mut zeroes = Block::blank();
        zeroes.bytes_mut().fill(0);
        assert!(zeroes.round(PLACE).is_err());
    }

    #[test]
    fn files_are_what_was_written_last() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::in_directory(directory.path());
        for file in 0..FILES {
            files.replace(file, 1 + file as u64).unwrap();
        }
        files.write(&[PLACE], 50).unwrap();
        let survey = files.survey(Way::Cached).unwrap();
        let mut expected: Vec<u64> = (0..FILES * BLOCKS)
            .map(|index| 1 + (index / BLOCKS) as u64)
            .collect();
        expected[3 * BLOCKS + 4] = 50;
        let found: Vec<u64> = survey.rounds.iter().cloned().map(Result::unwrap).collect();
        assert_eq!(found, expected);
        assert_eq!(survey.digest(), digest(expected.clone()));
        expected[0] = 9;
        assert_ne!(survey.digest(), digest(expected));
        assert_eq!(files.read(PLACE, Way::Cached).unwrap().round(PLACE), Ok(50));
    }
}
