// SPDX-License-Identifier: GPL-2.0
//! What was done, and what came of it. It is kept where it survives whoever did it.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Event {
    /// Changes of state that succeeded.
    Transitions,
    /// Those that failed.
    RefusedTransitions,
    /// Streams that a device took to their end.
    StreamsLoaded,
    /// Streams, whole or not, that failed.
    StreamsRefused,
    /// Reads and writes of data descriptors, old and new.
    Transfers,
    /// Those with device memory as the buffer.
    TransfersByDeviceMemory,
    /// Questions and requests other than those above.
    Requests,
    /// Resets that succeeded: of VFIO, by sysfs.
    Resets,
    /// Allocations that failed because they were to.
    FailedAllocations,
    /// Faults of the device that were asked for.
    DeviceFaults,
    /// Clients that were killed.
    Kills,
    /// Functions that were pulled out.
    Removals,
    /// Functions, and PFs, that were unbound.
    Unbinds,
    /// Changes of the number of functions.
    SriovChanges,
    /// Times that the module was unloaded.
    Unloads,
    /// Files read in debugfs.
    DebugfsReads,
    /// Rounds.
    Rounds,
}

impl Event {
    const ALL: [(Self, &'static str); 17] = [
        (Self::Transitions, "transitions"),
        (Self::RefusedTransitions, "refused_transitions"),
        (Self::StreamsLoaded, "streams_loaded"),
        (Self::StreamsRefused, "streams_refused"),
        (Self::Transfers, "transfers"),
        (Self::TransfersByDeviceMemory, "transfers_by_device_memory"),
        (Self::Requests, "requests"),
        (Self::Resets, "resets"),
        (Self::FailedAllocations, "failed_allocations"),
        (Self::DeviceFaults, "faults"),
        (Self::Kills, "kills"),
        (Self::Removals, "removals"),
        (Self::Unbinds, "unbinds"),
        (Self::SriovChanges, "sriov_changes"),
        (Self::Unloads, "unloads"),
        (Self::DebugfsReads, "debugfs_reads"),
        (Self::Rounds, "rounds"),
    ];
}

/// Bytes of one writer's counts.
const ROW: usize = 8 * Event::ALL.len();

/// The counts of all writers.
#[derive(Clone)]
pub struct Book(Arc<File>);

impl Book {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let file = memfd_create("torture", MFdFlags::MFD_CLOEXEC).context("memfd_create")?;
        Ok(Self(Arc::new(file.into())))
    }

    /// The writer of this row; there is only one at a time.
    pub fn writer(&self, row: u64) -> Result<Tally> {
        let mut counts = [0; Event::ALL.len()];
        let mut bytes = [0; ROW];
        // A row that nobody has written to yet is not there.
        let length = self
            .0
            .read_at(&mut bytes, row * ROW as u64)
            .context("reading counts")?;
        for (count, bytes) in counts.iter_mut().zip(bytes[..length].chunks_exact(8)) {
            *count = u64::from_ne_bytes(bytes.try_into()?);
        }
        Ok(Tally {
            book: self.clone(),
            row,
            counts,
        })
    }

    /// The sums.
    pub fn sums(&self) -> Result<Sums> {
        let mut sums = Sums([0; Event::ALL.len()]);
        let mut bytes = [0; ROW];
        let mut at = 0;
        while self.0.read_at(&mut bytes, at).context("reading counts")? == ROW {
            for (sum, bytes) in sums.0.iter_mut().zip(bytes.chunks_exact(8)) {
                *sum += u64::from_ne_bytes(bytes.try_into()?);
            }
            at += ROW as u64;
        }
        Ok(sums)
    }
}

/// The counts of one writer.
pub struct Tally {
    book: Book,
    row: u64,
    counts: [u64; Event::ALL.len()],
}

impl Tally {
    /// One more.
    pub fn add(&mut self, event: Event) {
        self.counts[event as usize] += 1;
        let mut bytes = [0; ROW];
        for (bytes, count) in bytes.chunks_exact_mut(8).zip(self.counts) {
            bytes.copy_from_slice(&count.to_ne_bytes());
        }
        // Memory of this size is there, or the machine is beyond counting.
        let _ = self.book.0.write_all_at(&bytes, self.row * ROW as u64);
    }
}

/// How often everything has happened.
pub struct Sums([u64; Event::ALL.len()]);

impl Sums {
    /// How often `event` has.
    pub fn of(&self, event: Event) -> u64 {
        self.0[event as usize]
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (event, name) in Event::ALL {
            write!(f, " {name} {}", self.of(event))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_events() {
        for (at, (event, _)) in Event::ALL.iter().enumerate() {
            assert_eq!(*event as usize, at);
        }
    }

    #[test]
    fn rows_are_added_up_and_go_on() {
        let book = Book::new().unwrap();
        for row in [0, 2, 0] {
            let mut tally = book.writer(row).unwrap();
            tally.add(Event::Kills);
            tally.add(Event::Rounds);
        }
        let sums = book.sums().unwrap();
        assert_eq!((sums.of(Event::Kills), sums.of(Event::Resets)), (3, 0));
        assert!(sums.to_string().contains(" kills 3 removals 0 "), "{sums}");
    }
}
