// SPDX-License-Identifier: GPL-2.0
//! Waiting for a condition, always bounded.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long things may take that normally take milliseconds; the machine is emulated.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls `ready` until it yields a value, for at most `limit`.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(value) = ready()? {
            return Ok(value);
        }
        if start.elapsed() > limit {
            bail!("{what}: not so after {} s", limit.as_secs());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yields_the_value_when_it_comes() {
        let mut left = 3;
        let found = until("countdown", PATIENCE, || {
            left -= 1;
            Ok((left == 0).then_some("done"))
        });
        assert_eq!(found.ok(), Some("done"));
    }

    #[test]
    fn gives_up_and_says_what_was_awaited() {
        let error = until::<()>("the moon", Duration::ZERO, || Ok(None)).unwrap_err();
        assert!(error.to_string().starts_with("the moon: not so after"));
    }
}
