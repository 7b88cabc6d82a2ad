// SPDX-License-Identifier: GPL-2.0
//! When data must survive a loss of power (virtio 1.4, 5.2.6.2): after a FLUSH, or
//! at once if the driver did not accept the feature.
//!
//! The disks here are files in memory, and the `fdatasync` that the bench calls is
//! the one below: it sees which file is to be made durable, and what it holds.

use std::collections::HashMap;
use std::ffi::c_int;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Mutex, MutexGuard};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use vfio_bench::virtio::blk::Config as BlkConfig;
use vfio_bench::virtio::blk::disk::Medium;
use vfio_bench::virtio::machine::{Config, DeviceType};

use crate::blk::{SECTORS, pattern, range, request, write};
use crate::driver::Driver;
use crate::rig::Rig;
use crate::wire::*;

/// A file under observation.
#[derive(Debug, Default)]
struct Observed {
    /// The first sector as it was each time that the file was made durable.
    synced: Vec<Vec<u8>>,
    /// Whether that fails.
    broken: bool,
}

/// Files by inode; all are in the kernel's one file system for memory.
static FILES: Mutex<Option<HashMap<u64, Observed>>> = Mutex::new(None);

fn files() -> MutexGuard<'static, Option<HashMap<u64, Observed>>> {
    FILES
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn first_sector(file: &File) -> Vec<u8> {
    let mut sector = vec![0; SECTOR];
    file.read_exact_at(&mut sector, 0).expect("a sector");
    sector
}

fn open(fd: c_int) -> File {
    File::open(format!("/proc/self/fd/{fd}")).expect("an open file")
}

/// Stands in for the C library's function of this name, in this program. Files that
/// are not under observation are in memory, too, and have nothing to lose.
// SAFETY: Same signature and contract as the function that it replaces.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    let file = open(fd);
    let inode = file.metadata().expect("an inode").ino();
    let mut files = files();
    let Some(observed) = files.as_mut().and_then(|files| files.get_mut(&inode)) else {
        return 0;
    };
    if observed.broken {
        Errno::EIO.set();
        return -1;
    }
    observed.synced.push(first_sector(&file));
    0
}

/// A disk under observation, with its machine of one VF.
struct Disk {
    file: File,
    inode: u64,
    rig: Rig,
}

impl Disk {
    fn new() -> Self {
        let memory = memfd_create("observed", MFdFlags::MFD_CLOEXEC).expect("memory");
        let file = File::from(memory);
        file.set_len(SECTORS * SECTOR as u64).expect("a size");
        let inode = file.metadata().expect("an inode").ino();
        files()
            .get_or_insert_default()
            .insert(inode, Observed::default());
        let blk = BlkConfig {
            queues: 1,
            medium: Medium::Image(format!("/proc/self/fd/{}", file.as_raw_fd()).into()),
        };
        let config = Config {
            device: DeviceType::Blk(blk),
            ..Config::default()
        };
        let rig = Rig::new(config, 1);
        Self { file, inode, rig }
    }

    fn break_it(&self) {
        self.observed(|observed| observed.broken = true);
    }

    /// What the first sector was each time since the last call.
    fn take_synced(&self) -> Vec<Vec<u8>> {
        self.observed(|observed| std::mem::take(&mut observed.synced))
    }

    fn observed<T>(&self, look: impl FnOnce(&mut Observed) -> T) -> T {
        let mut files = files();
        let observed = files.as_mut().and_then(|files| files.get_mut(&self.inode));
        look(observed.expect("a file under observation"))
    }
}

impl Drop for Disk {
    /// The inode's number is free for another file afterwards.
    fn drop(&mut self) {
        if let Some(files) = files().as_mut() {
            files.remove(&self.inode);
        }
    }
}

#[test]
fn with_flush_a_write_is_durable_after_a_flush() {
    let disk = Disk::new();
    let mut vf = Driver::up(&disk.rig, 1, 0);
    let data = pattern(1, 1);
    assert_eq!(write(&mut vf, 0, &data), BLK_S_OK);
    assert_eq!(first_sector(&disk.file), data);
    assert!(disk.take_synced().is_empty(), "nobody asked for it");
    assert_eq!(request(&mut vf, BLK_T_FLUSH, 0, &[], 0).0, BLK_S_OK);
    assert_eq!(disk.take_synced(), [data]);
}

#[test]
fn without_flush_a_write_is_durable_when_it_is_done() {
    let disk = Disk::new();
    let mut vf = Driver::up(&disk.rig, 1, F_BLK_FLUSH);
    for tag in 1..4 {
        let data = pattern(tag, 1);
        assert_eq!(write(&mut vf, 0, &data), BLK_S_OK);
        assert_eq!(disk.take_synced(), [data]);
    }
    // Zeroes are data, too.
    let zeroes = range(0, 1, 0);
    for kind in [BLK_T_WRITE_ZEROES, BLK_T_DISCARD] {
        assert_eq!(write(&mut vf, 0, &pattern(9, 1)), BLK_S_OK);
        disk.take_synced();
        assert_eq!(request(&mut vf, kind, 0, &zeroes, 0).0, BLK_S_OK);
        assert_eq!(disk.take_synced(), [vec![0; SECTOR]], "{kind}");
    }
    // What only reads has nothing to make durable.
    let read = request(&mut vf, BLK_T_IN, 0, &[], SECTOR as u32);
    assert_eq!(read, (BLK_S_OK, vec![0; SECTOR]));
    assert!(disk.take_synced().is_empty());
}

#[test]
fn data_that_do_not_get_durable_are_an_error() {
    for (without, kind, data) in [
        (0, BLK_T_FLUSH, vec![]),
        (F_BLK_FLUSH, BLK_T_OUT, pattern(1, 1)),
        (F_BLK_FLUSH, BLK_T_WRITE_ZEROES, range(0, 1, 0)),
    ] {
        let disk = Disk::new();
        disk.break_it();
        let mut vf = Driver::up(&disk.rig, 1, without);
        assert_eq!(request(&mut vf, kind, 0, &data, 0).0, BLK_S_IOERR, "{kind}");
        assert_eq!(vf.status() & NEEDS_RESET, 0);
        assert_eq!(disk.rig.counter(1, "flushes"), 0);
    }
}
