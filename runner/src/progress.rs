// SPDX-License-Identifier: GPL-2.0
//! Shows that a long stage is alive: on a terminal a line that is drawn again and again, with
//! the last line of its log, now and then a line elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Without a terminal, how often a line is printed.
const INTERVAL: Duration = Duration::from_secs(30);
/// On one, how often the line is drawn again.
const REDRAW: Duration = Duration::from_millis(200);
/// The cursor goes to the start of an empty line.
const CLEAR: &str = "\r\x1b[K";

/// The progress display of one stage.
pub struct Progress {
    name: String,
    terminal: bool,
    started: Instant,
    next: Instant,
    last: String,
}

impl Progress {
    /// Starts the display of a stage.
    pub fn start(name: &str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let started = Instant::now();
        if !terminal {
            eprintln!("  {name} ...");
        }
        Self {
            name: name.to_string(),
            terminal,
            started,
            next: started + if terminal { REDRAW } else { INTERVAL },
            last: String::new(),
        }
    }

    /// Shows what the stage is doing.
    pub fn message(&mut self, text: &str) {
        self.last = text.chars().filter(|c| !c.is_control()).collect();
    }

    /// To be called often; prints when it is time to.
    pub fn tick(&mut self) {
        if Instant::now() < self.next {
            return;
        }
        let (name, last) = (&self.name, &self.last);
        let seconds = self.started.elapsed().as_secs();
        if self.terminal {
            // Cut off, so that it is one line on any terminal.
            let line: String = format!("  {name:24} {seconds:4} s  {last}")
                .chars()
                .take(79)
                .collect();
            let mut terminal = std::io::stderr();
            // Who cannot show progress makes it all the same.
            let _ = write!(terminal, "{CLEAR}{line}").and_then(|()| terminal.flush());
            self.next = Instant::now() + REDRAW;
        } else {
            eprintln!("  {name}: {seconds} s: {last:.100}");
            self.next += INTERVAL;
        }
    }

    /// Ends the display with a line that stays.
    pub fn finish(self, outcome: &str) {
        eprintln!(
            "{}  {:24} {outcome} ({} s)",
            if self.terminal { CLEAR } else { "" },
            self.name,
            self.started.elapsed().as_secs()
        );
    }
}
