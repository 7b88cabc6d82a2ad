// SPDX-License-Identifier: GPL-2.0

//! How many lines a device may write to the kernel log.
//!
//! What is logged, an unprivileged user of the device can cause, and as often as
//! they like.

/// Lines in a period.
const BURST: u32 = 10;

/// Length of a period in milliseconds.
const PERIOD_MS: u64 = 5000;

/// Counts the lines of the current period.
#[derive(Clone, Copy, Debug)]
pub struct LogLimit {
    /// When the period began; `None` before the first line.
    began_ms: Option<u64>,
    lines: u32,
    /// Lines that were not written since the last that was.
    suppressed: u32,
}

impl LogLimit {
    /// No line yet.
    pub const fn new() -> Self {
        Self {
            began_ms: None,
            lines: 0,
            suppressed: 0,
        }
    }

    /// A line is to be written at `now_ms`. `None` if it must not be, else how
    /// many were not before it.
    pub fn allow(&mut self, now_ms: u64) -> Option<u32> {
        let same_period = self
            .began_ms
            .is_some_and(|began| now_ms.saturating_sub(began) < PERIOD_MS);
        if !same_period {
            self.began_ms = Some(now_ms);
            self.lines = 0;
        }
        if self.lines == BURST {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.lines += 1;
        Some(core::mem::take(&mut self.suppressed))
    }
}

impl Default for LogLimit {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_a_period() {
        let mut limit = LogLimit::new();
        for start in [7, 7 + PERIOD_MS, 100 * PERIOD_MS] {
            let first = limit.allow(start);
            assert!(first.is_some(), "{start}");
            for _ in 1..BURST {
                assert_eq!(limit.allow(start + 1), Some(0));
            }
            for _ in 0..3 {
                assert_eq!(limit.allow(start + PERIOD_MS - 1), None);
            }
        }
    }

    #[test]
    fn what_was_not_written_is_counted_once() {
        let mut limit = LogLimit::new();
        let written = (0..BURST + 4).filter_map(|_| limit.allow(0)).count();
        assert_eq!(written, BURST as usize);
        assert_eq!(limit.allow(PERIOD_MS), Some(4));
        assert_eq!(limit.allow(PERIOD_MS), Some(0));
    }

    #[test]
    fn time_that_runs_backwards_starts_no_period() {
        let mut limit = LogLimit::new();
        let written = (0..100).filter_map(|i| limit.allow(1_000_000 - i)).count();
        assert_eq!(written, BURST as usize);
    }
}
