// SPDX-License-Identifier: GPL-2.0
//! A VFIO device: information, regions, interrupts, reset.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use vfio_bindings::bindings::vfio;

use super::call::{self, Words};
use super::mapping::Mapping;
use super::space::{Access, Space};
use crate::pci::{COMMAND, COMMAND_MASTER, COMMAND_MEMORY, Function};

/// Region index of BAR 0.
pub const BAR0: u32 = vfio::VFIO_PCI_BAR0_REGION_INDEX;
/// Region index of configuration space.
pub const CONFIG: u32 = vfio::VFIO_PCI_CONFIG_REGION_INDEX;
/// Interrupt index of MSI-X.
pub const MSIX: u32 = vfio::VFIO_PCI_MSIX_IRQ_INDEX;
/// Interrupt index of the kernel's request to give the device back.
pub const REQUEST: u32 = vfio::VFIO_PCI_REQ_IRQ_INDEX;

/// Room for a region's capability chain.
const REGION_INFO: usize = 4096;

/// Answer to VFIO_DEVICE_GET_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    pub flags: u32,
    pub regions: u32,
    pub irqs: u32,
}

/// Answer to VFIO_DEVICE_GET_REGION_INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    pub flags: u32,
    pub size: u64,
    pub offset: u64,
    /// The capability chain, byte for byte.
    pub capabilities: Vec<u8>,
}

impl Region {
    /// May it be mapped?
    pub fn mappable(&self) -> bool {
        self.flags & vfio::VFIO_REGION_INFO_FLAG_MMAP != 0
    }
}

/// Answer to VFIO_DEVICE_GET_IRQ_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqInfo {
    pub flags: u32,
    pub count: u32,
}

/// An open VFIO device, attached to an address space.
///
/// Fields are dropped in order: the device is closed before its group, its group before the space.
pub struct Device {
    file: File,
    /// The id iommufd knows it by.
    iommufd_id: Option<u32>,
    group: Option<File>,
    space: Arc<Space>,
}

impl Device {
    /// Opens `function`'s device and attaches it to `space`.
    pub fn open(function: &Function, space: &Arc<Space>) -> Result<Self> {
        match space.access() {
            Access::Cdev => {
                let mut device = Self::bind(function, space)?;
                let (_, ioas) = space.iommufd().context("no iommufd")?;
                device.attach(ioas).context("attaching to the IOAS")?;
                Ok(device)
            }
            Access::Group => Self::open_in_group(function, space),
        }
    }

    /// Opens the device and binds it to the iommufd of `space`, attached to nothing.
    pub fn bind(function: &Function, space: &Arc<Space>) -> Result<Self> {
        let (iommufd, _) = space
            .iommufd()
            .context("a container cannot bind character devices")?;
        let file = open(&function.vfio_cdev()?)?;
        let mut bind = vfio::vfio_device_bind_iommufd {
            argsz: size_of::<vfio::vfio_device_bind_iommufd>() as u32,
            iommufd: iommufd.as_raw_fd(),
            ..Default::default()
        };
        call::structure(file.as_fd(), call::vfio_request(18), &mut bind)
            .context("VFIO_DEVICE_BIND_IOMMUFD")?;
        Ok(Self {
            file,
            iommufd_id: Some(bind.out_devid),
            group: None,
            space: Arc::clone(space),
        })
    }

    fn open_in_group(function: &Function, space: &Arc<Space>) -> Result<Self> {
        let group = open(&function.vfio_group()?)?;
        let mut status = vfio::vfio_group_status {
            argsz: size_of::<vfio::vfio_group_status>() as u32,
            flags: 0,
        };
        call::structure(group.as_fd(), call::vfio_request(3), &mut status)
            .context("VFIO_GROUP_GET_STATUS")?;
        ensure!(
            status.flags & vfio::VFIO_GROUP_FLAGS_VIABLE != 0,
            "the group of {} is not viable",
            function.address()
        );
        space.add_group(group.as_fd())?;
        let name = CString::new(function.address().to_string()).context("device name")?;
        let fd = call::text(group.as_fd(), call::vfio_request(6), &name)
            .context("VFIO_GROUP_GET_DEVICE_FD")?;
        // SAFETY: the ioctl has just returned this descriptor; nobody else knows it.
        let file = unsafe { File::from_raw_fd(fd) };
        Ok(Self {
            file,
            iommufd_id: None,
            group: Some(group),
            space: Arc::clone(space),
        })
    }

    /// The device file, for accesses that are to be seen as they are.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads from the device file into memory that does not exist.
    pub fn read_to_nowhere(&self, offset: u64, length: usize) -> Result<usize, Errno> {
        // SAFETY: nothing is ever mapped at address 8, so that the kernel can only refuse.
        let done = unsafe {
            libc::pread(
                self.file.as_raw_fd(),
                std::ptr::without_provenance_mut(8),
                length,
                offset as libc::off_t,
            )
        };
        Errno::result(done).map(|done| done as usize)
    }

    /// Writes to the device file from memory that does not exist.
    pub fn write_from_nowhere(&self, offset: u64, length: usize) -> Result<usize, Errno> {
        // SAFETY: as in `read_to_nowhere`.
        let done = unsafe {
            libc::pwrite(
                self.file.as_raw_fd(),
                std::ptr::without_provenance(8),
                length,
                offset as libc::off_t,
            )
        };
        Errno::result(done).map(|done| done as usize)
    }

    /// The address space it was opened with.
    pub fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// The id iommufd knows it by.
    pub fn iommufd_id(&self) -> Result<u32> {
        self.iommufd_id
            .context("opened by group: not bound to an iommufd")
    }

    /// Attaches it to an IOAS or a page table (HWPT) instead of the present one.
    pub fn attach(&mut self, page_table: u32) -> Result<(), Errno> {
        let mut attach = vfio::vfio_device_attach_iommufd_pt {
            argsz: size_of::<vfio::vfio_device_attach_iommufd_pt>() as u32,
            pt_id: page_table,
            ..Default::default()
        };
        call::structure(self.file.as_fd(), call::vfio_request(19), &mut attach).map(drop)
    }

    /// Attaches the page table, or IOAS, `page_table` for DMA with a PASID.
    pub fn attach_pasid(&self, page_table: u32, pasid: u32) -> Result<(), Errno> {
        // struct vfio_device_attach_iommufd_pt
        let mut attach = call::Words::new(16);
        for (index, value) in [16, ATTACH_PASID, page_table, pasid]
            .into_iter()
            .enumerate()
        {
            attach.set32(4 * index, value);
        }
        call::bytes(self.file.as_fd(), call::vfio_request(19), &mut attach).map(drop)
    }

    /// Detaches it: it reaches no memory any more.
    pub fn detach(&mut self) -> Result<(), Errno> {
        let mut detach = vfio::vfio_device_detach_iommufd_pt {
            argsz: size_of::<vfio::vfio_device_detach_iommufd_pt>() as u32,
            ..Default::default()
        };
        call::structure(self.file.as_fd(), call::vfio_request(20), &mut detach).map(drop)
    }

    /// What it is.
    pub fn info(&self) -> Result<Info> {
        let mut info = vfio::vfio_device_info {
            argsz: size_of::<vfio::vfio_device_info>() as u32,
            ..Default::default()
        };
        call::structure(self.file.as_fd(), call::vfio_request(7), &mut info)
            .context("VFIO_DEVICE_GET_INFO")?;
        Ok(Info {
            flags: info.flags,
            regions: info.num_regions,
            irqs: info.num_irqs,
        })
    }

    /// A region; PCI devices answer EINVAL for what they have not.
    pub fn region(&self, index: u32) -> Result<Region, Errno> {
        let fixed = size_of::<vfio::vfio_region_info>();
        let mut answer = Words::new(REGION_INFO);
        answer.set32(0, REGION_INFO as u32);
        answer.set32(8, index);
        call::bytes(self.file.as_fd(), call::vfio_request(8), &mut answer)?;
        let total = (answer.get32(0) as usize).clamp(fixed, answer.len());
        let mut capabilities = vec![0; total - fixed];
        answer.get(fixed, &mut capabilities);
        if answer.get32(12) == 0 {
            capabilities.clear();
        }
        Ok(Region {
            flags: answer.get32(4),
            size: answer.get64(16),
            offset: answer.get64(24),
            capabilities,
        })
    }

    /// An interrupt index.
    pub fn irq(&self, index: u32) -> Result<IrqInfo, Errno> {
        let mut info = vfio::vfio_irq_info {
            argsz: size_of::<vfio::vfio_irq_info>() as u32,
            index,
            ..Default::default()
        };
        call::structure(self.file.as_fd(), call::vfio_request(9), &mut info)?;
        Ok(IrqInfo {
            flags: info.flags,
            count: info.count,
        })
    }

    /// Reads from a region; returns how much there was.
    pub fn read_region(&self, index: u32, offset: u64, out: &mut [u8]) -> Result<usize> {
        let region = self.region(index).context("region")?;
        self.file
            .read_at(out, region.offset + offset)
            .with_context(|| format!("reading region {index} at {offset:#x}"))
    }

    /// Writes all of `bytes` to a region.
    pub fn write_region(&self, index: u32, offset: u64, bytes: &[u8]) -> Result<()> {
        let region = self.region(index).context("region")?;
        self.file
            .write_all_at(bytes, region.offset + offset)
            .with_context(|| format!("writing region {index} at {offset:#x}"))
    }

    /// Reads configuration space, which must have that much.
    pub fn config(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let length = self.read_region(CONFIG, offset, out)?;
        ensure!(
            length == out.len(),
            "configuration space ends at {:#x}",
            offset + length as u64
        );
        Ok(())
    }

    /// Lets the device answer on its memory and do DMA.
    pub fn enable_bus_master(&self) -> Result<()> {
        self.change_command(COMMAND_MEMORY | COMMAND_MASTER, 0)
    }

    /// Lets the device not answer on its memory.
    pub fn disable_memory(&self) -> Result<()> {
        self.change_command(0, COMMAND_MEMORY)
    }

    fn change_command(&self, set: u16, clear: u16) -> Result<()> {
        let mut command = [0; 2];
        self.config(COMMAND, &mut command)?;
        let command = (u16::from_le_bytes(command) | set) & !clear;
        self.write_region(CONFIG, COMMAND, &command.to_le_bytes())
    }

    /// Maps a whole region.
    pub fn map_region(&self, index: u32) -> Result<Mapping> {
        let region = self.region(index).context("region")?;
        ensure!(region.mappable(), "region {index} cannot be mapped");
        Mapping::of_file(
            &self.file,
            region.offset,
            usize::try_from(region.size).context("size")?,
        )
    }

    /// Puts this device's region in the place of another device's.
    pub fn map_region_over(&self, index: u32, mapping: &mut Mapping) -> Result<()> {
        let region = self.region(index).context("region")?;
        ensure!(
            region.size == mapping.len() as u64,
            "region {index} differs in size"
        );
        mapping.replace(&self.file, region.offset)
    }

    /// Resets it.
    pub fn reset(&self) -> Result<(), Errno> {
        call::number(self.file.as_fd(), call::vfio_request(11), 0).map(drop)
    }

    /// Resets it together with all that is reset with it, which must be this user's, too.
    pub fn hot_reset(&self) -> Result<(), Errno> {
        // struct vfio_pci_hot_reset_info, with room for some functions.
        let mut info = Words::new(12 + 8 * 16);
        info.set32(0, 12 + 8 * 16);
        call::bytes(self.file.as_fd(), call::vfio_request(12), &mut info)?;
        // struct vfio_pci_hot_reset: the group shows whose they are, or the iommufd does.
        let group = self.group.as_ref();
        let groups = group.map_or(0, |_| 1);
        let mut reset = Words::new(16);
        reset.set32(0, 12 + 4 * groups);
        reset.set32(8, groups);
        if let Some(group) = group {
            reset.set(12, &group.as_raw_fd().to_ne_bytes());
        }
        call::bytes(self.file.as_fd(), call::vfio_request(13), &mut reset).map(drop)
    }

    /// Signals every vector of an interrupt index through an eventfd of its own.
    pub fn enable_interrupts(&self, index: u32) -> Result<Interrupts> {
        let count = self.irq(index).context("interrupt index")?.count;
        let events: Vec<EventFd> = (0..count)
            .map(|_| {
                EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            })
            .collect::<Result<_, _>>()
            .context("eventfd")?;
        let interrupts = Interrupts { events };
        self.route_interrupts(index, &interrupts)?;
        Ok(interrupts)
    }

    /// Signals the vectors of an interrupt index through eventfds that exist already.
    pub fn route_interrupts(&self, index: u32, interrupts: &Interrupts) -> Result<()> {
        let fixed = std::mem::offset_of!(vfio::vfio_irq_set, data);
        let length = fixed + 4 * interrupts.events.len();
        let mut set = Words::new(length);
        set.set32(0, length as u32);
        set.set32(
            4,
            vfio::VFIO_IRQ_SET_DATA_EVENTFD | vfio::VFIO_IRQ_SET_ACTION_TRIGGER,
        );
        set.set32(8, index);
        set.set32(16, interrupts.events.len() as u32);
        for (vector, event) in interrupts.events.iter().enumerate() {
            set.set(fixed + 4 * vector, &event.as_fd().as_raw_fd().to_ne_bytes());
        }
        call::bytes(self.file.as_fd(), call::vfio_request(10), &mut set)
            .map(drop)
            .with_context(|| format!("VFIO_DEVICE_SET_IRQS index {index}"))
    }

    /// Lets the kernel itself signal a vector, without the device.
    pub fn trigger_interrupt(&self, index: u32, vector: u32) -> Result<(), Errno> {
        self.set_irqs_none(index, vector, 1)
    }

    /// Takes all interrupts of an index away.
    pub fn disable_interrupts(&self, index: u32) -> Result<(), Errno> {
        self.set_irqs_none(index, 0, 0)
    }

    fn set_irqs_none(&self, index: u32, start: u32, count: u32) -> Result<(), Errno> {
        let length = std::mem::offset_of!(vfio::vfio_irq_set, data);
        let mut set = Words::new(length);
        set.set32(0, length as u32);
        set.set32(
            4,
            vfio::VFIO_IRQ_SET_DATA_NONE | vfio::VFIO_IRQ_SET_ACTION_TRIGGER,
        );
        set.set32(8, index);
        set.set32(12, start);
        set.set32(16, count);
        call::bytes(self.file.as_fd(), call::vfio_request(10), &mut set).map(drop)
    }

    /// VFIO_DEVICE_FEATURE with any flags and any `argsz`, right or wrong.
    /// `payload` is what follows the header, in and out.
    pub fn feature(&self, flags: u32, argsz: u32, payload: &mut [u8]) -> Result<(), Errno> {
        self.feature_number(flags, argsz, payload).map(drop)
    }

    /// Like [`Self::feature`], for one that returns a number.
    pub(super) fn feature_number(
        &self,
        flags: u32,
        argsz: u32,
        payload: &mut [u8],
    ) -> Result<i32, Errno> {
        let mut feature = Words::new(FEATURE_HEADER + payload.len());
        feature.set32(0, argsz);
        feature.set32(4, flags);
        feature.set(FEATURE_HEADER, payload);
        let number = call::bytes(self.file.as_fd(), call::vfio_request(17), &mut feature)?;
        feature.get(FEATURE_HEADER, payload);
        Ok(number)
    }

    /// Is the feature there, for `GET` or `SET` in `flags`?
    pub fn probe(&self, flags: u32) -> Result<(), Errno> {
        self.feature(
            flags | vfio::VFIO_DEVICE_FEATURE_PROBE,
            FEATURE_HEADER as u32,
            &mut [],
        )
    }
}

/// VFIO_DEVICE_ATTACH_PASID
const ATTACH_PASID: u32 = 1;

/// Bytes of `struct vfio_device_feature` before its data.
pub const FEATURE_HEADER: usize = 8;

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| format!("opening {}", path.display()))
}

/// The eventfds behind the vectors of an interrupt index.
pub struct Interrupts {
    events: Vec<EventFd>,
}

impl Interrupts {
    /// How many vectors there are.
    pub fn vectors(&self) -> usize {
        self.events.len()
    }

    /// How often `vector` has fired since this was last asked.
    pub fn take(&self, vector: usize) -> Result<u64> {
        match self.event(vector)?.read() {
            Ok(count) => Ok(count),
            Err(Errno::EAGAIN) => Ok(0),
            Err(errno) => Err(errno).context("reading an eventfd"),
        }
    }

    /// Waits for `vector` to fire.
    pub fn wait(&self, vector: usize, limit: Duration) -> Result<u64> {
        let event = self.event(vector)?;
        let mut fds = [PollFd::new(event.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        if poll(&mut fds, timeout).context("poll")? == 0 {
            bail!("vector {vector} did not fire within {} s", limit.as_secs());
        }
        self.take(vector)
    }

    fn event(&self, vector: usize) -> Result<&EventFd> {
        self.events
            .get(vector)
            .with_context(|| format!("no vector {vector}"))
    }
}
