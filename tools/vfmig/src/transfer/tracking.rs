// SPDX-License-Identifier: GPL-2.0
//! Dirty pages: memory that a source can reach, and who tells what it wrote there.

use anyhow::{Context, Result, bail};
use vvp_harness::vfio::{Access, DirtyTracking, DmaBuffer, PAGE};

use crate::access::Opened;

/// Where the device finds the memory; the first addresses are for nobody.
const IOVA: u64 = 0x0100_0000;

/// Memory whose dirty pages are counted.
pub struct Tracking {
    memory: DmaBuffer,
    teller: Teller,
}

enum Teller {
    /// The IOMMU's dirty bits, through iommufd.
    Iommu(DirtyTracking),
    /// The driver's DMA logging, in pages of this size.
    Device(u64),
}

impl Tracking {
    /// Gives the device `mebibytes` of memory and begins to count.
    pub fn start(opened: &mut Opened, mebibytes: u32) -> Result<Self> {
        let length = usize::try_from(u64::from(mebibytes) << 20).context("memory")?;
        let memory = DmaBuffer::new(IOVA, length)?;
        let device = &mut opened.device;
        device.space().map(&memory)?;
        let by_iommu = opened.access == Access::Cdev && device.iommu_tracks_dirty()?;
        let teller = if by_iommu {
            let table = DirtyTracking::allocate(device)?;
            device
                .attach(table.id())
                .context("attaching dirty tracking")?;
            table.enable(true).context("starting dirty tracking")?;
            Teller::Iommu(table)
        } else if device.has_dma_log()? {
            let size = device
                .start_dma_log(PAGE as u64, &[(IOVA, length as u64)])
                .context("starting DMA logging")?;
            Teller::Device(size)
        } else {
            bail!(
                "nobody tells dirty pages: leave --track out, or use iommufd on an IOMMU with dirty bits"
            );
        };
        Ok(Self { memory, teller })
    }

    /// Pages written since this was last asked.
    pub fn take(&self, opened: &Opened) -> Result<u64> {
        let (iova, length) = (self.memory.iova(), self.memory.len() as u64);
        let bitmap = match &self.teller {
            Teller::Iommu(table) => table.read(iova, length, PAGE as u64),
            Teller::Device(size) => opened.device.read_dma_log(iova, length, *size),
        };
        let pages = bitmap.context("reading dirty pages")?.pages().len();
        Ok(pages as u64)
    }
}
