// SPDX-License-Identifier: GPL-2.0
//! I/O address spaces: an iommufd IOAS, or a type1 container.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::mem::size_of;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use iommufd_bindings::iommufd as iommu;
use nix::errno::Errno;
use vfio_bindings::bindings::vfio;

use super::call;
use super::dirty::Bitmap;
use super::mapping::{DmaBuffer, PAGE};
use crate::skip;

/// The two ways to a VFIO device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Access {
    /// Its character device, bound to an iommufd.
    Cdev,
    /// Its group, in a container with the type1 IOMMU backend.
    Group,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cdev => "cdev",
            Self::Group => "group",
        })
    }
}

/// An I/O address space that devices can be attached to.
#[derive(Debug)]
pub enum Space {
    /// An iommufd and one IOAS in it.
    Iommufd { iommufd: File, ioas: u32 },
    /// A container. Its address space exists once a group is in it.
    Container { container: File },
}

fn open(path: &str) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(Path::new(path))
        .with_context(|| format!("opening {path}"))
}

/// A kernel may be built without it, which is nothing that a test can find wrong.
fn open_iommufd() -> Result<File> {
    const DEVICE: &str = "/dev/iommu";
    if !Path::new(DEVICE).exists() {
        skip!("this kernel has no iommufd");
    }
    open(DEVICE)
}

impl Space {
    /// A new, empty address space.
    pub fn new(access: Access) -> Result<Self> {
        match access {
            Access::Cdev => {
                let iommufd = open_iommufd()?;
                let mut alloc = iommu::iommu_ioas_alloc {
                    size: size_of::<iommu::iommu_ioas_alloc>() as u32,
                    ..Default::default()
                };
                call::structure(
                    iommufd.as_fd(),
                    call::iommufd_request(iommu::IOMMUFD_CMD_IOAS_ALLOC),
                    &mut alloc,
                )
                .context("IOMMU_IOAS_ALLOC")?;
                Ok(Self::Iommufd {
                    iommufd,
                    ioas: alloc.out_ioas_id,
                })
            }
            Access::Group => {
                let container = open("/dev/vfio/vfio")?;
                let version = call::number(container.as_fd(), call::vfio_request(0), 0)
                    .context("VFIO_GET_API_VERSION")?;
                if version != 0 {
                    bail!("VFIO API version {version}");
                }
                Ok(Self::Container { container })
            }
        }
    }

    /// An iommufd that stands in for a container, for users who know of containers
    /// only.
    pub fn emulated_container() -> Result<Self> {
        let container = open_iommufd()?;
        Ok(Self::Container { container })
    }

    /// The way to devices that it stands for.
    pub fn access(&self) -> Access {
        match self {
            Self::Iommufd { .. } => Access::Cdev,
            Self::Container { .. } => Access::Group,
        }
    }

    /// The iommufd and its IOAS, for what only iommufd can do.
    pub fn iommufd(&self) -> Option<(BorrowedFd<'_>, u32)> {
        match self {
            Self::Iommufd { iommufd, ioas } => Some((iommufd.as_fd(), *ioas)),
            Self::Container { .. } => None,
        }
    }

    /// Lets devices read and write `buffer` at its address. It must stay until
    /// unmapped or until the address space is gone; callers keep both in one place.
    pub fn map(&self, buffer: &DmaBuffer) -> Result<()> {
        self.map_part(buffer, 0, buffer.len() as u64, buffer.iova())
    }

    /// Like [`Self::map`], for `length` bytes from `offset` on, at any address; memory
    /// may be at several.
    pub fn map_part(&self, buffer: &DmaBuffer, offset: u64, length: u64, iova: u64) -> Result<()> {
        ensure!(
            offset
                .checked_add(length)
                .is_some_and(|end| end <= buffer.len() as u64),
            "no such part of the memory"
        );
        match self {
            Self::Iommufd { iommufd, ioas } => {
                let mut map = iommu::iommu_ioas_map {
                    size: size_of::<iommu::iommu_ioas_map>() as u32,
                    flags: iommu::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_READABLE
                        | iommu::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_WRITEABLE
                        | iommu::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_FIXED_IOVA,
                    ioas_id: *ioas,
                    // The kernel pins the pages, so a device can never reach
                    // memory reused for something else; a `DmaBuffer` is only
                    // accessed by volatile access.
                    user_va: buffer.address() + offset,
                    length,
                    iova,
                    ..Default::default()
                };
                call::structure(
                    iommufd.as_fd(),
                    call::iommufd_request(iommu::IOMMUFD_CMD_IOAS_MAP),
                    &mut map,
                )
                .context("IOMMU_IOAS_MAP")?;
            }
            Self::Container { container } => {
                let mut map = vfio::vfio_iommu_type1_dma_map {
                    argsz: size_of::<vfio::vfio_iommu_type1_dma_map>() as u32,
                    flags: vfio::VFIO_DMA_MAP_FLAG_READ | vfio::VFIO_DMA_MAP_FLAG_WRITE,
                    // As above.
                    vaddr: buffer.address() + offset,
                    iova,
                    size: length,
                };
                call::structure(container.as_fd(), call::vfio_request(13), &mut map)
                    .context("VFIO_IOMMU_MAP_DMA")?;
            }
        }
        Ok(())
    }

    /// Takes `length` bytes at `iova` away from devices.
    pub fn unmap(&self, iova: u64, length: u64) -> Result<(), Errno> {
        match self {
            Self::Iommufd { iommufd, ioas } => {
                let mut unmap = iommu::iommu_ioas_unmap {
                    size: size_of::<iommu::iommu_ioas_unmap>() as u32,
                    ioas_id: *ioas,
                    iova,
                    length,
                };
                call::structure(
                    iommufd.as_fd(),
                    call::iommufd_request(iommu::IOMMUFD_CMD_IOAS_UNMAP),
                    &mut unmap,
                )?;
            }
            Self::Container { container } => {
                let mut unmap = vfio::vfio_iommu_type1_dma_unmap {
                    argsz: size_of::<vfio::vfio_iommu_type1_dma_unmap>() as u32,
                    iova,
                    size: length,
                    ..Default::default()
                };
                call::structure(container.as_fd(), call::vfio_request(14), &mut unmap)?;
            }
        }
        Ok(())
    }

    /// Has a container take note of what devices may have written, or not.
    pub fn track(&self, enable: bool) -> Result<(), Errno> {
        let Self::Container { container } = self else {
            return Err(Errno::ENOTTY);
        };
        let mut dirty = vfio::vfio_iommu_type1_dirty_bitmap {
            argsz: size_of::<vfio::vfio_iommu_type1_dirty_bitmap>() as u32,
            flags: if enable {
                vfio::VFIO_IOMMU_DIRTY_PAGES_FLAG_START
            } else {
                vfio::VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
            },
            ..Default::default()
        };
        call::structure(container.as_fd(), call::vfio_request(17), &mut dirty).map(drop)
    }

    /// Like [`Self::unmap`], of a container that tracks; returns what may have been written.
    pub fn unmap_with_bitmap(&self, iova: u64, length: u64) -> Result<Bitmap, Errno> {
        let Self::Container { container } = self else {
            return Err(Errno::ENOTTY);
        };
        let page = PAGE as u64;
        let mut bitmap = Bitmap::new(iova, length, page)?;
        let bytes = length.div_ceil(page).div_ceil(64) * 8;
        // struct vfio_iommu_type1_dma_unmap, then struct vfio_bitmap.
        let words = [
            iova,
            length,
            page,
            bytes,
            // The kernel sets one bit a page: the bitmap has that many. No
            // reference to it is used until the call returns.
            bitmap.address(),
        ];
        let length = 8 + 8 * words.len();
        let mut unmap = call::Words::new(length);
        unmap.set32(0, length as u32);
        unmap.set32(4, vfio::VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP);
        for (index, word) in words.iter().enumerate() {
            unmap.set(8 + 8 * index, &word.to_ne_bytes());
        }
        call::bytes(container.as_fd(), call::vfio_request(14), &mut unmap)?;
        Ok(bitmap)
    }

    /// Puts `group` into the container, and starts type1 if it is the first.
    pub(super) fn add_group(&self, group: BorrowedFd<'_>) -> Result<()> {
        use std::os::fd::AsRawFd;
        let Self::Container { container } = self else {
            bail!("an iommufd takes no groups");
        };
        call::number_at(group, call::vfio_request(4), container.as_raw_fd())
            .context("VFIO_GROUP_SET_CONTAINER")?;
        match call::number(
            container.as_fd(),
            call::vfio_request(2),
            vfio::VFIO_TYPE1v2_IOMMU,
        ) {
            // A container that has its backend takes no other.
            Ok(_) | Err(Errno::EINVAL | Errno::EBUSY) => Ok(()),
            Err(errno) => Err(errno).context("VFIO_SET_IOMMU"),
        }
    }
}
