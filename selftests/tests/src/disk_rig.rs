// SPDX-License-Identifier: GPL-2.0
//! A driver at a block function that knows what must be on the disk.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vvp_harness::blk::{BlkDriver, REQUEST_VECTOR, SECTORS_LIMIT, check, fill};
use vvp_harness::expect;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Device, DmaBuffer, Interrupts, MSIX};

use crate::config::Config;
use crate::rig::DRIVER_IOVA;

/// How long an interrupt may take.
const RAISED: Duration = Duration::from_secs(20);

/// Steps from one block to the next; odd, so that it gets everywhere.
const STRIDE: u64 = 7919;

/// A virtio-blk driver, and what it has written where.
pub struct Disk {
    pub blk: BlkDriver,
    pub interrupts: Interrupts,
    /// Round of the last write, by sector.
    written: BTreeMap<u64, u64>,
    round: u64,
}

impl Disk {
    /// Starts a driver on `device`.
    pub fn start(config: &Config, function: &Function, device: &Device) -> Result<Self> {
        config.require_blk(function)?;
        let memory = Rc::new(DmaBuffer::new(DRIVER_IOVA, BlkDriver::MEMORY)?);
        device.space().map(&memory)?;
        let interrupts = device.enable_interrupts(MSIX)?;
        let blk = BlkDriver::start(device, memory)?;
        ensure!(
            blk.sectors() >= SECTORS_LIMIT as u64,
            "a disk of {} sectors",
            blk.sectors()
        );
        Ok(Self {
            blk,
            interrupts,
            written: BTreeMap::new(),
            round: 0,
        })
    }

    /// Puts `count` writes into the ring, all over the disk, and tells nobody.
    pub fn enqueue(&mut self, count: usize) -> Result<()> {
        let blocks = self.blk.sectors() / SECTORS_LIMIT as u64;
        for _ in 0..count {
            self.round += 1;
            let sector = self.round.wrapping_mul(STRIDE) % blocks * SECTORS_LIMIT as u64;
            let data = fill(self.round, sector, SECTORS_LIMIT);
            self.blk.enqueue_write(sector, &data)?;
            self.written.insert(sector, self.round);
        }
        Ok(())
    }

    /// Writes `count` blocks, as many at a time as the ring takes, and flushes.
    pub fn write(&mut self, mut count: usize) -> Result<()> {
        while count > 0 {
            let batch = count.min(self.blk.depth());
            self.enqueue(batch)?;
            self.blk.announce();
            self.settle()?;
            count -= batch;
        }
        self.blk.flush()
    }

    /// All requests must complete.
    pub fn settle(&mut self) -> Result<()> {
        self.blk.settle()
    }

    /// All that was ever written must be there.
    pub fn verify(&mut self) -> Result<()> {
        for (&sector, &round) in &self.written {
            check(round, sector, &self.blk.read(sector, SECTORS_LIMIT)?)?;
        }
        Ok(())
    }

    /// Blocks that were written: first sector, and round of the last write.
    pub fn written(&self) -> impl Iterator<Item = (u64, u64)> {
        self.written.iter().map(|(&sector, &round)| (sector, round))
    }

    /// Takes no notice of interrupts up to now.
    pub fn forget_interrupts(&self) -> Result<()> {
        self.interrupts.take(REQUEST_VECTOR.into()).map(drop)
    }

    /// The request queue must have raised its interrupt.
    pub fn expect_interrupts(&self) -> Result<()> {
        let raised = self
            .interrupts
            .wait(REQUEST_VECTOR.into(), RAISED)
            .context("interrupt of the request queue")?;
        expect!(raised > 0, "no interrupt of the request queue");
        Ok(())
    }
}
