// SPDX-License-Identifier: GPL-2.0
//! Whether a device has the state that it was loaded with.

use std::fs::File;
use std::io::{Seek, Write};

use anyhow::{Context, Result};
use vvp_harness::vfio::State;

use super::pump::Pump;
use crate::access::Opened;
use crate::diff;
use crate::stream::Contents;

/// What a device was loaded with, kept to be compared.
pub struct Copy(File);

impl Copy {
    /// An empty one.
    pub fn new() -> Result<Self> {
        tempfile::tempfile()
            .map(Self)
            .context("making a temporary file")
    }

    /// More of it.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).context("writing a temporary file")
    }

    fn contents(mut self) -> Result<Contents> {
        self.0.rewind().context("reading a temporary file")?;
        Contents::of(self.0)
    }

    /// Whether `opened`, which is in STOP and stays there, has that state.
    pub fn matches(self, opened: &Opened, pump: &mut Pump) -> Result<bool> {
        let mut saved = Self::new()?;
        let mut fd = opened.device.begin(State::StopCopy)?;
        pump.drain(&mut fd, &mut |bytes| saved.add(bytes))?;
        opened.device.go(State::Stop)?;
        Ok(diff::compare(&self.contents()?, &saved.contents()?).equal)
    }
}
