// SPDX-License-Identifier: GPL-2.0
//! Requests that are executed but of which the driver does not hear yet, because
//! a test wants a slow disk. They are what is in flight when a device is stopped.

use std::time::{Duration, Instant};

/// A used buffer: its head, and how much was written into it.
type Used = (u16, u32);

#[derive(Clone, Debug, Default)]
pub struct Held {
    delay: Duration,
    waiting: Vec<(Instant, u16, Used)>,
}

impl Held {
    /// How long requests take from now on.
    pub fn set_delay(&mut self, delay: Duration) {
        self.delay = delay;
    }

    /// Holds a buffer of `queue` back; false if the disk is not slow.
    pub fn hold(&mut self, queue: u16, used: Used) -> bool {
        if self.delay.is_zero() {
            return false;
        }
        self.waiting
            .push((Instant::now() + self.delay, queue, used));
        true
    }

    /// When the next buffer is due.
    pub fn due(&self) -> Option<Instant> {
        self.waiting.iter().map(|&(due, ..)| due).min()
    }

    /// What is due at `until`, or all there is.
    pub fn release(&mut self, until: Option<Instant>) -> Vec<(u16, Used)> {
        let is_due = |&(due, ..): &(Instant, u16, Used)| until.is_none_or(|until| due <= until);
        let (due, rest) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(is_due);
        self.waiting = rest;
        let due: Vec<_> = due;
        due.into_iter()
            .map(|(_, queue, used)| (queue, used))
            .collect()
    }

    /// Forgets the buffers.
    pub fn forget(&mut self) {
        self.waiting.clear();
    }
}
