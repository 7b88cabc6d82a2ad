// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! KVM's dirty rings, which `kvm-ioctls` knows as a capability only.
//!
//! A VM either has dirty bitmaps, or each of its vCPUs has a ring: pages that the
//! vCPU has written, once each until they are reset. Userspace harvests a ring at
//! any time, also while the vCPU runs, and resets all rings of the VM, which
//! write-protects the harvested pages again. A vCPU whose ring is nearly full
//! leaves the guest with [`EXIT_DIRTY_RING_FULL`], and will not enter it again
//! before there is room.

#![deny(clippy::undocumented_unsafe_blocks)]

use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use kvm_bindings::{
    KVM_CAP_DIRTY_LOG_RING, KVM_DIRTY_LOG_PAGE_OFFSET, kvm_dirty_gfn, kvm_enable_cap,
};
use kvm_ioctls::{VcpuFd, VmFd};
use thiserror::Error;
use vmm_sys_util::errno::Error as SysError;
use vmm_sys_util::ioctl::ioctl;
use vmm_sys_util::ioctl_io_nr;

/// Exit reason of a vCPU whose ring is nearly full.
pub const EXIT_DIRTY_RING_FULL: u32 = kvm_bindings::KVM_EXIT_DIRTY_RING_FULL;

/// KVM_DIRTY_GFN_F_DIRTY and KVM_DIRTY_GFN_F_RESET of linux/kvm.h.
const DIRTY: u32 = 1;
const RESET: u32 = 2;

const PAGE_SIZE: usize = 4096;
const KVMIO: u32 = 0xae;

ioctl_io_nr!(KVM_RESET_DIRTY_RINGS, KVMIO, 0xc7);

/// What can go wrong.
#[derive(Debug, Error)]
pub enum Error {
    /// KVM_ENABLE_CAP.
    #[error("failed to enable dirty rings of {0} entries: {1}")]
    Enable(usize, #[source] kvm_ioctls::Error),
    /// mmap(2) of a vCPU.
    #[error("failed to map a dirty ring: {0}")]
    Map(#[source] SysError),
    /// KVM_RESET_DIRTY_RINGS.
    #[error("failed to reset dirty rings: {0}")]
    Reset(#[source] SysError),
}

type Result<T> = std::result::Result<T, Error>;

/// Gives the vCPUs of `vm`, which has none yet, rings of `entries` entries: a power
/// of two, and some hundreds at least.
pub fn enable(vm: &VmFd, entries: usize) -> Result<()> {
    let mut cap = kvm_enable_cap {
        cap: KVM_CAP_DIRTY_LOG_RING,
        ..Default::default()
    };
    cap.args[0] = (entries * size_of::<kvm_dirty_gfn>()) as u64;
    vm.enable_cap(&cap)
        .map_err(|error| Error::Enable(entries, error))
}

/// Makes room in the rings of all vCPUs, and write-protects the harvested pages, so
/// that they are dirty again when they are written again. Returns how many entries
/// have become free. What was harvested must be collected from memory afterwards,
/// not before.
pub fn reset(vm: &VmFd) -> Result<usize> {
    // SAFETY: the ioctl has no argument.
    let ret = unsafe { ioctl(vm, KVM_RESET_DIRTY_RINGS()) };
    usize::try_from(ret).map_err(|_| Error::Reset(SysError::last()))
}

/// A dirty page: its slot of memory, and its number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirtyPage {
    /// The memory slot.
    pub slot: u32,
    /// The page's number in it.
    pub offset: u64,
}

/// The ring of one vCPU. May be harvested by another thread than the vCPU's, by one
/// at a time.
///
/// # Invariants
///
/// `entries` is a mapping of `count` entries, a power of two, as long as this exists.
pub struct DirtyRing {
    entries: NonNull<kvm_dirty_gfn>,
    count: usize,
    next: usize,
}

// SAFETY: the mapping is no thread's own, and the kernel, which is the other user of
// it, expects any thread. There is no access by a shared reference.
unsafe impl Send for DirtyRing {}

impl DirtyRing {
    /// Maps the ring of `vcpu`, with as many entries as were enabled.
    pub fn new(vcpu: &VcpuFd, count: usize) -> Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                count * size_of::<kvm_dirty_gfn>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                vcpu.as_raw_fd(),
                KVM_DIRTY_LOG_PAGE_OFFSET as libc::off_t * PAGE_SIZE as libc::off_t,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(Error::Map(SysError::last()));
        }
        let entries =
            NonNull::new(address.cast()).ok_or(Error::Map(SysError::new(libc::ENOMEM)))?;
        // INVARIANT: just mapped so.
        Ok(Self {
            entries,
            count,
            next: 0,
        })
    }

    /// Takes the next dirty page, if there is one.
    pub fn next_page(&mut self) -> Option<DirtyPage> {
        let entry = self.entries.as_ptr().wrapping_add(self.next % self.count);
        // SAFETY: by the invariant the entry is mapped, and it is aligned. Its flags are
        // only accessed atomically, by the kernel as well.
        let flags = unsafe { AtomicU32::from_ptr(&raw mut (*entry).flags) };
        if flags.load(Ordering::Acquire) & (DIRTY | RESET) != DIRTY {
            return None;
        }
        // SAFETY: as above; the kernel has published the entry, as the flags say, and does
        // not change it before it is reset.
        let page = unsafe {
            DirtyPage {
                slot: (&raw const (*entry).slot).read_volatile(),
                offset: (&raw const (*entry).offset).read_volatile(),
            }
        };
        flags.store(RESET, Ordering::Release);
        self.next = self.next.wrapping_add(1);
        Some(page)
    }

    /// Takes all dirty pages there are.
    pub fn harvest(&mut self) -> Vec<DirtyPage> {
        std::iter::from_fn(|| self.next_page()).collect()
    }
}

impl Drop for DirtyRing {
    fn drop(&mut self) {
        // SAFETY: by the invariant the mapping is ours, and nothing refers to it any more.
        unsafe {
            libc::munmap(
                self.entries.as_ptr().cast(),
                self.count * size_of::<kvm_dirty_gfn>(),
            )
        };
    }
}

/// The example there compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring over memory that is not KVM's.
    fn ring(count: usize) -> DirtyRing {
        // SAFETY: anonymous memory at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                count * size_of::<kvm_dirty_gfn>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(address, libc::MAP_FAILED);
        DirtyRing {
            entries: NonNull::new(address.cast()).unwrap(),
            count,
            next: 0,
        }
    }

    /// What KVM does when a page is written.
    fn push(ring: &mut DirtyRing, index: usize, offset: u64) {
        let entry = kvm_dirty_gfn {
            flags: DIRTY,
            slot: 3,
            offset,
        };
        // SAFETY: the entry is mapped, and nobody else uses it.
        unsafe { ring.entries.as_ptr().add(index % ring.count).write(entry) };
    }

    #[test]
    fn entries_come_in_order_and_once() {
        let mut ring = ring(4);
        assert_eq!(ring.harvest(), []);
        push(&mut ring, 0, 10);
        push(&mut ring, 1, 11);
        let offsets: Vec<u64> = ring.harvest().iter().map(|page| page.offset).collect();
        assert_eq!(offsets, [10, 11]);
        assert_eq!(ring.harvest(), []);
        // Around the end; the first two have been harvested but not reset.
        push(&mut ring, 2, 12);
        push(&mut ring, 3, 13);
        assert_eq!(ring.harvest().len(), 2);
        assert_eq!(ring.next_page(), None);
        push(&mut ring, 4, 14);
        assert_eq!(
            ring.next_page(),
            Some(DirtyPage {
                slot: 3,
                offset: 14
            })
        );
    }

    #[test]
    fn request_numbers() {
        // From linux/kvm.h: _IO(KVMIO, 0xc7).
        assert_eq!(KVM_RESET_DIRTY_RINGS(), 0xaec7);
    }
}
