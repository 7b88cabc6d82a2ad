// SPDX-License-Identifier: GPL-2.0
//! Shows that a long stage is alive: a spinner with the last line of its log on
//! a terminal, now and then a line elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Without a terminal, how often a line is printed.
const INTERVAL: Duration = Duration::from_secs(30);

/// The progress display of one stage.
pub struct Progress {
    name: String,
    bar: Option<ProgressBar>,
    started: Instant,
    next: Instant,
    last: String,
}

impl Progress {
    /// Starts the display of a stage.
    pub fn start(name: &str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style =
                ProgressStyle::with_template("  {spinner} {prefix:24} {elapsed:>5} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(name.to_string());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let started = Instant::now();
        if !terminal {
            eprintln!("  {name} ...");
        }
        Self {
            name: name.to_string(),
            bar,
            started,
            next: started + INTERVAL,
            last: String::new(),
        }
    }

    /// Shows what the stage is doing.
    pub fn message(&mut self, text: &str) {
        let printable: String = text.chars().filter(|c| !c.is_control()).collect();
        match &self.bar {
            Some(bar) => bar.set_message(printable),
            None => self.last = printable,
        }
    }

    /// To be called often; prints when it is time to.
    pub fn tick(&mut self) {
        if self.bar.is_none() && Instant::now() >= self.next {
            eprintln!(
                "  {}: {} s: {:.100}",
                self.name,
                self.started.elapsed().as_secs(),
                self.last
            );
            self.next += INTERVAL;
        }
    }

    /// Ends the display with a line that stays.
    pub fn finish(self, outcome: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!(
            "  {:24} {outcome} ({} s)",
            self.name,
            self.started.elapsed().as_secs()
        );
    }
}
