// SPDX-License-Identifier: GPL-2.0

//! Registers of a device, for drivers that reach its state through its BARs.
//!
//! `vfio-pci-core` has requested and mapped the BARs of an open device, so the
//! kernel crate's `pci::Bar`, which does the same, has no place here. Accesses
//! go through the core's mappings and obey its rule: memory that userspace has
//! disabled, in the command register or by a power state, answers EIO.

use crate::abi;
use core::ptr::NonNull;
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    new_mutex,
    pci,
    prelude::*,
    sync::Mutex, //
};

/// The BARs of a device, accessible while it is open.
///
/// A driver makes one in its probe, keeps it in its migration, and shows it to
/// this layer by [`Migration::bars`](super::Migration::bars).
///
/// # Locking
///
/// An access takes the lock in here and, inside it, VFIO's `memory_lock`. It may
/// be made with the state lock held, but not with a stream's: a reset holds
/// `memory_lock` and waits for streams. For the same reason
/// [`Migration::reset_done`](super::Migration::reset_done) must not access
/// registers.
#[pin_data]
pub(crate) struct Bars {
    /// `None` while the device is not open.
    #[pin]
    core: Mutex<Option<Core>>,
}

/// # Invariants
///
/// Points to a device that is enabled, for as long as it is in [`Bars`].
struct Core(NonNull<abi::vfio_pci_core_device>);

// SAFETY: `vfio-pci-core` synchronises accesses to its device structure.
unsafe impl Send for Core {}

impl Bars {
    /// Those of a device that is not open.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new() -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            pin_init!(Self {
                core <- new_mutex!(None, "vfio_bars"),
            }),
            GFP_KERNEL,
        )
    }

    /// The device was opened.
    ///
    /// # Safety
    ///
    /// `core` must be enabled, and remain so until [`close`](Self::close).
    pub(super) unsafe fn open(&self, core: *mut abi::vfio_pci_core_device) {
        // INVARIANT: By the requirement of this function.
        *self.core.lock() = NonNull::new(core).map(Core);
    }

    /// The device is about to be closed; waits for accesses under way.
    pub(super) fn close(&self) {
        *self.core.lock() = None;
    }

    /// Calls `access` with the address of `size` bytes at `offset` of `bar`.
    fn with<R>(
        &self,
        bar: u32,
        offset: usize,
        size: usize,
        access: impl FnOnce(*mut abi::vfio_pci_core_device, *mut c_void) -> R,
    ) -> Result<R> {
        let guard = self.core.lock();
        let core = guard.as_ref().ok_or(ENODEV)?.0.as_ptr();
        // SAFETY: By the invariant of `Core`; `pci::Device` is a transparent wrapper of `pci_dev`,
        // and a device that is enabled has one.
        let pdev = unsafe { &*(*core).pdev.cast::<pci::Device>() };
        let length = usize::try_from(pdev.resource_len(bar)?)?;
        let end = offset.checked_add(size).ok_or(EINVAL)?;
        if end > length || offset % size != 0 {
            return Err(EINVAL);
        }
        // SAFETY: By the invariant of `Core`. The mappings do not change while it is enabled.
        let mapping = *unsafe { (*core).barmap.get(bar as usize) }.ok_or(EINVAL)?;
        let start = from_err_ptr(mapping)?;
        if start.is_null() {
            return Err(ENODEV);
        }
        Ok(access(core, start.wrapping_byte_add(offset)))
    }

    /// Reads a 32-bit register.
    ///
    /// # Errors
    ///
    /// ENODEV if the device is not open, EINVAL if the BAR has no such
    /// register, EIO if its memory is disabled.
    pub(crate) fn read32(&self, bar: u32, offset: usize) -> Result<u32> {
        let mut value = 0;
        // SAFETY: By the invariant of `Core`; `with` gives an address in the BAR's mapping.
        to_result(self.with(bar, offset, 4, |core, io| unsafe {
            abi::vfio_pci_core_ioread32(core, true, &mut value, io)
        })?)?;
        Ok(value)
    }

    /// Writes a 32-bit register.
    ///
    /// # Errors
    ///
    /// As [`read32`](Self::read32).
    pub(crate) fn write32(&self, bar: u32, offset: usize, value: u32) -> Result {
        // SAFETY: As in `read32`.
        to_result(self.with(bar, offset, 4, |core, io| unsafe {
            abi::vfio_pci_core_iowrite32(core, true, value, io)
        })?)
    }

    /// Reads a 64-bit register.
    ///
    /// # Errors
    ///
    /// As [`read32`](Self::read32).
    #[cfg(CONFIG_64BIT)]
    pub(crate) fn read64(&self, bar: u32, offset: usize) -> Result<u64> {
        let mut value = 0;
        // SAFETY: As in `read32`.
        to_result(self.with(bar, offset, 8, |core, io| unsafe {
            abi::vfio_pci_core_ioread64(core, true, &mut value, io)
        })?)?;
        Ok(value)
    }

    /// Writes a 64-bit register.
    ///
    /// # Errors
    ///
    /// As [`read32`](Self::read32).
    #[cfg(CONFIG_64BIT)]
    pub(crate) fn write64(&self, bar: u32, offset: usize, value: u64) -> Result {
        // SAFETY: As in `read32`.
        to_result(self.with(bar, offset, 8, |core, io| unsafe {
            abi::vfio_pci_core_iowrite64(core, true, value, io)
        })?)
    }
}
