// SPDX-License-Identifier: GPL-2.0
//! What the kernel complains about while tests run.

use anyhow::Result;

use crate::kmsg::{self, Log};

/// Lines that are kept: the first complaint, and what the kernel said after it.
const MOST: usize = 40;

/// Follows the kernel log for complaints.
pub struct Complaints {
    log: Log,
    lines: Vec<String>,
}

impl Complaints {
    /// Starts behind the newest message.
    ///
    /// # Errors
    ///
    /// The kernel log cannot be read.
    pub fn follow() -> Result<Self> {
        Ok(Self {
            log: Log::follow()?,
            lines: Vec::new(),
        })
    }

    /// Reads what there is, before the kernel needs the room for more.
    ///
    /// # Errors
    ///
    /// The kernel log cannot be read.
    pub fn listen(&mut self) -> Result<()> {
        for message in self.log.messages()? {
            let begun = !self.lines.is_empty();
            if self.lines.len() < MOST && (begun || kmsg::is_trouble(&message)) {
                self.lines.push(message);
            }
        }
        Ok(())
    }

    /// The first complaint since the last call, if there was one, and what followed it.
    ///
    /// # Errors
    ///
    /// The kernel log cannot be read.
    pub fn take(&mut self) -> Result<Option<String>> {
        self.listen()?;
        let lines = std::mem::take(&mut self.lines);
        Ok((!lines.is_empty()).then(|| lines.join("\n")))
    }
}
