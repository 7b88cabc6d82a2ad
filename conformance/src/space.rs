// SPDX-License-Identifier: GPL-2.0
//! The two ways to a device, and the address space that it is given.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use nix::errno::Errno;

use crate::call;
use crate::memory::{Memory, Structure};
use crate::uapi;

/// A way to a VFIO device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// Its character device, bound to an iommufd.
    Cdev,
    /// Its group, in a container of type1.
    Group,
}

impl Way {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cdev => "cdev",
            Self::Group => "group",
        }
    }
}

/// An address space for one device.
#[derive(Debug)]
pub enum Space {
    Iommufd { iommufd: File, ioas: u32 },
    Container(File),
}

/// Opens a device node for reading and writing.
pub fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| format!("opening {}", path.display()))
}

impl Space {
    /// A new one.
    pub fn new(way: Way) -> Result<Self> {
        match way {
            Way::Cdev => {
                let iommufd = open(Path::new("/dev/iommu"))?;
                // struct iommu_ioas_alloc: size, flags, out_ioas_id.
                let mut alloc = Structure::of_u32(&[12, 0, 0]);
                call::structure(iommufd.as_fd(), uapi::IOAS_ALLOC, &mut alloc)
                    .context("IOMMU_IOAS_ALLOC")?;
                let ioas = alloc.u32(8);
                Ok(Self::Iommufd { iommufd, ioas })
            }
            Way::Group => {
                let container = open(Path::new("/dev/vfio/vfio"))?;
                let version = call::number(container.as_fd(), uapi::GET_API_VERSION, 0)
                    .context("VFIO_GET_API_VERSION")?;
                ensure!(version == 0, "VFIO's API has version {version}");
                Ok(Self::Container(container))
            }
        }
    }

    /// The iommufd and its IOAS.
    pub fn iommufd(&self) -> Option<(BorrowedFd<'_>, u32)> {
        match self {
            Self::Iommufd { iommufd, ioas } => Some((iommufd.as_fd(), *ioas)),
            Self::Container(_) => None,
        }
    }

    /// Puts `group` into the container.
    pub fn add_group(&self, group: BorrowedFd<'_>) -> Result<()> {
        let Self::Container(container) = self else {
            anyhow::bail!("an iommufd takes no groups");
        };
        let mut fd = Structure::of_u32(&[container.as_raw_fd() as u32]);
        call::structure(group, uapi::GROUP_SET_CONTAINER, &mut fd)
            .context("VFIO_GROUP_SET_CONTAINER")?;
        call::number(container.as_fd(), uapi::SET_IOMMU, uapi::TYPE1V2_IOMMU)
            .context("VFIO_SET_IOMMU")?;
        Ok(())
    }

    /// Lets the device read and write `memory` at `iova`. The kernel pins it.
    pub fn map(&self, memory: &Memory, iova: u64) -> Result<(), Errno> {
        let words = [memory.address(), memory.len() as u64, iova];
        match self {
            Self::Iommufd { iommufd, ioas } => {
                // struct iommu_ioas_map: size, flags (fixed address, writable, readable),
                // ioas, reserved, user_va, length, iova.
                let mut map = Structure::of_u32(&[40, 7, *ioas, 0]);
                set_words(&mut map, 16, &words);
                call::structure(iommufd.as_fd(), uapi::IOAS_MAP, &mut map).map(drop)
            }
            Self::Container(container) => {
                // struct vfio_iommu_type1_dma_map: argsz, flags (read, write), vaddr, iova, size.
                let mut map = Structure::of_u32(&[32, 3]);
                set_words(&mut map, 8, &[words[0], iova, words[1]]);
                call::structure(container.as_fd(), uapi::IOMMU_MAP_DMA, &mut map).map(drop)
            }
        }
    }

    /// Takes `length` bytes at `iova` away again.
    pub fn unmap(&self, iova: u64, length: u64) -> Result<(), Errno> {
        match self {
            Self::Iommufd { iommufd, ioas } => {
                // struct iommu_ioas_unmap: size, ioas, iova, length.
                let mut unmap = Structure::of_u32(&[24, *ioas]);
                set_words(&mut unmap, 8, &[iova, length]);
                call::structure(iommufd.as_fd(), uapi::IOAS_UNMAP, &mut unmap).map(drop)
            }
            Self::Container(container) => {
                // struct vfio_iommu_type1_dma_unmap: argsz, flags, iova, size.
                let mut unmap = Structure::of_u32(&[24, 0]);
                set_words(&mut unmap, 8, &[iova, length]);
                call::structure(container.as_fd(), uapi::IOMMU_UNMAP_DMA, &mut unmap).map(drop)
            }
        }
    }
}

/// Puts 64-bit fields at `offset`, one after the other.
pub fn set_words(structure: &mut Structure, offset: usize, words: &[u64]) {
    for (index, word) in words.iter().enumerate() {
        structure.set(offset + 8 * index, &word.to_ne_bytes());
    }
}
