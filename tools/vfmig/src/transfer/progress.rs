// SPDX-License-Identifier: GPL-2.0
//! What is going on, on standard error while that is a terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use report::quantity;

/// How often the line is drawn again.
const REDRAW: Duration = Duration::from_millis(100);
/// The cursor goes to the start of an empty line.
const CLEAR: &str = "\r\x1b[K";

/// The line that is redrawn; it vanishes in the end.
pub struct Progress {
    terminal: bool,
    phase: String,
    bytes: u64,
    began: Instant,
    next: Instant,
}

impl Progress {
    /// Begins with `phase`.
    pub fn new(phase: &str) -> Self {
        let began = Instant::now();
        let progress = Self {
            terminal: std::io::stderr().is_terminal(),
            phase: phase.to_owned(),
            bytes: 0,
            began,
            next: began + REDRAW,
        };
        progress.draw();
        progress
    }

    /// Something else is going on.
    pub fn phase(&mut self, phase: &str) {
        phase.clone_into(&mut self.phase);
        self.draw();
    }

    /// So many more bytes have moved.
    pub fn moved(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if Instant::now() >= self.next {
            self.draw();
            self.next = Instant::now() + REDRAW;
        }
    }

    fn draw(&self) {
        self.put(&line(&self.phase, self.bytes, self.began.elapsed()));
    }

    /// Who cannot show progress makes it all the same.
    fn put(&self, line: &str) {
        if self.terminal {
            let mut terminal = std::io::stderr();
            let _ = write!(terminal, "{CLEAR}{line}").and_then(|()| terminal.flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.put("");
    }
}

/// Fits into forty columns: the longest phases are "source PRE_COPY_P2P" and a round's.
fn line(phase: &str, bytes: u64, elapsed: Duration) -> String {
    let (bytes, seconds) = (quantity(bytes as f64, "B"), elapsed.as_secs());
    format!("{phase:20} {bytes:>11} {seconds:>4} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_into_forty_columns() {
        let text = line("source PRE_COPY_P2P", 1000 << 20, Duration::from_secs(3));
        assert!(text.starts_with("source PRE_COPY_P2P "), "{text}");
        assert!(text.ends_with("   3 s"), "{text}");
        assert!(text.len() <= 40, "{text}");
    }
}
