// SPDX-License-Identifier: GPL-2.0

//! A device while userspace has it open, and its registers.
//!
//! `vfio-pci-core` has requested and mapped the BARs of an open device, so the
//! kernel crate's `pci::Bar`, which does the same, has no place here. Accesses
//! go through the core's mappings and obey its rule: memory that userspace has
//! disabled, in the command register or by a power state, answers EIO.

use crate::abi;
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    pci,
    prelude::*,
    types::Opaque, //
};

/// A device that is open.
///
/// This layer hands references to it to those methods of a driver that may access
/// the device. They cannot be kept, so there is no access to a device that is
/// closed.
///
/// # Locking
///
/// An access to a register takes VFIO's `memory_lock`, for reading.
///
/// # Invariants
///
/// `core` is a valid device, and enabled, as long as this exists.
pub(crate) struct OpenDevice {
    core: NonNull<abi::vfio_pci_core_device>,
}

// SAFETY: `vfio-pci-core` synchronises accesses to its device structure.
unsafe impl Send for OpenDevice {}
// SAFETY: As above.
unsafe impl Sync for OpenDevice {}

impl OpenDevice {
    /// # Safety
    ///
    /// `core` must be a valid device, and be enabled, until the result is dropped.
    pub(super) unsafe fn new(core: &Opaque<abi::vfio_pci_core_device>) -> Self {
        // INVARIANT: By the requirement of this function. `Opaque` is a transparent wrapper.
        Self {
            core: NonNull::from(core).cast(),
        }
    }

    /// The same device once more.
    ///
    /// # Safety
    ///
    /// The device must remain enabled until the result is dropped, too.
    pub(super) unsafe fn duplicate(&self) -> Self {
        // INVARIANT: By the requirement of this function.
        Self { core: self.core }
    }

    fn as_raw(&self) -> *mut abi::vfio_pci_core_device {
        self.core.as_ptr()
    }

    /// The PCI device that it is.
    pub(crate) fn pdev(&self) -> &pci::Device {
        // SAFETY: By the type invariant; `pci::Device` is a transparent wrapper of `pci_dev`, and a
        // device that is enabled has one.
        unsafe { &*(*self.as_raw()).pdev.cast::<pci::Device>() }
    }

    /// Whether userspace has MSI-X enabled.
    pub(crate) fn msix_enabled(&self) -> bool {
        // VFIO changes it under a lock of its own; whoever enables MSI-X while they access a
        // register whose place depends on it gets the one or the other.
        // SAFETY: The device is valid by the type invariant. The read is of an aligned integer, and
        // volatile since it may change.
        let kind = unsafe { ptr::read_volatile(&raw const (*self.as_raw()).irq_type) };
        u32::try_from(kind) == Ok(abi::VFIO_PCI_MSIX_IRQ_INDEX)
    }

    /// Whether userspace has opted in to `VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2`.
    pub(crate) fn has_precopy_info_v2(&self) -> bool {
        // SAFETY: The device is valid by the type invariant. Another thread may be opting in at
        // this moment, without a lock; either answer will do then, and a volatile read of a byte
        // has one.
        unsafe { ptr::read_volatile(&raw const (*self.as_raw()).vdev.precopy_info_v2) != 0 }
    }

    /// Address in the kernel of the `size` bytes at `offset` of BAR `bar`.
    ///
    /// # Errors
    ///
    /// EINVAL if there is no such place or it is not aligned, or what mapping the
    /// BAR gave.
    fn place(&self, bar: u32, offset: usize, size: usize) -> Result<*mut c_void> {
        let length = usize::try_from(self.pdev().resource_len(bar)?)?;
        let end = offset.checked_add(size).ok_or(EINVAL)?;
        if end > length || offset % size != 0 {
            return Err(EINVAL);
        }
        // SAFETY: The device is valid, and its mappings do not change while it is enabled.
        let mapping = unsafe {
            (&raw const (*self.as_raw()).barmap)
                .as_ref()
                .and_then(|maps| maps.get(bar as usize).copied())
        };
        let start = mapping.filter(|map| !map.is_null()).ok_or(EINVAL)?;
        let start = from_err_ptr(start.cast::<c_void>())?;
        Ok(start.wrapping_byte_add(offset))
    }

    /// Runs `f` with the device out of runtime suspend.
    ///
    /// # Errors
    ///
    /// EIO if it cannot be resumed, or what `f` gives.
    pub(super) fn while_awake<R>(&self, f: impl FnOnce() -> Result<R>) -> Result<R> {
        // SAFETY: The device is valid by the type invariant, and so is its `pdev`.
        let pdev = unsafe { (*self.as_raw()).pdev };
        // SAFETY: `pdev` is valid.
        to_result(unsafe { abi::vvp_pm_runtime_resume_and_get(pdev) }).map_err(|_| EIO)?;
        let result = f();
        // SAFETY: This gives back the count taken above.
        unsafe { abi::vvp_pm_runtime_put(pdev) };
        result
    }
}

/// Accessors of one width.
macro_rules! registers {
    ($($read:ident, $write:ident, $type:ty, $core_read:ident, $core_write:ident;)*) => {
        impl OpenDevice {
            $(
                /// Reads a register of this width from `bar`, little-endian.
                ///
                /// # Errors
                ///
                /// EINVAL if the BAR has no such register, EIO if userspace has disabled its
                /// memory.
                pub(crate) fn $read(&self, bar: u32, offset: usize) -> Result<$type> {
                    let place = self.place(bar, offset, size_of::<$type>())?;
                    let mut value = 0;
                    // SAFETY: `place` is inside a BAR that is mapped while the device is enabled,
                    // which it is by the type invariant; `value` is valid for a write.
                    to_result(unsafe {
                        abi::$core_read(self.as_raw(), true, &mut value, place)
                    })?;
                    Ok(value)
                }

                /// Writes a register of this width; otherwise as reading.
                ///
                /// # Errors
                ///
                /// As reading.
                pub(crate) fn $write(&self, bar: u32, offset: usize, value: $type) -> Result {
                    let place = self.place(bar, offset, size_of::<$type>())?;
                    // SAFETY: As in reading.
                    to_result(unsafe { abi::$core_write(self.as_raw(), true, value, place) })
                }
            )*
        }
    };
}

registers! {
    read8, write8, u8, vfio_pci_core_ioread8, vfio_pci_core_iowrite8;
    read16, write16, u16, vfio_pci_core_ioread16, vfio_pci_core_iowrite16;
    read32, write32, u32, vfio_pci_core_ioread32, vfio_pci_core_iowrite32;
}

#[cfg(CONFIG_64BIT)]
registers! {
    read64, write64, u64, vfio_pci_core_ioread64, vfio_pci_core_iowrite64;
}
