// SPDX-License-Identifier: GPL-2.0
//! A thread that reads a file, which never changes, past the page cache and
//! without a pause: the device always has a request of its, and always writes into
//! the guest's memory.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, ensure};

use crate::files::{BLOCKS, FILES, Files, Place, Way};

/// The file: one more than those that are written to.
const FILE: usize = FILES;
/// The round that has written it.
const ROUND: u64 = 1;
/// Steps from one block to the next; odd, so that it gets everywhere.
const STRIDE: usize = 13;

/// The reader.
pub struct Reader {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    reads: AtomicU64,
    error: Mutex<Option<String>>,
}

impl Reader {
    /// Writes the file and begins to read it.
    pub fn start(files: Files, way: Way) -> Result<Self> {
        files
            .replace(FILE, ROUND)
            .context("writing the file to be read")?;
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            if let Err(error) = own.read(&files, way) {
                println!("l2-guest: reader: {error:#}");
                *own.error.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(format!("{error:#}"));
            }
        });
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Blocks that were read.
    pub fn reads(&self) -> u64 {
        self.shared.reads.load(Ordering::Relaxed)
    }

    /// What was wrong with one.
    pub fn error(&self) -> Option<String> {
        let error = self.shared.error.lock();
        error.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it, and returns when it has ended.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.lock();
        if let Some(thread) = thread.unwrap_or_else(PoisonError::into_inner).take() {
            // If it panicked, its message is on the console and counts as fault.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn read(&self, files: &Files, way: Way) -> Result<()> {
        let mut block = 0;
        while !self.stop.load(Ordering::Relaxed) {
            block = (block + STRIDE) % BLOCKS;
            let place = Place { file: FILE, block };
            let data = files
                .read(place, way)
                .with_context(|| format!("reading {place:?}"))?;
            let round = data.round(place).map_err(|problem| anyhow!(problem))?;
            ensure!(round == ROUND, "{place:?} is of round {round}");
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::yield_now;

    #[test]
    fn reads_until_it_is_stopped_or_something_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::in_directory(directory.path());
        let reader = Reader::start(files.clone(), Way::Cached).unwrap();
        while reader.reads() < 2 * BLOCKS as u64 {
            yield_now();
        }
        reader.stop();
        assert_eq!(reader.error(), None);
        let reader = Reader::start(files.clone(), Way::Cached).unwrap();
        let place = Place {
            file: FILE,
            block: 5,
        };
        files.write(&[place], ROUND + 1).unwrap();
        while reader.error().is_none() {
            yield_now();
        }
        reader.stop();
        assert!(reader.error().unwrap().contains("is of round 2"));
    }
}
