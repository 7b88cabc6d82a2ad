// SPDX-License-Identifier: GPL-2.0
//! An open device: its features, its state, its reset.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;

use crate::call;
use crate::data::Data;
use crate::fsm::State;
use crate::lies;
use crate::memory::{Memory, Structure};
use crate::space::{Space, Way, open};
use crate::target::Target;
use crate::uapi::{self, FEATURE_GET, FEATURE_HEADER, FEATURE_PROBE, FEATURE_SET};

/// Fields are dropped in order: the device is closed before its group, and that before the
/// address space.
#[derive(Debug)]
pub struct Device {
    file: File,
    _group: Option<File>,
    space: Space,
}

impl Device {
    /// Opens `target`, with an address space of its own.
    pub fn open(target: &Target, way: Way) -> Result<Self> {
        let space = Space::new(way)?;
        match way {
            Way::Cdev => Self::open_cdev(target, space),
            Way::Group => Self::open_in_group(target, space),
        }
    }

    fn open_cdev(target: &Target, space: Space) -> Result<Self> {
        let path = target
            .cdev
            .as_ref()
            .context("it has no character device of its own")?;
        let file = open(path)?;
        let (iommufd, ioas) = space.iommufd().context("no iommufd")?;
        // struct vfio_device_bind_iommufd: argsz, flags, iommufd, out_devid.
        let mut bind = Structure::of_u32(&[16, 0, iommufd.as_raw_fd() as u32, 0]);
        call::structure(file.as_fd(), uapi::DEVICE_BIND_IOMMUFD, &mut bind)
            .context("VFIO_DEVICE_BIND_IOMMUFD")?;
        // struct vfio_device_attach_iommufd_pt: argsz, flags, pt_id.
        let mut attach = Structure::of_u32(&[12, 0, ioas]);
        call::structure(file.as_fd(), uapi::DEVICE_ATTACH_IOMMUFD_PT, &mut attach)
            .context("VFIO_DEVICE_ATTACH_IOMMUFD_PT")?;
        Ok(Self {
            file,
            _group: None,
            space,
        })
    }

    fn open_in_group(target: &Target, space: Space) -> Result<Self> {
        let group = open(target.group.as_ref().context("it is in no group of VFIO")?)?;
        let mut status = Structure::of_u32(&[8, 0]);
        call::structure(group.as_fd(), uapi::GROUP_GET_STATUS, &mut status)
            .context("VFIO_GROUP_GET_STATUS")?;
        ensure!(
            status.u32(4) & uapi::GROUP_FLAGS_VIABLE != 0,
            "other devices of its group are in use by other drivers"
        );
        space.add_group(group.as_fd())?;
        let name = CString::new(target.name.as_str()).context("name of the device")?;
        let fd = call::text(group.as_fd(), uapi::GROUP_GET_DEVICE_FD, &name)
            .context("VFIO_GROUP_GET_DEVICE_FD")?;
        // SAFETY: the ioctl has just returned this descriptor; nobody else knows it.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Self {
            file,
            _group: Some(group),
            space,
        })
    }

    /// Its address space.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Its file.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Flags of VFIO_DEVICE_GET_INFO.
    pub fn info_flags(&self) -> Result<u32> {
        let mut info = Structure::of_u32(&[20]);
        call::structure(self.fd(), uapi::DEVICE_GET_INFO, &mut info)
            .context("VFIO_DEVICE_GET_INFO")?;
        Ok(info.u32(4))
    }

    /// Flags, size and offset of a region.
    pub fn region(&self, index: u32) -> Result<(u32, u64, u64), Errno> {
        // struct vfio_region_info: argsz, flags, index, cap_offset, size, offset.
        let mut info = Structure::of_u32(&[32, 0, index, 0]);
        call::structure(self.fd(), uapi::DEVICE_GET_REGION_INFO, &mut info)?;
        Ok((info.u32(4), info.u64(16), info.u64(24)))
    }

    /// How many interrupts an index has.
    pub fn interrupts(&self, index: u32) -> Result<u32, Errno> {
        // struct vfio_irq_info: argsz, flags, index, count.
        let mut info = Structure::of_u32(&[16, 0, index, 0]);
        call::structure(self.fd(), uapi::DEVICE_GET_IRQ_INFO, &mut info)?;
        Ok(info.u32(12) + lies::another())
    }

    /// Reads from a region.
    pub fn read_region(&self, offset: u64, out: &mut [u8]) -> Result<(), Errno> {
        self.file.read_exact_at(out, offset).map_err(errno)?;
        if let Some(byte) = out.first_mut() {
            *byte ^= lies::another() as u8;
        }
        Ok(())
    }

    /// VFIO_DEVICE_RESET.
    pub fn reset(&self) -> Result<(), Errno> {
        if lies::is_told("resets_do_nothing") {
            return Ok(());
        }
        call::number(self.fd(), uapi::DEVICE_RESET, 0).map(drop)
    }

    /// VFIO_DEVICE_FEATURE as it is.
    pub fn feature_raw(&self, feature: &mut Structure) -> Result<(), Errno> {
        call::structure(self.fd(), uapi::DEVICE_FEATURE, feature).map(drop)
    }

    /// The same with the structure at `offset` in `memory`.
    pub fn feature_in(&self, memory: &Memory, offset: usize) -> Result<(), Errno> {
        call::in_memory(self.fd(), uapi::DEVICE_FEATURE, memory, offset).map(drop)
    }

    /// VFIO_DEVICE_FEATURE with `data`, which is replaced by what the kernel leaves there.
    pub fn feature(&self, flags: u32, data: &mut Vec<u8>) -> Result<(), Errno> {
        let mut feature = Structure::of_u32(&[(FEATURE_HEADER + data.len()) as u32, flags]);
        feature.set(FEATURE_HEADER, data);
        let answer = self.feature_raw(&mut feature);
        *data = feature.get(FEATURE_HEADER, data.len());
        answer
    }

    /// Whether `feature` is there, with the operations in it.
    pub fn probe(&self, feature: u32) -> Result<(), Errno> {
        self.feature(FEATURE_PROBE | feature, &mut Vec::new())
    }

    /// A feature of one 64-bit number.
    fn get_u64(&self, feature: u32) -> Result<u64, Errno> {
        let mut data = vec![0; 8];
        self.feature(FEATURE_GET | feature, &mut data)?;
        Ok(u64_at(&data, 0))
    }

    /// What VFIO_DEVICE_FEATURE_MIGRATION announces.
    pub fn migration_flags(&self) -> Result<u64, Errno> {
        self.get_u64(uapi::MIGRATION)
    }

    /// What VFIO_DEVICE_FEATURE_MIG_DATA_SIZE estimates.
    pub fn data_size(&self) -> Result<u64, Errno> {
        self.get_u64(uapi::MIG_DATA_SIZE)
    }

    /// Its state as a number, and what GET says of a descriptor.
    pub fn state_and_fd(&self) -> Result<(u32, i32), Errno> {
        let mut data = vec![0x55; 8];
        self.feature(FEATURE_GET | uapi::MIG_DEVICE_STATE, &mut data)?;
        let state = u32_at(&data, 0) ^ u32::from(lies::is_told("state_is_other"));
        Ok((state, u32_at(&data, 4) as i32))
    }

    /// Its state.
    pub fn state(&self) -> Result<State> {
        let (number, _) = self.state_and_fd().context("GET of the state")?;
        State::from_number(number)
            .with_context(|| format!("it is in state {number}, which does not exist"))
    }

    /// Asks for the state with this number. Returns the descriptor, if there is one.
    pub fn set_number(&self, state: u32) -> Result<Option<Data>, Errno> {
        if lies::is_told("states_stay") {
            return Ok(None);
        }
        let mut data = state.to_ne_bytes().to_vec();
        data.extend((-1_i32).to_ne_bytes());
        self.feature(FEATURE_SET | uapi::MIG_DEVICE_STATE, &mut data)?;
        let fd = u32_at(&data, 4) as i32;
        // SAFETY: a descriptor that the kernel has just installed for us.
        Ok((fd >= 0).then(|| Data::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Asks for `state`.
    pub fn set(&self, state: State) -> Result<Option<Data>, Errno> {
        self.set_number(state as u32)
    }

    /// Goes to `state`, which begins a session.
    pub fn begin(&self, state: State) -> Result<Data> {
        self.set(state)
            .with_context(|| format!("going to {state}"))?
            .with_context(|| format!("{state} began without a descriptor"))
    }

    /// Goes to `state`, which begins none.
    pub fn go(&self, state: State) -> Result<()> {
        let fd = self
            .set(state)
            .with_context(|| format!("going to {state}"))?;
        ensure!(fd.is_none(), "{state} came with a descriptor");
        Ok(())
    }

    /// Opts in to VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2.
    pub fn opt_in_to_v2(&self) -> Result<(), Errno> {
        self.feature(FEATURE_SET | uapi::MIG_PRECOPY_INFO_V2, &mut Vec::new())
    }

    /// Starts to log what the device writes to `ranges`. Returns the page size it chose.
    pub fn start_log(&self, page_size: u64, ranges: &[(u64, u64)]) -> Result<u64, Errno> {
        let list: Vec<u64> = ranges
            .iter()
            .flat_map(|(iova, length)| [*iova, *length])
            .collect();
        self.start_log_at(page_size, ranges.len() as u64, list.as_ptr() as u64)
    }

    /// The same with a number of ranges that are said to be at `address`.
    pub fn start_log_at(&self, page_size: u64, count: u64, address: u64) -> Result<u64, Errno> {
        let mut data = words(&[page_size, count, address]);
        self.feature(FEATURE_SET | uapi::DMA_LOGGING_START, &mut data)?;
        Ok(u64_at(&data, 0))
    }

    /// Stops to log.
    pub fn stop_log(&self) -> Result<(), Errno> {
        self.feature(FEATURE_SET | uapi::DMA_LOGGING_STOP, &mut Vec::new())
    }

    /// Has what was logged reported to a bitmap at `address`, where only [`Memory`] or
    /// nothing may be.
    pub fn report_log_at(
        &self,
        iova: u64,
        length: u64,
        page_size: u64,
        address: u64,
    ) -> Result<(), Errno> {
        self.feature(
            FEATURE_GET | uapi::DMA_LOGGING_REPORT,
            &mut words(&[iova, length, page_size, address]),
        )
    }
}

/// 64-bit fields, one after the other.
pub fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// The errno behind an error of `std::io`; a short transfer counts as EIO.
pub fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
}

fn u64_at(data: &[u8], at: usize) -> u64 {
    u64::from(u32_at(data, at)) | u64::from(u32_at(data, at + 4)) << 32
}
