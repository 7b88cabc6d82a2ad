// SPDX-License-Identifier: GPL-2.0
//! The one place where ioctls are made.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc::{self, c_ulong};

use crate::lies;
use crate::memory::{Memory, Structure};

/// An ioctl with a structure. Embedded pointers must name memory of [`Memory`], or memory
/// that outlives the call and is only read.
pub fn structure(
    fd: BorrowedFd<'_>,
    request: c_ulong,
    argument: &mut Structure,
) -> Result<i32, Errno> {
    // SAFETY: the kernel touches what is announced, for which a `Structure` has room, and
    // what embedded pointers name, of which no reference exists.
    let answer = Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request, argument.pointer()) });
    if lies::is_told("bytes_beyond") {
        argument.set(108, &[0]);
    }
    lies::answer(request, answer)
}

/// An ioctl whose structure is at `offset` in `memory`, and may reach beyond its pages.
pub fn in_memory(
    fd: BorrowedFd<'_>,
    request: c_ulong,
    memory: &Memory,
    offset: usize,
) -> Result<i32, Errno> {
    assert!(offset < memory.len());
    // SAFETY: to memory that is only accessed by volatile operations, the kernel may do
    // what it likes; callers leave no mapping of anything else behind it.
    let answer = Errno::result(unsafe {
        libc::ioctl(fd.as_raw_fd(), request, memory.address() + offset as u64)
    });
    lies::answer(request, answer)
}

/// An ioctl whose structure is at an address that no process can have.
pub fn nowhere(fd: BorrowedFd<'_>, request: c_ulong) -> Result<i32, Errno> {
    // SAFETY: the address is in the kernel's half; a copy to or from it can only fail.
    let answer = Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request, 1_u64 << 63) });
    lies::answer(request, answer)
}

/// An ioctl with a number.
pub fn number(fd: BorrowedFd<'_>, request: c_ulong, argument: u32) -> Result<i32, Errno> {
    // SAFETY: the kernel takes the argument as a number.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request, c_ulong::from(argument)) })
}

/// An ioctl with a C string.
pub fn text(fd: BorrowedFd<'_>, request: c_ulong, argument: &std::ffi::CStr) -> Result<i32, Errno> {
    // SAFETY: the kernel reads up to the terminating NUL.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request, argument.as_ptr()) })
}
