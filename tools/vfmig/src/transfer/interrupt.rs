// SPDX-License-Identifier: GPL-2.0
//! Signals that ask for the end are noted, and acted upon where devices can be left as
//! they were.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::libc::{SIGHUP, SIGINT, SIGTERM};

use crate::exit::{Exit, Failure};

/// How long a signal may go unnoticed.
const STEP: Duration = Duration::from_millis(20);

/// Whether the end was asked for.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes note from now on.
    pub fn install() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag))
                .context("installing a signal handler")?;
        }
        Ok(Self(flag))
    }

    /// Fails once the end was asked for.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Failure::new(Exit::Interrupted, "interrupted").into());
        }
        Ok(())
    }

    /// Waits, or fails once the end is asked for.
    pub fn wait(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(STEP));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noted_signal_ends_a_wait() {
        let interrupt = Interrupt(Arc::new(AtomicBool::new(false)));
        interrupt.wait(Duration::ZERO).unwrap();
        interrupt.0.store(true, Ordering::Relaxed);
        let error = interrupt.wait(Duration::from_secs(3600)).unwrap_err();
        assert_eq!(Failure::exit_of(&error), Exit::Interrupted);
    }
}
