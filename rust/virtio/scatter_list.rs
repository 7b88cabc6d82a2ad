// SPDX-License-Identifier: GPL-2.0

//! Scatter lists of memory for the device.

use crate::abi;
use kernel::{
    bindings,
    prelude::*, //
};

/// Scatter list under construction.
pub(super) struct ScatterList {
    entries: KVec<bindings::scatterlist>,
}

impl ScatterList {
    /// A list without entries, of which there will be `count`.
    pub(super) fn with_capacity(count: usize) -> Result<Self> {
        let entries = KVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
        Ok(Self { entries })
    }

    /// Adds `len` bytes, if not zero. Nothing is read or written here: that is up to whom
    /// `finish` gives the list.
    ///
    /// # Safety
    ///
    /// `bytes` must be physically contiguous and in the linear map, and remain until the list
    /// is dropped.
    pub(super) unsafe fn add(&mut self, bytes: *mut u8, len: usize) -> Result {
        if len == 0 {
            return Ok(());
        }
        let mut entry = pin_init::zeroed::<bindings::scatterlist>();
        // Initialised as a table of one, the entry ends the list; `finish` moves the end.
        // SAFETY: `entry` is valid for writes, and the memory is as `sg_set_buf` wants it, by the
        // requirements of this function.
        unsafe {
            bindings::sg_init_table(&mut entry, 1);
            abi::vvp_sg_set_buf(&mut entry, bytes.cast(), u32::try_from(len)?);
        }
        self.entries.push(entry, GFP_KERNEL_ACCOUNT)?;
        Ok(())
    }

    /// Runs `command` with the list.
    ///
    /// # Errors
    ///
    /// EINVAL if the list is empty, or what `command` gives.
    pub(super) fn finish<R>(
        mut self,
        command: impl FnOnce(*mut bindings::scatterlist) -> Result<R>,
    ) -> Result<R> {
        let count = self.entries.len();
        if count == 0 {
            return Err(EINVAL);
        }
        for entry in self.entries.iter_mut().take(count - 1) {
            // SAFETY: `entry` is an initialised entry with another behind it.
            unsafe { abi::vvp_sg_unmark_end(entry) };
        }
        command(self.entries.as_mut_ptr())
    }
}
