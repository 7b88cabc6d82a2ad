// SPDX-License-Identifier: GPL-2.0
//! Waiting for what is to come, for a while.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How long devices may take to appear.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tries until it works, for a while.
pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("waiting for {what}")));
            }
            Err(_) => sleep(Duration::from_millis(50)),
        }
    }
}
