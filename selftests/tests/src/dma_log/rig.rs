// SPDX-License-Identifier: GPL-2.0
//! A device with a DMA log, memory for it to write to, and the model's own
//! record of what it wrote.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use vvp_harness::control::Control;
use vvp_harness::net::PageWriter;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Access, Device, DirtyTracking, DmaBuffer, PAGE, Range, Space};
use vvp_harness::{expect, expect_eq, skip};

use crate::config::{Config, Driver};
use crate::dma_logging::DmaLogging;

/// A page as an I/O address.
pub const PAGE_SIZE: u64 = PAGE as u64;

/// Where tests put memory.
pub const IOVA: u64 = 0x8000_0000;

/// What the device is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A page table of iommufd with dirty bits.
    Tracked,
    /// The page table that iommufd allocates by itself, without.
    Automatic,
    /// A type1 container.
    Container,
    /// An iommufd that stands in for such a container.
    Emulated,
}

impl Backing {
    pub const ALL: [Self; 4] = [
        Self::Tracked,
        Self::Automatic,
        Self::Container,
        Self::Emulated,
    ];

    /// Those without dirty bits.
    pub const UNTRACKED: [Self; 3] = [Self::Automatic, Self::Container, Self::Emulated];

    /// What is to be said of DMA logging in order to have it.
    fn policy(self) -> &'static str {
        match self {
            Self::Tracked => "iommu",
            Self::Automatic => "conservative",
            Self::Container | Self::Emulated => "auto",
        }
    }

    fn space(self) -> Result<Space> {
        match self {
            Self::Tracked | Self::Automatic => Space::new(Access::Cdev),
            Self::Container => Space::new(Access::Group),
            Self::Emulated => Space::emulated_container(),
        }
    }
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tracked => "tracked",
            Self::Automatic => "automatic",
            Self::Container => "container",
            Self::Emulated => "emulated_container",
        })
    }
}

/// A set of pages.
pub type Pages = BTreeSet<u64>;

/// All pages of a range.
pub fn pages(range: Range) -> Pages {
    (0..range.1 / PAGE_SIZE)
        .map(|page| range.0 + page * PAGE_SIZE)
        .collect()
}

/// A device of the driver under test, open and attached.
///
/// Fields are dropped in order: the device is closed before its page table goes.
pub struct Logged {
    writer: PageWriter,
    pub device: Device,
    pub tracking: Option<DirtyTracking>,
    memory: Vec<DmaBuffer>,
    /// Shared: the control socket has room for one.
    control: Rc<RefCell<Control>>,
    name: String,
    _setting: Option<DmaLogging>,
}

impl Logged {
    /// Opens the function under test, so that it has a log.
    pub fn open(config: &Config, backing: Backing) -> Result<Self> {
        Self::open_as(config, backing, Some(backing.policy()))
    }

    /// Opens the function under test after setting its DMA logging to `policy`, or
    /// with what is set already.
    pub fn open_as(config: &Config, backing: Backing, policy: Option<&str>) -> Result<Self> {
        let space = Arc::new(backing.space()?);
        let control = Rc::new(RefCell::new(config.control()?));
        let mut own = Self::open_in(config, &config.vf()?, &space, &control, policy)?;
        if backing == Backing::Tracked {
            let tracking = own.new_page_table()?;
            own.device
                .attach(tracking.id())
                .context("attaching to the tracked page table")?;
            own.tracking = Some(tracking);
        }
        Ok(own)
    }

    /// Opens `vf` in `space`, attached to what VFIO or iommufd choose.
    pub fn open_in(
        config: &Config,
        vf: &Function,
        space: &Arc<Space>,
        control: &Rc<RefCell<Control>>,
        policy: Option<&str>,
    ) -> Result<Self> {
        control.borrow_mut().dirty_bits(true)?;
        config.bind(vf, Driver::Rs)?;
        let setting = policy
            .map(|policy| DmaLogging::set(vf, policy))
            .transpose()?;
        let device = Device::open(vf, space)?;
        let writer = PageWriter::of(&device)?.context("the bench has no page writer")?;
        let name = config.bench_name(vf)?;
        control.borrow_mut().dma_writes(&name, true)?;
        Ok(Self {
            writer,
            device,
            tracking: None,
            memory: Vec::new(),
            control: Rc::clone(control),
            name,
            _setting: setting,
        })
    }

    /// One more page table with dirty bits over the same address space.
    pub fn new_page_table(&self) -> Result<DirtyTracking> {
        if !self.device.iommu_tracks_dirty()? {
            skip!("the IOMMU does not track dirty pages");
        }
        DirtyTracking::allocate(&self.device)
    }

    /// The page table it was opened with.
    pub fn tracking(&self) -> Result<&DirtyTracking> {
        self.tracking
            .as_ref()
            .context("no page table with dirty bits")
    }

    /// Lets the device have `buffer`.
    pub fn give(&mut self, buffer: DmaBuffer) -> Result<()> {
        self.device.space().map(&buffer)?;
        self.memory.push(buffer);
        Ok(())
    }

    /// Memory from `iova` on, each page with its own page table entry.
    pub fn map(&mut self, iova: u64, count: u64) -> Result<Range> {
        for page in 0..count {
            self.give(DmaBuffer::new(iova + page * PAGE_SIZE, PAGE)?)?;
        }
        Ok((iova, count * PAGE_SIZE))
    }

    /// Takes the mappings in `range` away from the device, one at a time.
    pub fn unmap(&mut self, range: Range) -> Result<()> {
        let (gone, rest) = self
            .memory
            .drain(..)
            .partition::<Vec<_>, _>(|buffer| (range.0..range.0 + range.1).contains(&buffer.iova()));
        self.memory = rest;
        for buffer in gone {
            self.device
                .space()
                .unmap(buffer.iova(), buffer.len() as u64)
                .with_context(|| format!("unmapping {:#x}", buffer.iova()))?;
        }
        Ok(())
    }

    /// Has the device write one page.
    pub fn write(&mut self, iova: u64) -> Result<()> {
        let sequence = self.writer.write(iova)?;
        let buffer = self
            .memory
            .iter()
            .find(|buffer| (buffer.iova()..buffer.iova() + buffer.len() as u64).contains(&iova))
            .context("no memory there")?;
        expect!(
            PageWriter::holds(buffer, (iova - buffer.iova()) as usize, sequence),
            "page {iova:#x} does not hold what was written"
        );
        Ok(())
    }

    /// Has the device write pages, and checks that the model saw the same.
    pub fn write_all(&mut self, pages: &Pages) -> Result<()> {
        for page in pages {
            self.write(*page)?;
        }
        expect_eq!(self.witnessed()?, *pages, "pages the model wrote");
        Ok(())
    }

    /// Has the device write `count` pages of `range`, some perhaps twice. Returns which.
    pub fn write_some(&mut self, range: Range, count: u64, random: &mut Rng) -> Result<Pages> {
        let mut written = Pages::new();
        for _ in 0..count {
            let page = range.0 + random.u64(..range.1 / PAGE_SIZE) * PAGE_SIZE;
            self.write(page)?;
            written.insert(page);
        }
        expect_eq!(self.witnessed()?, written, "pages the model wrote");
        Ok(written)
    }

    /// Has the IOMMU set dirty bits, or not.
    pub fn dirty_bits(&self, enabled: bool) -> Result<()> {
        Ok(self.control.borrow_mut().dirty_bits(enabled)?)
    }

    /// Has the model forget what it wrote.
    pub fn forget_witness(&mut self) -> Result<()> {
        self.witnessed().map(drop)
    }

    /// What the model of the device says that it wrote since this was last asked.
    fn witnessed(&mut self) -> Result<Pages> {
        Ok(self
            .control
            .borrow_mut()
            .dma_writes(&self.name, true)?
            .into_iter()
            .collect())
    }

    /// Starts a log of `ranges` in pages of the usual size.
    pub fn start(&self, ranges: &[Range]) -> Result<()> {
        let size = self
            .device
            .start_dma_log(PAGE_SIZE, ranges)
            .context("VFIO_DEVICE_FEATURE_DMA_LOGGING_START")?;
        ensure!(size == PAGE_SIZE, "logs in pages of {size:#x}");
        Ok(())
    }

    /// What the log has of `range`, which is then forgotten there.
    pub fn report(&self, range: Range) -> Result<Pages> {
        Ok(self
            .device
            .read_dma_log(range.0, range.1, PAGE_SIZE)
            .context("VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT")?
            .pages()
            .into_iter()
            .collect())
    }

    /// What iommufd reports of `range` and then forgets, in the page table it was opened with.
    pub fn ask_iommufd(&self, range: Range) -> Result<Pages> {
        let bitmap = self
            .tracking()?
            .read(range.0, range.1, PAGE_SIZE)
            .context("IOMMU_HWPT_GET_DIRTY_BITMAP")?;
        Ok(bitmap.pages().into_iter().collect())
    }
}
