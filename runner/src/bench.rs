// SPDX-License-Identifier: GPL-2.0
//! Starts the bench process and takes what it offers to QEMU.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::console::tail;
use crate::interrupt;
use supervise::{POLL, Supervised};

/// How long the bench may take until its sockets listen.
const READY: Duration = Duration::from_secs(20);

/// The bench's log, in the run directory.
pub const LOG: &str = "bench.log";

/// The first two lines of a panic in a log: where, and what was said.
pub fn panic_in(log: &str) -> Option<String> {
    let mut lines = log.lines();
    let place = lines.find(|line| line.contains(" panicked at "))?;
    Some(format!("{place} {}", lines.next().unwrap_or_default()))
}

/// A running bench.
#[derive(Debug)]
pub struct Bench {
    process: Supervised,
    log: PathBuf,
}

impl Bench {
    /// Starts `program` with its sockets in `dir` and waits until they listen.
    pub fn start(program: &Path, dir: &Path, arguments: &[String]) -> Result<Self> {
        let log = dir.join(LOG);
        let stderr = File::create(&log).with_context(|| format!("cannot create {log:?}"))?;
        let mut process = Supervised::spawn(
            "the bench",
            Command::new(program)
                .arg("--dir")
                .arg(dir)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(stderr),
        )?;
        let stdout = process
            .child()
            .stdout
            .take()
            .context("the bench has no stdout")?;
        let (announce, ready) = channel();
        // Reads on after "ready", so that the bench never blocks on a full pipe;
        // ends with the bench.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line == "ready" && announce.send(()).is_err() {
                    break;
                }
            }
        });
        let mut bench = Self { process, log };
        let deadline = Instant::now() + READY;
        loop {
            interrupt::check()?;
            match ready.recv_timeout(POLL) {
                Ok(()) => return Ok(bench),
                Err(RecvTimeoutError::Disconnected) => {
                    // Its stdout is closed: it is ending.
                    bench.process.wait(Duration::from_secs(2))?;
                    bench.check()?;
                    bail!("the bench closed its output before it was ready");
                }
                Err(RecvTimeoutError::Timeout) => bench.check()?,
            }
            if Instant::now() > deadline {
                bail!("the bench was not ready within {} s", READY.as_secs());
            }
        }
    }

    /// Fails if the bench has ended, with its last words.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.process.ended()? {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            bail!("the bench ended ({status}): {}", tail(&log, 3).join(" | "));
        }
        Ok(())
    }

    /// The QEMU arguments by which the bench's functions are attached.
    pub fn qemu_arguments(dir: &Path) -> Result<Vec<String>> {
        let path = dir.join("qemu.args");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path:?}"))?;
        Ok(text
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_string)
            .collect())
    }

    /// Ends the bench.
    pub fn end(&mut self) {
        self.process.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_seen() {
        assert_eq!(panic_in("INFO a guest resets its device\n"), None);
        let log = "x\nthread 'pf' panicked at src/rings.rs:7:9:\nindex out of bounds\nnote: y\n";
        assert_eq!(
            panic_in(log).unwrap(),
            "thread 'pf' panicked at src/rings.rs:7:9: index out of bounds"
        );
    }
}
