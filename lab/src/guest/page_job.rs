// SPDX-License-Identifier: GPL-2.0
//! A thread that has the device write pages of the guest's memory all the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::writer::{Mapped, Step, Writer};
use crate::stats::PageStats;

/// Pause between two page writes: fast enough to dirty all pages several times
/// while memory is copied, slow enough to leave the processor to others.
const WRITE_INTERVAL: Duration = Duration::from_millis(1);

/// The page writer, working in a thread of its own.
pub struct PageJob {
    stop: Arc<AtomicBool>,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    writer: Writer<Mapped>,
    stats: PageStats,
}

impl PageJob {
    pub fn start(writer: Writer<Mapped>) -> Self {
        let stats = PageStats {
            pages: writer.pages().len(),
            ..PageStats::default()
        };
        let job = Self {
            stop: Arc::default(),
            shared: Arc::new(Mutex::new(Shared { writer, stats })),
        };
        job.spawn();
        job
    }

    fn spawn(&self) {
        let (stop, shared) = (Arc::clone(&self.stop), Arc::clone(&self.shared));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) && lock(&shared).step() {
                sleep(WRITE_INTERVAL);
            }
        });
    }

    pub fn stats(&self) -> PageStats {
        lock(&self.shared).stats.clone()
    }

    /// Stops writing and looks at every word of every page.
    pub fn check(&self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        // The thread writes only while it holds the lock, and looks at `stop`
        // before it takes it: after one more step at most it is over.
        sleep(10 * WRITE_INTERVAL);
        let mut shared = lock(&self.shared);
        shared.look();
        let stats = &shared.stats;
        println!(
            "l2-guest: {} of {} pages stale{}",
            stats.stale.unwrap_or(0),
            stats.pages,
            stats
                .example
                .as_ref()
                .map_or(String::new(), |example| format!(" ({example})"))
        );
        ensure!(stats.writes > 0, "the device has written no page");
        Ok(())
    }

    /// Has the present device write every page once more, and looks again.
    pub fn rewrite(&self) -> Result<()> {
        ensure!(
            self.stop.load(Ordering::Relaxed),
            "the pages have not been checked yet"
        );
        let mut shared = lock(&self.shared);
        shared.writer.adopt();
        for _ in 0..shared.writer.pages().len() {
            if shared.writer.step()? == Step::Moved {
                bail!("the device changed while it wrote");
            }
        }
        shared.look();
        Ok(())
    }

    /// Begins anew, on the present device, what [`PageJob::check`] has ended.
    pub fn resume(&self) -> Result<()> {
        ensure!(
            self.stop.load(Ordering::Relaxed),
            "the pages are being written"
        );
        let mut shared = lock(&self.shared);
        shared.writer.adopt();
        shared.writer.count_anew();
        shared.stats = PageStats {
            pages: shared.stats.pages,
            ..PageStats::default()
        };
        drop(shared);
        self.stop.store(false, Ordering::Relaxed);
        self.spawn();
        Ok(())
    }
}

impl Shared {
    /// One page write; false when there is to be no further one.
    fn step(&mut self) -> bool {
        let result = self.writer.step();
        self.stats.writes = self.writer.writes();
        match result {
            Ok(Step::Written) => true,
            Ok(Step::Moved) => {
                println!(
                    "l2-guest: on another device after {} page writes",
                    self.stats.writes
                );
                self.stats.moved = true;
                false
            }
            Err(error) => {
                self.stats.error = Some(format!("{error:#}"));
                false
            }
        }
    }

    fn look(&mut self) {
        let (stale, example) = self.writer.pages().stale();
        self.stats.writes = self.writer.writes();
        self.stats.stale = Some(stale);
        self.stats.example = example;
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // What a step that panicked left behind is still worth reporting.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
