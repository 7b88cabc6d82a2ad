// SPDX-License-Identifier: GPL-2.0
//! What each end of the traffic saw. Sent over the control channel and printed
//! in the report, hence serializable.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// One end of the TCP stream.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct StreamStats {
    pub sent: u64,
    pub received: u64,
    /// Messages that were not the next in sequence: lost or repeated ones.
    pub out_of_order: u64,
    /// Messages whose payload was not what their sequence number demands.
    pub corrupt: u64,
    /// Longest time between two messages received, in milliseconds.
    pub longest_gap_ms: u64,
    /// Why the connection ended, if it did.
    pub error: Option<String>,
}

/// One end of the datagrams.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct ProbeStats {
    pub sent: u64,
    /// Distinct datagrams received.
    pub received: u64,
    pub duplicates: u64,
    pub corrupt: u64,
    pub longest_gap_ms: u64,
}

/// One end of all traffic.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct TrafficStats {
    pub stream: StreamStats,
    pub probes: ProbeStats,
}

/// Result of looking at the pages that only the device writes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct PageStats {
    /// Pages there are.
    pub pages: usize,
    /// Page writes that the device confirmed.
    pub writes: u64,
    /// The writer has noticed that it is on another device, and has stopped.
    pub moved: bool,
    /// Why the writer cannot go on, if it cannot.
    pub error: Option<String>,
    /// Pages that do not show what the device wrote last; None: not looked yet.
    pub stale: Option<usize>,
    /// The first wrong word, for the reader.
    pub example: Option<String>,
}

/// What the load on a disk has done and found.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct DiskStats {
    /// Rounds of writing that are safe on the disk.
    pub rounds: u64,
    pub written_bytes: u64,
    /// Files that took the place of others.
    pub replaced: u64,
    /// Blocks that were read back past the page cache meanwhile.
    pub reads: u64,
    /// Longest round, in milliseconds.
    pub longest_round_ms: u64,
    /// Why the load cannot go on, if it cannot.
    pub error: Option<String>,
    /// Blocks that were compared at the end, each in several ways.
    pub compared: u64,
    /// Those that were not what was written last.
    pub wrong: u64,
    /// The first of them, for the reader.
    pub example: Option<String>,
    /// What a survey of the files must find.
    pub digest: Option<u64>,
}

/// Measures the longest pause between events.
#[derive(Debug, Default)]
pub struct GapMeter {
    last: Option<Instant>,
    longest: Duration,
}

impl GapMeter {
    /// Notes that something arrived.
    pub fn note(&mut self, now: Instant) {
        if let Some(last) = self.last {
            self.longest = self.longest.max(now.saturating_duration_since(last));
        }
        self.last = Some(now);
    }

    /// Forgets the longest pause, but not when the last event was.
    pub fn restart(&mut self) {
        self.longest = Duration::ZERO;
    }

    /// The longest pause so far, in milliseconds.
    pub fn longest_ms(&self) -> u64 {
        u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Tells distinct sequence numbers from repeated ones.
#[derive(Debug, Default)]
pub struct Seen {
    numbers: HashSet<u64>,
    duplicates: u64,
}

impl Seen {
    pub fn note(&mut self, number: u64) {
        if !self.numbers.insert(number) {
            self.duplicates += 1;
        }
    }

    pub fn distinct(&self) -> u64 {
        self.numbers.len() as u64
    }

    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_wins() {
        let start = Instant::now();
        let mut meter = GapMeter::default();
        for ms in [0, 10, 250, 255] {
            meter.note(start + Duration::from_millis(ms));
        }
        assert_eq!(meter.longest_ms(), 240);
        meter.restart();
        meter.note(start + Duration::from_millis(300));
        assert_eq!(meter.longest_ms(), 45);
    }

    #[test]
    fn repeated_numbers_are_duplicates() {
        let mut seen = Seen::default();
        for number in [3, 1, 3, 2, 1] {
            seen.note(number);
        }
        assert_eq!((seen.distinct(), seen.duplicates()), (3, 2));
    }
}
