// SPDX-License-Identifier: GPL-2.0
//! What is going on, on standard error while that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Fits into forty columns: the longest phases are "source PRE_COPY_P2P" and a round's.
const TEMPLATE: &str = "{spinner} {msg:20} {bytes:>11} {elapsed:>4}";

/// The line that is redrawn; it vanishes in the end.
pub struct Progress(ProgressBar);

impl Progress {
    /// Begins with `phase`.
    pub fn new(phase: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        bar.set_message(phase.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Something else is going on.
    pub fn phase(&self, phase: &str) {
        self.0.set_message(phase.to_owned());
    }

    /// So many more bytes have moved.
    pub fn moved(&self, bytes: usize) {
        self.0.inc(bytes as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
