// SPDX-License-Identifier: GPL-2.0
//! The host's end of the control channel to the guest.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::lines::Lines;
use crate::control::{Answer, Command, Request};

/// How long a running guest may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// The control channel of one QEMU.
pub struct Guest {
    lines: Lines,
    next: u64,
}

impl Guest {
    /// `first` is the first request number to use: above all that were used on
    /// another channel to the same guest.
    pub fn connect(path: &Path, first: u64) -> Result<Self> {
        Ok(Self {
            lines: Lines::connect(path)?,
            next: first,
        })
    }

    /// The same where another host passes the channel on.
    pub fn connect_to(place: SocketAddr, first: u64) -> Result<Self> {
        Ok(Self {
            lines: Lines::connect_to(place, ANSWER)?,
            next: first,
        })
    }

    /// Asks about `function`, and waits up to `limit` for the answer. An answer that
    /// says the command failed is an error.
    pub fn ask_within(
        &mut self,
        function: usize,
        command: Command,
        limit: Duration,
    ) -> Result<Answer> {
        let id = self.next;
        self.next += 1;
        let request = Request {
            id,
            function,
            command,
        };
        self.lines.send(&serde_json::to_value(request)?)?;
        let deadline = Instant::now() + limit;
        loop {
            let line = self
                .lines
                .receive(deadline)
                .with_context(|| format!("asking the guest: {command:?}"))?
                .with_context(|| {
                    format!(
                        "the guest did not answer {command:?} within {} s",
                        limit.as_secs()
                    )
                })?;
            let Ok(answer) = serde_json::from_value::<Answer>(line) else {
                continue;
            };
            if answer.id != id {
                continue;
            }
            if let Some(error) = &answer.error {
                bail!("guest: {command:?}: {error}");
            }
            return Ok(answer);
        }
    }

    pub fn ask(&mut self, function: usize, command: Command) -> Result<Answer> {
        self.ask_within(function, command, ANSWER)
    }
}
