// SPDX-License-Identifier: GPL-2.0
//! Bytes between data descriptors and files.

use std::io::{ErrorKind, Read};

use anyhow::{Context, Result};
use vvp_harness::vfio::DataFd;

use super::interrupt::Interrupt;
use super::progress::Progress;

const CHUNK: usize = 1 << 20;

/// Takes the bytes that are read.
pub type Sink<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

/// Moves bytes and says so.
pub struct Pump {
    pub interrupt: Interrupt,
    pub progress: Progress,
    chunk: Vec<u8>,
}

impl Pump {
    /// One that begins with `phase`.
    pub fn new(phase: &str) -> Result<Self> {
        Ok(Self {
            interrupt: Interrupt::install()?,
            progress: Progress::new(phase),
            chunk: vec![0; CHUNK],
        })
    }

    /// Reads up to the end, for good or for now; returns how much that was.
    pub fn drain(&mut self, fd: &mut DataFd, sink: &mut Sink<'_>) -> Result<u64> {
        let mut bytes = 0;
        loop {
            self.interrupt.check()?;
            let Some(length) = fd.read_some(&mut self.chunk)? else {
                return Ok(bytes);
            };
            sink(self.chunk.get(..length).unwrap_or_default())?;
            self.progress.moved(length);
            bytes += length as u64;
        }
    }

    /// Loads all of `input`; returns how much that was.
    pub fn load(&mut self, input: &mut impl Read, fd: &mut DataFd) -> Result<u64> {
        let mut bytes = 0;
        loop {
            self.interrupt.check()?;
            let length = match input.read(&mut self.chunk) {
                Ok(0) => return Ok(bytes),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("reading the stream"),
            };
            load_piece(fd, self.chunk.get(..length).unwrap_or_default())?;
            self.progress.moved(length);
            bytes += length as u64;
        }
    }
}

/// Loads a piece of a stream.
pub fn load_piece(fd: &mut DataFd, piece: &[u8]) -> Result<()> {
    fd.write_all(piece).context("the stream is refused")
}
