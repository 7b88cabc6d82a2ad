// SPDX-License-Identifier: GPL-2.0

//! Results as C functions give them.

use kernel::prelude::*;

/// 0, or a negative errno.
pub(super) fn to_errno(result: Result) -> c_int {
    result.map_or_else(Error::to_errno, |()| 0)
}

/// A number of bytes, or a negative errno.
pub(super) fn to_ssize(result: Result<usize>) -> isize {
    match result {
        // The VFS limits a transfer to MAX_RW_COUNT, below `isize::MAX`.
        Ok(count) => count as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// The reverse of [`to_ssize`].
///
/// # Errors
///
/// The errno.
pub(super) fn from_ssize(ret: isize) -> Result<usize> {
    usize::try_from(ret).map_err(|_| Error::from_errno(ret as c_int))
}
