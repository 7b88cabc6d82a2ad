// SPDX-License-Identifier: GPL-2.0
//! The load on a disk: rounds of writing files on a file system, each round safe
//! on the disk before the next, and of reading back past the page cache.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::reader::Reader;
use crate::files::{BLOCK, BLOCKS, FILES, Files, Place, Way, digest};
use crate::stats::DiskStats;

const MOUNT_POINT: &str = "/disk";
/// Blocks that a round writes, when it does not write a whole file.
const BLOCKS_PER_ROUND: usize = 4;
/// Of so many rounds one replaces a file.
const ROUNDS_PER_FILE: u64 = 5;
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(1);
/// Steps from one block to the next; odd, so that it gets everywhere.
const STRIDE: u64 = 11;

/// A mounted file system, and the threads that work on it.
pub struct DiskJob {
    stop: Arc<AtomicBool>,
    shared: Arc<Mutex<Load>>,
    reader: Reader,
}

impl DiskJob {
    /// Mounts the ext4 file system on `disk` and starts.
    pub fn start(disk: &str) -> Result<Self> {
        let device = format!("/dev/{disk}");
        fs::create_dir_all(MOUNT_POINT).context("mount point")?;
        mount(
            Some(device.as_str()),
            MOUNT_POINT,
            Some("ext4"),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("mounting {device}"))?;
        let files = Files::in_directory(Path::new(MOUNT_POINT));
        let mut load = Load::new(files.clone(), Way::Direct);
        // The first rounds create the files.
        for _ in 0..FILES {
            load.round()?;
        }
        let job = Self {
            stop: Arc::default(),
            shared: Arc::new(Mutex::new(load)),
            reader: Reader::start(files, Way::Direct)?,
        };
        let (stop, shared) = (Arc::clone(&job.stop), Arc::clone(&job.shared));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) && lock(&shared).step() {
                // Whoever waits for the lock gets it.
                sleep(PAUSE);
            }
        });
        Ok(job)
    }

    pub fn stats(&self) -> DiskStats {
        let mut stats = lock(&self.shared).stats.clone();
        stats.reads += self.reader.reads();
        stats.error = stats.error.or_else(|| self.reader.error());
        stats
    }

    /// Measures the longest round anew.
    pub fn mark(&self) {
        lock(&self.shared).stats.longest_round_ms = 0;
    }

    /// Stops writing, and compares everything with what was written: as the page
    /// cache has it, as the disk has it, and as a cache has it that was filled from
    /// the disk just now.
    pub fn check(&self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.reader.stop();
        let mut load = lock(&self.shared);
        load.compare(Way::Cached)?;
        load.compare(Way::Direct)?;
        fs::write("/proc/sys/vm/drop_caches", "3").context("dropping the page cache")?;
        load.compare(Way::Cached)?;
        load.stats.digest = Some(digest(load.written.iter().copied()));
        println!(
            "l2-guest: {} blocks compared after {} rounds, {} wrong",
            load.stats.compared, load.stats.rounds, load.stats.wrong
        );
        Ok(())
    }

    /// Unmounts, so that others can use the file system.
    pub fn unmount(&self) -> Result<()> {
        ensure!(
            self.stop.load(Ordering::Relaxed),
            "the files have not been checked yet"
        );
        let _load = lock(&self.shared);
        umount2(MOUNT_POINT, MntFlags::empty()).context("unmounting")
    }
}

/// The files, and what must be in them.
struct Load {
    files: Files,
    /// How a round reads back.
    way: Way,
    /// Round of the last write of each block, file by file.
    written: Vec<u64>,
    stats: DiskStats,
}

impl Load {
    fn new(files: Files, way: Way) -> Self {
        Self {
            files,
            way,
            written: vec![0; FILES * BLOCKS],
            stats: DiskStats::default(),
        }
    }

    /// One round; false when there is to be no further one.
    fn step(&mut self) -> bool {
        if self.stats.error.is_some() {
            return false;
        }
        if let Err(error) = self.round() {
            println!("l2-guest: disk: {error:#}");
            self.stats.error = Some(format!("{error:#}"));
            return false;
        }
        true
    }

    /// Writes, and reads a block back that some earlier round has written.
    fn round(&mut self) -> Result<()> {
        let start = Instant::now();
        let round = self.stats.rounds + 1;
        let file = round as usize % FILES;
        let new = self.written[file * BLOCKS] == 0;
        let places: Vec<Place> = if new || round % ROUNDS_PER_FILE == 0 {
            self.files
                .replace(file, round)
                .with_context(|| format!("round {round}: replacing file {file}"))?;
            self.stats.replaced += 1;
            (0..BLOCKS).map(|block| Place { file, block }).collect()
        } else {
            let first = round.wrapping_mul(STRIDE) as usize;
            let places: Vec<Place> = (0..BLOCKS_PER_ROUND)
                .map(|index| Place {
                    file,
                    block: (first + index * STRIDE as usize) % BLOCKS,
                })
                .collect();
            self.files
                .write(&places, round)
                .with_context(|| format!("round {round}: writing file {file}"))?;
            places
        };
        for place in &places {
            self.written[place.file * BLOCKS + place.block] = round;
        }
        self.stats.written_bytes += (places.len() * BLOCK) as u64;
        self.stats.rounds = round;
        self.read_back(places[0])?;
        let other = self.some_block(round);
        if self.expected(other) != 0 {
            self.read_back(other)?;
        }
        let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.stats.longest_round_ms = self.stats.longest_round_ms.max(took);
        Ok(())
    }

    fn some_block(&self, round: u64) -> Place {
        let index = round.wrapping_mul(0x9e37_79b9) as usize % (FILES * BLOCKS);
        Place {
            file: index / BLOCKS,
            block: index % BLOCKS,
        }
    }

    fn expected(&self, place: Place) -> u64 {
        self.written[place.file * BLOCKS + place.block]
    }

    /// What the disk has must be what was written.
    fn read_back(&mut self, place: Place) -> Result<()> {
        let block = self
            .files
            .read(place, self.way)
            .with_context(|| format!("reading {place:?}"))?;
        self.stats.reads += 1;
        let round = block.round(place).map_err(|problem| anyhow!(problem))?;
        let expected = self.expected(place);
        ensure!(
            round == expected,
            "{place:?} is of round {round}, should be of round {expected}"
        );
        Ok(())
    }

    /// Compares all blocks with what was written.
    fn compare(&mut self, way: Way) -> Result<()> {
        let survey = self
            .files
            .survey(way)
            .with_context(|| format!("reading all files ({way:?})"))?;
        for (index, (found, expected)) in survey.rounds.iter().zip(&self.written).enumerate() {
            self.stats.compared += 1;
            let problem = match found {
                Ok(round) if round == expected => continue,
                Ok(round) => format!(
                    "file {} block {} is of round {round}, should be of round {expected}",
                    index / BLOCKS,
                    index % BLOCKS
                ),
                Err(problem) => problem.clone(),
            };
            self.stats.wrong += 1;
            let example = format!("{way:?}: {problem}");
            self.stats.example.get_or_insert(example);
        }
        Ok(())
    }
}

fn lock(shared: &Mutex<Load>) -> MutexGuard<'_, Load> {
    // What a round that panicked left behind is still worth reporting.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_remembered_and_damage_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let mut load = Load::new(Files::in_directory(directory.path()), Way::Cached);
        for _ in 0..3 * FILES {
            load.round().unwrap();
        }
        assert!(load.written.iter().all(|&round| round > 0));
        load.compare(Way::Cached).unwrap();
        assert_eq!((load.stats.compared, load.stats.wrong), (256, 0));
        // An older round in the place of a newer one.
        let place = Place { file: 2, block: 7 };
        load.files.write(&[place], 1).unwrap();
        load.compare(Way::Cached).unwrap();
        assert_eq!(load.stats.wrong, 1);
        assert!(load.read_back(place).is_err());
        let example = load.stats.example.clone().unwrap();
        assert!(
            example.contains("file 2 block 7 is of round 1"),
            "{example}"
        );
    }
}
