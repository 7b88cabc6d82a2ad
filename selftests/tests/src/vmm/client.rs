// SPDX-License-Identifier: GPL-2.0
//! A machine monitor with one device and some memory.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use iommufd_dirty::{CdevIommufd, HwptDirtyTracking, TrackedHwpt};
use iommufd_ioctls::IommuFd;
use vfio_ioctls::{DmaLoggingRange, VfioContainer, VfioDevice, VfioIommufd, VfioOps};
use vvp_harness::net::PageWriter;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Access, BAR0, CONFIG, Device, DmaBuffer, PAGE, Space};
use vvp_harness::wait;

use crate::dma_logging::DmaLogging;

/// Guest memory: where, and how many pages.
pub const BASE: u64 = 0x1_0000_0000;
pub const PAGES: u64 = 512;
const PAGE_SIZE: u64 = PAGE as u64;

/// How the device is reached, and who tells of dirty pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Type1 container, DMA logging: cloud-hypervisor without iommufd.
    Type1,
    /// An IOAS, DMA logging: cloud-hypervisor with iommufd.
    Iommufd,
    /// A page table with dirty bits, DMA logging.
    TrackedLogging,
    /// A page table with dirty bits, which iommufd is asked for.
    TrackedIommufd,
}

impl Way {
    pub const ALL: [Self; 4] = [
        Self::Type1,
        Self::Iommufd,
        Self::TrackedLogging,
        Self::TrackedIommufd,
    ];

    /// What the device is to be told of DMA logging: what a host of such a VMM has
    /// set.
    fn dma_logging(self) -> &'static str {
        match self {
            Self::Type1 | Self::TrackedIommufd => "auto",
            Self::Iommufd => "conservative",
            Self::TrackedLogging => "iommu",
        }
    }

    /// Are exactly the pages written reported?
    pub fn is_exact(self) -> bool {
        matches!(self, Self::TrackedLogging | Self::TrackedIommufd)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Type1 => "type1",
            Self::Iommufd => "iommufd",
            Self::TrackedLogging => "hwpt_dma_logging",
            Self::TrackedIommufd => "hwpt_dirty_bitmap",
        })
    }
}

/// The monitor. Fields are dropped in order: the device goes before its page
/// table, and before its memory.
pub struct Vmm {
    pub device: VfioDevice,
    tracked: Option<TrackedHwpt>,
    way: Way,
    /// Offset of the bench's page writer in BAR 0.
    writer: u64,
    sequence: AtomicU32,
    _ops: Arc<dyn VfioOps>,
    memory: Vec<DmaBuffer>,
    _setting: DmaLogging,
}

impl Vmm {
    pub fn start(vf: &Function, way: Way) -> Result<Self> {
        let writer = find_writer(vf)?;
        let setting = DmaLogging::set(vf, way.dma_logging())?;
        let path: PathBuf = vf.path();
        let (ops, device, tracked): (Arc<dyn VfioOps>, _, _) = if way == Way::Type1 {
            let ops: Arc<dyn VfioOps> = Arc::new(VfioContainer::new(None)?);
            let device = VfioDevice::new(&path, Arc::clone(&ops))?;
            (ops, device, None)
        } else {
            let iommufd = Arc::new(IommuFd::new()?);
            let ioas = iommufd.alloc_ioas()?;
            let space = VfioIommufd::new(Arc::clone(&iommufd), Some(ioas), None)?;
            let ops: Arc<dyn VfioOps> = Arc::new(space);
            if way.is_exact() {
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(vf.vfio_cdev()?)?;
                let id = file.bind_iommufd(&iommufd)?;
                let device = VfioDevice::new_from_bound_fd(file, Arc::clone(&ops))?;
                let hwpt = TrackedHwpt::new(iommufd, ioas, id)?;
                device.attach_hwpt(&hwpt)?;
                (ops, device, Some(hwpt))
            } else {
                let device = VfioDevice::new(&path, Arc::clone(&ops))?;
                (ops, device, None)
            }
        };
        let memory = (0..PAGES)
            .map(|page| DmaBuffer::new(BASE + page * PAGE_SIZE, PAGE))
            .collect::<Result<Vec<_>>>()?;
        for page in &memory {
            // SAFETY: a `DmaBuffer` is accessed by volatile operations on raw pointers
            // only, and outlives the device.
            unsafe { ops.vfio_dma_map(page.iova(), PAGE, page.address() as *mut u8)? };
        }
        // Memory and bus master.
        device.region_write(CONFIG, &6_u16.to_le_bytes(), 4);
        Ok(Self {
            device,
            tracked,
            way,
            writer,
            sequence: AtomicU32::new(0),
            _ops: ops,
            _setting: setting,
            memory,
        })
    }

    fn range() -> DmaLoggingRange {
        DmaLoggingRange {
            iova: BASE,
            length: PAGES * PAGE_SIZE,
        }
    }

    /// Begins to track which pages the device writes.
    pub fn start_tracking(&self) -> Result<()> {
        match &self.tracked {
            Some(hwpt) if self.way == Way::TrackedIommufd => hwpt.set_dirty_tracking(true)?,
            _ => {
                let size = self.device.start_dma_logging(PAGE_SIZE, &[Self::range()])?;
                ensure!(size == PAGE_SIZE, "logs in pages of {size:#x}");
            }
        }
        Ok(())
    }

    /// The pages written since this was last asked.
    pub fn dirty(&self) -> Result<BTreeSet<u64>> {
        let bitmap = match &self.tracked {
            Some(hwpt) if self.way == Way::TrackedIommufd => {
                hwpt.dirty_bitmap(BASE, PAGES * PAGE_SIZE, PAGE_SIZE, false)?
            }
            _ => self.device.report_dma_logging(Self::range(), PAGE_SIZE)?,
        };
        Ok((0..PAGES)
            .filter(|page| (bitmap[(page / 64) as usize] >> (page % 64)) & 1 != 0)
            .map(|page| BASE + page * PAGE_SIZE)
            .collect())
    }

    pub fn stop_tracking(&self) -> Result<()> {
        match &self.tracked {
            Some(hwpt) if self.way == Way::TrackedIommufd => hwpt.set_dirty_tracking(false)?,
            _ => self.device.stop_dma_logging()?,
        }
        Ok(())
    }

    fn page(&self, iova: u64) -> Option<&DmaBuffer> {
        self.memory
            .get(usize::try_from(iova.checked_sub(BASE)? / PAGE_SIZE).ok()?)
    }

    /// What has the device write.
    pub fn writer(&self) -> Writer<'_> {
        Writer {
            device: &self.device,
            offset: self.writer,
            sequence: &self.sequence,
        }
    }

    /// Sends a page to `target`.
    pub fn send(&self, iova: u64, target: &Self) -> Result<()> {
        let (from, to) = self
            .page(iova)
            .zip(target.page(iova))
            .with_context(|| format!("no page at {iova:#x}"))?;
        for offset in (0..PAGE).step_by(8) {
            to.write::<u64>(offset, from.read(offset));
        }
        Ok(())
    }

    /// Pages that are not the same in `other`.
    pub fn differences(&self, other: &Self) -> Vec<u64> {
        self.memory
            .iter()
            .zip(&other.memory)
            .filter(|(one, two)| {
                (0..PAGE)
                    .step_by(8)
                    .any(|offset| one.read::<u64>(offset) != two.read::<u64>(offset))
            })
            .map(|(one, _)| one.iova())
            .collect()
    }

    /// The device still writes where it is told to.
    pub fn prove_device(&self) -> Result<()> {
        self.device.region_write(CONFIG, &6_u16.to_le_bytes(), 4);
        for page in [0, 7, PAGES - 1] {
            let iova = BASE + page * PAGE_SIZE;
            let sequence = self.writer().write(iova)?;
            let buffer = self.page(iova).context("no page")?;
            ensure!(
                PageWriter::holds(buffer, 0, sequence),
                "page {iova:#x} was not written"
            );
        }
        Ok(())
    }
}

/// The bench's page writer, through which one thread may have the device write
/// while others do something else.
pub struct Writer<'a> {
    device: &'a VfioDevice,
    offset: u64,
    sequence: &'a AtomicU32,
}

impl Writer<'_> {
    /// Has the device write a page. Returns the sequence number that it then holds.
    pub fn write(&self, iova: u64) -> Result<u32> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let set = |offset, value: u32| {
            self.device
                .region_write(BAR0, &value.to_le_bytes(), self.offset + offset);
        };
        set(0x0, iova as u32);
        set(0x4, (iova >> 32) as u32);
        wait::until("the page writer", wait::PATIENCE, || {
            set(0x8, sequence);
            let mut done = [0; 4];
            self.device.region_read(BAR0, &mut done, self.offset + 0xc);
            Ok((u32::from_le_bytes(done) == sequence).then_some(sequence))
        })
    }
}

/// Finds the page writer with the harness's own client; the register is all that
/// is taken from it.
fn find_writer(vf: &Function) -> Result<u64> {
    let space = Arc::new(Space::new(Access::Group)?);
    let device = Device::open(vf, &space)?;
    let writer = PageWriter::of(&device)?.context("the bench has no page writer")?;
    Ok(writer.offset() as u64)
}
