// SPDX-License-Identifier: GPL-2.0
//! The bench's page writer: a register block by which software makes a function
//! write a whole page by DMA, so that it is known who wrote it, and when.

use anyhow::{Context, Result};

use crate::vfio::{Device, DmaBuffer, Mapping, PAGE};
use crate::virtio::Layout;
use crate::wait::{self, PATIENCE};

const ADDRESS: usize = 0x00;
const SEQUENCE: usize = 0x08;
const DONE: usize = 0x0c;

/// The page writer of one device.
pub struct PageWriter {
    bar: Mapping,
    base: usize,
    sequence: u32,
}

impl PageWriter {
    /// The device's page writer; real hardware has none.
    pub fn of(device: &Device) -> Result<Option<Self>> {
        let Some(window) = Layout::of(device)?.vendor else {
            return Ok(None);
        };
        device.enable_bus_master()?;
        let bar = device
            .map_region(u32::from(window.bar))
            .context("mapping the page writer")?;
        let sequence = bar.read(window.offset + DONE);
        Ok(Some(Self {
            bar,
            base: window.offset,
            sequence,
        }))
    }

    /// Where its registers are in their BAR.
    pub fn offset(&self) -> usize {
        self.base
    }

    /// Has the device write the page at `iova`, and waits until it says that it did.
    /// Returns the sequence number that the page now holds.
    pub fn write(&mut self, iova: u64) -> Result<u32> {
        self.sequence = self.sequence.wrapping_add(1);
        self.bar.write::<u32>(self.base + ADDRESS, iova as u32);
        self.bar
            .write::<u32>(self.base + ADDRESS + 4, (iova >> 32) as u32);
        wait::until("the page writer", PATIENCE, || {
            self.bar.write(self.base + SEQUENCE, self.sequence);
            let done: u32 = self.bar.read(self.base + DONE);
            Ok((done == self.sequence).then_some(self.sequence))
        })
    }

    /// Asks for a write once and returns what the device says it did last.
    pub fn try_write(&mut self, iova: u64) -> (u32, u32) {
        self.sequence = self.sequence.wrapping_add(1);
        self.bar.write::<u32>(self.base + ADDRESS, iova as u32);
        self.bar
            .write::<u32>(self.base + ADDRESS + 4, (iova >> 32) as u32);
        self.bar.write(self.base + SEQUENCE, self.sequence);
        (self.sequence, self.bar.read(self.base + DONE))
    }

    /// Does the page at `offset` of `memory` hold exactly what write `sequence` puts there?
    pub fn holds(memory: &DmaBuffer, offset: usize, sequence: u32) -> bool {
        (0..PAGE / 8).all(|index| {
            let expected = (u64::from(sequence) << 32) | index as u64;
            u64::from_le(memory.read(offset + 8 * index)) == expected
        })
    }
}
