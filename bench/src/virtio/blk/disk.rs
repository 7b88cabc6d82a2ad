// SPDX-License-Identifier: GPL-2.0
//! The medium of the block devices: a file of whole sectors.
//!
//! There is one for all functions of a machine, like a namespace that a storage
//! processor presents, or a LUN that several hosts reach. So a guest that is
//! migrated finds on the target's function what it wrote through the source's.
//! Guests that use it at the same time must agree among themselves, as on such
//! hardware; every sector has some value that was written to it, and that is all
//! the disk sees to.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// The unit of everything, whatever the medium is made of.
pub const SECTOR: u64 = 512;
/// Largest medium in bytes.
pub const MAX_SIZE: u64 = 1 << 40;

/// Zeroes are written in pieces of this many bytes where no hole can be made.
static ZEROES: [u8; 65536] = [0; 65536];

/// Where data go.
#[derive(Clone, Debug)]
pub enum Medium {
    /// Memory, only as much of it as was written, for as long as the machine
    /// lives. The size is in bytes.
    Memory(u64),
    /// A file that exists.
    Image(PathBuf),
}

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("disk of {0} bytes: whole sectors of {SECTOR} bytes, up to {MAX_SIZE}, are possible")]
    Size(u64),
    #[error("disk image {0}: {1}")]
    Image(PathBuf, io::Error),
    #[error("a disk image never changes its size")]
    Fixed,
    #[error("disk in memory: {0}")]
    Memory(io::Error),
}

/// An open medium.
#[derive(Debug)]
pub struct Disk {
    file: File,
    size: AtomicU64,
    /// A file that somebody may have a copy of, or measure.
    fixed: bool,
}

/// Whether a medium can have this many bytes.
pub fn is_possible(size: u64) -> bool {
    (1..=MAX_SIZE).contains(&size) && size % SECTOR == 0
}

impl Disk {
    pub fn open(medium: &Medium) -> Result<Self, Error> {
        let fixed = matches!(medium, Medium::Image(_));
        let (file, size) = match medium {
            Medium::Memory(size) if is_possible(*size) => {
                (in_memory(*size).map_err(Error::Memory)?, *size)
            }
            Medium::Memory(size) => return Err(Error::Size(*size)),
            Medium::Image(path) => {
                let opened = OpenOptions::new().read(true).write(true).open(path);
                let found = opened.and_then(|file| Ok((file.metadata()?.len(), file)));
                let (size, file) = found.map_err(|error| Error::Image(path.clone(), error))?;
                (file, size)
            }
        };
        match is_possible(size) {
            true => Ok(Self {
                file,
                size: AtomicU64::new(size),
                fixed,
            }),
            false => Err(Error::Size(size)),
        }
    }

    /// Capacity in sectors.
    pub fn sectors(&self) -> u64 {
        self.size() / SECTOR
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::SeqCst)
    }

    /// Gives a disk in memory another size. What is cut off is lost.
    pub fn resize(&self, size: u64) -> Result<(), Error> {
        if self.fixed {
            return Err(Error::Fixed);
        }
        if !is_possible(size) {
            return Err(Error::Size(size));
        }
        self.file.set_len(size).map_err(Error::Memory)?;
        self.size.store(size, Ordering::SeqCst);
        Ok(())
    }

    /// The position of `length` bytes from `sector` on, if they are whole sectors
    /// of this disk.
    pub fn place(&self, sector: u64, length: u64) -> Option<u64> {
        let at = sector.checked_mul(SECTOR)?;
        let end = at.checked_add(length)?;
        (end <= self.size() && length % SECTOR == 0).then_some(at)
    }

    pub fn read(&self, at: u64, data: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(data, at)
    }

    pub fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, at)
    }

    /// Makes a range read as zeroes and, where files can have holes, take no room.
    pub fn zero(&self, at: u64, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        let (Ok(start), Ok(count)) = (i64::try_from(at), i64::try_from(length)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match fallocate(&self.file, hole, start, count) {
            Err(Errno::EOPNOTSUPP) => self.write_zeroes(at, length),
            done => Ok(done?),
        }
    }

    fn write_zeroes(&self, mut at: u64, mut length: u64) -> io::Result<()> {
        while length > 0 {
            let piece = length.min(ZEROES.len() as u64);
            self.write(at, &ZEROES[..piece as usize])?;
            at += piece;
            length -= piece;
        }
        Ok(())
    }

    /// Returns when all that was written would survive a loss of power.
    pub fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A file without a name that takes memory only where it is written.
fn in_memory(size: u64) -> io::Result<File> {
    let file = File::from(memfd_create("disk", MFdFlags::MFD_CLOEXEC)?);
    file.set_len(size)?;
    Ok(file)
}
