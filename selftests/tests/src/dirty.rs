// SPDX-License-Identifier: GPL-2.0
//! Fixture `dirty`: pages that only the device writes, seen through iommufd's
//! dirty tracking. Needs the bench's page writer and its IOMMU.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use vvp_harness::control::Control;
use vvp_harness::ktap::Suite;
use vvp_harness::net::PageWriter;
use vvp_harness::vfio::{Access, Device, DirtyTracking, DmaBuffer, PAGE, Space};
use vvp_harness::{expect, expect_eq, skip};

use crate::config::{Config, Driver};
use crate::dma_logging::require_dirty_bits;
use crate::rig;

const IOVA: u64 = 0x8000_0000;
const PAGES: usize = 512;
const WRITES: usize = 48;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    for driver in [Driver::Rs, Driver::C] {
        let own = Arc::clone(config);
        suite.add(
            "dirty",
            format!("{driver}_cdev"),
            "exactly_what_was_written",
            move || Tracked::set_up(&own, driver, Mapped::PageByPage)?.exact(),
        );
        let own = Arc::clone(config);
        suite.add(
            "dirty",
            format!("{driver}_cdev"),
            "large_mappings",
            move || {
                require_dirty_bits()?;
                Tracked::set_up(&own, driver, Mapped::AtOnce)?.large()
            },
        );
        let own = Arc::clone(config);
        suite.add(
            "dirty",
            format!("{driver}_cdev"),
            "nothing_without_dirty_bits",
            move || Tracked::set_up(&own, driver, Mapped::PageByPage)?.negative_control(),
        );
    }
}

/// How the memory is given to the IOMMU.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mapped {
    /// So that each page has its own page table entry, and its own dirty bit.
    PageByPage,
    /// So that contiguous pages may share one.
    AtOnce,
}

// Fields are dropped in order: the device must be closed before the page table goes.
struct Tracked {
    writer: PageWriter,
    device: Device,
    tracking: DirtyTracking,
    memory: Vec<DmaBuffer>,
    control: Control,
    name: String,
}

impl Tracked {
    fn set_up(config: &Config, driver: Driver, mapped: Mapped) -> Result<Self> {
        let mut control = config.control()?;
        control.dirty_bits(true)?;
        let vf = config.vf()?;
        let name = config.bench_name(&vf)?;
        config.bind(&vf, driver)?;
        let space = Arc::new(Space::new(Access::Cdev)?);
        let mut device = Device::bind(&vf, &space)?;
        if !device.iommu_tracks_dirty()? {
            skip!("the IOMMU does not track dirty pages");
        }
        let tracking = DirtyTracking::allocate(&device)?;
        device
            .attach(tracking.id())
            .context("attaching to the tracked page table")?;
        let memory = match mapped {
            Mapped::AtOnce => vec![DmaBuffer::new(IOVA, PAGES * PAGE)?],
            Mapped::PageByPage => (0..PAGES)
                .map(|page| DmaBuffer::new(IOVA + (page * PAGE) as u64, PAGE))
                .collect::<Result<_>>()?,
        };
        for buffer in &memory {
            space.map(buffer)?;
        }
        tracking.enable(true).context("enabling dirty tracking")?;
        let writer = PageWriter::of(&device)?.context("the bench has no page writer")?;
        control.dma_writes(&name, true)?;
        Ok(Self {
            writer,
            device,
            tracking,
            memory,
            control,
            name,
        })
    }

    /// Has the device write some pages; returns which.
    fn write_some(&mut self, seed: usize) -> Result<BTreeSet<u64>> {
        let mut written = BTreeSet::new();
        let mut page = seed;
        while written.len() < WRITES {
            // Visits all residues: 197 and 512 have no common divisor.
            page = (page * 5 + 197) % PAGES;
            let iova = IOVA + (page * PAGE) as u64;
            let sequence = self.writer.write(iova)?;
            let whole = &self.memory[if self.memory.len() == 1 { 0 } else { page }];
            let offset = (iova - whole.iova()) as usize;
            expect!(
                PageWriter::holds(whole, offset, sequence),
                "page {iova:#x} does not hold what was written"
            );
            written.insert(iova);
        }
        Ok(written)
    }

    fn dirty(&self) -> Result<BTreeSet<u64>> {
        let bitmap = self
            .tracking
            .read(IOVA, (PAGES * PAGE) as u64, PAGE as u64)
            .context("IOMMU_HWPT_GET_DIRTY_BITMAP")?;
        Ok(bitmap.pages().into_iter().collect())
    }

    /// What the model of the device says that it wrote.
    fn witnessed(&mut self) -> Result<BTreeSet<u64>> {
        Ok(self
            .control
            .dma_writes(&self.name, true)?
            .into_iter()
            .collect())
    }

    fn exact(&mut self) -> Result<()> {
        expect_eq!(
            self.dirty()?,
            BTreeSet::new(),
            "dirty pages before any write"
        );
        // The second round writes pages whose translations the IOMMU has cached.
        for round in 0..3 {
            let written = self.write_some(round % 2)?;
            expect_eq!(
                self.witnessed()?,
                written,
                "round {round}: pages the model wrote"
            );
            expect_eq!(self.dirty()?, written, "round {round}: dirty pages");
            expect_eq!(
                self.dirty()?,
                BTreeSet::new(),
                "round {round}: dirty pages read again"
            );
        }
        self.tracking
            .enable(false)
            .context("disabling dirty tracking")?;
        rig::recover(&self.device)
    }

    fn large(&mut self) -> Result<()> {
        /// The largest page a page table of 4 KiB pages has below 1 GiB.
        const LARGE: u64 = 2 << 20;
        let written = self.write_some(0)?;
        let dirty = self.dirty()?;
        expect!(
            dirty.is_superset(&written),
            "lost: {:x?}",
            written.difference(&dirty)
        );
        let blocks: BTreeSet<u64> = written.iter().map(|page| page / LARGE).collect();
        for page in &dirty {
            expect!(
                blocks.contains(&(page / LARGE)),
                "{page:#x} is dirty and far from any write"
            );
        }
        expect_eq!(self.dirty()?, BTreeSet::new(), "dirty pages read again");
        Ok(())
    }

    /// An IOMMU that sets no dirty bits must show; else these tests prove nothing.
    fn negative_control(&mut self) -> Result<()> {
        self.control.dirty_bits(false)?;
        let written = self.write_some(0);
        let dirty = self.dirty();
        self.control.dirty_bits(true)?;
        expect!(!written?.is_empty(), "nothing was written");
        expect_eq!(dirty?, BTreeSet::new(), "dirty pages without dirty bits");
        Ok(())
    }
}
