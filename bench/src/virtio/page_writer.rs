// SPDX-License-Identifier: GPL-2.0
//! The page writer: a vendor extension by which software makes the device write
//! a page that nobody else writes. Tests of dirty tracking need such pages.
//!
//! | offset | width | access | |
//! |---|---|---|---|
//! | 0x00 | 64 | RW | address of the page; the low 12 bits read as zero |
//! | 0x08 | 32 | RW | sequence: writing it writes the page |
//! | 0x0c | 32 | RO | sequence last executed since reset |
//!
//! Little-endian 64-bit word `i` of the page becomes `sequence << 32 | i`. While
//! the device is STOPPED a write to 0x08 is ignored; while it is not a bus
//! master or the IOMMU refuses the page, nothing is executed. Software retries
//! until 0x0c shows its sequence. Not part of the device parts.

use vm_memory::{Bytes, GuestAddress};

use super::bytes::copy_window;
use crate::iommu::DmaMemory;

const PAGE_SIZE: u64 = 4096;

/// Registers of one function's page writer.
#[derive(Clone, Debug, Default)]
pub struct PageWriter {
    address: u64,
    sequence: u32,
    executed: u32,
}

impl PageWriter {
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        let mut image = [0; 16];
        image[..8].copy_from_slice(&self.address.to_le_bytes());
        image[8..12].copy_from_slice(&self.sequence.to_le_bytes());
        image[12..].copy_from_slice(&self.executed.to_le_bytes());
        copy_window(&image, offset, data);
    }

    /// Handles a register write; true if a page is to be written now.
    pub fn write(&mut self, offset: u64, data: &[u8], stopped: bool) -> bool {
        let low = |value: u64, new: u32| ((value >> 32) << 32) | u64::from(new);
        match (offset, data) {
            (0, &[a, b, c, d, e, f, g, h]) => {
                self.address = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            }
            (0, &[a, b, c, d]) => {
                self.address = low(self.address, u32::from_le_bytes([a, b, c, d]));
            }
            (4, &[a, b, c, d]) => {
                let high = u64::from(u32::from_le_bytes([a, b, c, d]));
                self.address = (high << 32) | (self.address & u64::from(u32::MAX));
            }
            (8, &[a, b, c, d]) if !stopped => {
                self.sequence = u32::from_le_bytes([a, b, c, d]);
                return true;
            }
            _ => (),
        }
        self.address &= !(PAGE_SIZE - 1);
        false
    }

    /// Writes the page; true if that worked.
    pub fn execute(&mut self, mem: &DmaMemory) -> bool {
        let sequence = u64::from(self.sequence) << 32;
        let page: Vec<u8> = (0..PAGE_SIZE / 8)
            .flat_map(|word| (sequence | word).to_le_bytes())
            .collect();
        let done = mem.write_slice(&page, GuestAddress(self.address)).is_ok();
        if done {
            self.executed = self.sequence;
        }
        done
    }
}
