// SPDX-License-Identifier: GPL-2.0

//! Regions that a driver emulates, and the configuration header it shows.
//!
//! `vfio-pci-core` serves the regions that the device has. A driver whose device
//! is to look different implements [`Regions`]: whole regions in place of what
//! the device lacks, and a view of the configuration header.
//!
//! User memory is accessed here, with no lock held.

// What is used depends on the drivers, which depend on the kernel's configuration.
#![allow(dead_code)]

use super::{
    device::Device,
    driver::Driver, //
};
use crate::abi;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// Most bytes in one access to an emulated region.
pub(crate) const MAX_ACCESS: usize = 8;

/// Bytes of the part of configuration space that every function has alike.
pub(crate) const HEADER_LEN: usize = 64;

/// Region number of BAR 0.
pub(crate) const BAR0: u32 = abi::VFIO_PCI_BAR0_REGION_INDEX;

/// What userspace sees of a device beyond, or instead of, what the device has.
///
/// Region numbers are those of `VFIO_PCI_*_REGION_INDEX`. Calls come from any
/// number of threads at a time. They are made while the device is open, but for
/// [`reset_done`](Self::reset_done), which may come at any time.
pub(crate) trait Regions: Send + Sync + 'static {
    /// The device file was opened: whatever a former user left must not show.
    /// The device has just been reset.
    fn opened(&self);

    /// The device was reset.
    ///
    /// Runs where the reset was asked for, with locks of VFIO held that are
    /// also taken inside page faults: user memory must not be accessed, and no
    /// lock be taken that is held elsewhere while that is done.
    fn reset_done(&self);

    /// Number of bytes of region `region` if it is emulated, and then never 0.
    /// It must be one that the device does not have itself, since
    /// `vfio-pci-core` goes on mapping and exporting those. An emulated region
    /// can be read and written, and not be mapped.
    fn len(&self, region: u32) -> Option<u64>;

    /// Reads from an emulated region. The access is within the region and has 1
    /// to [`MAX_ACCESS`] bytes, initially zero; it may have any alignment.
    ///
    /// # Errors
    ///
    /// Userspace gets them as they are.
    fn read(&self, device: &OpenDevice<'_>, region: u32, offset: u64, bytes: &mut [u8]) -> Result;

    /// Writes to an emulated region; otherwise as [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// Userspace gets them as they are.
    fn write(&self, device: &OpenDevice<'_>, region: u32, offset: u64, bytes: &[u8]) -> Result;

    /// Changes what userspace reads from the configuration header: `bytes`, at
    /// offset `at`, are what `vfio-pci-core` shows.
    fn show_header(&self, at: usize, bytes: &mut [u8]);

    /// Userspace wrote `bytes` to the configuration header, at offset `at`, and
    /// `vfio-pci-core` has made of it what it makes of it.
    fn header_written(&self, at: usize, bytes: &[u8]);
}

/// The [`Regions`] of a driver that has none.
pub(crate) enum NoRegions {}

impl Regions for NoRegions {
    fn opened(&self) {
        match *self {}
    }

    fn reset_done(&self) {
        match *self {}
    }

    fn len(&self, _region: u32) -> Option<u64> {
        match *self {}
    }

    fn read(&self, _: &OpenDevice<'_>, _: u32, _: u64, _: &mut [u8]) -> Result {
        match *self {}
    }

    fn write(&self, _: &OpenDevice<'_>, _: u32, _: u64, _: &[u8]) -> Result {
        match *self {}
    }

    fn show_header(&self, _: usize, _: &mut [u8]) {
        match *self {}
    }

    fn header_written(&self, _: usize, _: &[u8]) {
        match *self {}
    }
}

/// A device while userspace has it open.
///
/// # Invariants
///
/// `core` is a valid device that stays enabled for all of `'a`.
pub(crate) struct OpenDevice<'a> {
    core: *mut abi::vfio_pci_core_device,
    _open: PhantomData<&'a ()>,
}

impl OpenDevice<'_> {
    /// Whether userspace has MSI-X enabled.
    pub(crate) fn msix_enabled(&self) -> bool {
        // VFIO changes it under a lock of its own; whoever enables MSI-X while they access a
        // register whose place depends on it gets the one or the other.
        // SAFETY: The device is valid by the type invariant. The read is of an aligned integer, and
        // volatile since it may change.
        let kind = unsafe { ptr::read_volatile(&raw const (*self.core).irq_type) };
        u32::try_from(kind) == Ok(abi::VFIO_PCI_MSIX_IRQ_INDEX)
    }

    /// Address in the kernel of the 16 bits at `offset` of BAR `bar`.
    ///
    /// # Errors
    ///
    /// EINVAL if there is no such place, or what mapping the BAR gave.
    fn place(&self, bar: u8, offset: u64) -> Result<*mut c_void> {
        let index = usize::from(bar);
        // SAFETY: The device is valid, and its BARs are mapped while it is enabled; the array is
        // not changed meanwhile.
        let map = unsafe {
            (&raw const (*self.core).barmap)
                .as_ref()
                .and_then(|maps| maps.get(index).copied())
        };
        let map = map.filter(|map| !map.is_null()).ok_or(EINVAL)?;
        let map = kernel::error::from_err_ptr(map.cast::<c_void>())?;
        // SAFETY: The device is valid; its `pdev` is, too, as long as it is. The index was checked.
        let len = unsafe { abi::vvp_pci_resource_len((*self.core).pdev, c_int::from(bar)) };
        if offset.checked_add(2).is_none_or(|end| end > len) || offset % 2 != 0 {
            return Err(EINVAL);
        }
        Ok(map.wrapping_byte_add(usize::try_from(offset)?))
    }

    /// Reads 16 bits, little-endian, from a BAR of the device.
    ///
    /// # Errors
    ///
    /// EINVAL if there is no such place, EIO if the device's memory is disabled.
    pub(crate) fn read16(&self, bar: u8, offset: u64) -> Result<u16> {
        let place = self.place(bar, offset)?;
        let mut value = 0;
        // SAFETY: `place` is inside a BAR that is mapped while the device is enabled, which it is
        // by the type invariant; `value` is valid for a write.
        to_result(unsafe { abi::vfio_pci_core_ioread16(self.core, true, &mut value, place) })?;
        Ok(value)
    }

    /// Writes 16 bits, little-endian, to a BAR of the device.
    ///
    /// # Errors
    ///
    /// As [`read16`](Self::read16).
    pub(crate) fn write16(&self, bar: u8, offset: u64, value: u16) -> Result {
        let place = self.place(bar, offset)?;
        // SAFETY: As in `read16`.
        to_result(unsafe { abi::vfio_pci_core_iowrite16(self.core, true, value, place) })
    }

    /// Runs `f` with the device out of runtime suspend.
    ///
    /// # Errors
    ///
    /// EIO if it cannot be resumed, or what `f` gives.
    fn while_awake<R>(&self, f: impl FnOnce() -> Result<R>) -> Result<R> {
        // SAFETY: The device is valid by the type invariant, and so is its `pdev`.
        let pdev = unsafe { (*self.core).pdev };
        // SAFETY: `pdev` is valid.
        to_result(unsafe { abi::vvp_pm_runtime_resume_and_get(pdev) }).map_err(|_| EIO)?;
        let result = f();
        // SAFETY: This gives back the count taken above.
        unsafe { abi::vvp_pm_runtime_put(pdev) };
        result
    }
}

/// An access by userspace, taken apart.
struct Access {
    region: u32,
    offset: u64,
    user: UserPtr,
    count: usize,
}

impl Access {
    /// # Safety
    ///
    /// `pos` must be valid for a read.
    unsafe fn new(
        user: UserPtr,
        count: usize,
        pos: *const kernel::bindings::loff_t,
    ) -> Result<Self> {
        // SAFETY: By the requirement of this function. VFIO gives no negative positions.
        let pos = u64::try_from(unsafe { *pos })?;
        Ok(Self {
            region: u32::try_from(pos >> abi::VFIO_PCI_OFFSET_SHIFT)?,
            offset: pos & ((1 << abi::VFIO_PCI_OFFSET_SHIFT) - 1),
            user,
            count,
        })
    }

    /// Checks an access to an emulated region of `len` bytes.
    ///
    /// # Errors
    ///
    /// EINVAL if it is not inside the region or longer than [`MAX_ACCESS`].
    fn check(&self, len: u64) -> Result {
        let end = self.offset.checked_add(self.count as u64).ok_or(EINVAL)?;
        if end > len || self.count > MAX_ACCESS {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// What the first `count` bytes of an access to configuration space have in
    /// common with the header: offset in it, where it is in user memory, length.
    fn header(&self, count: usize) -> Option<(usize, UserPtr, usize)> {
        if self.region != abi::VFIO_PCI_CONFIG_REGION_INDEX {
            return None;
        }
        // The header is at the start of the region.
        let at = usize::try_from(self.offset).ok()?;
        let len = HEADER_LEN.checked_sub(at)?.min(count);
        (len > 0).then_some((at, self.user, len))
    }
}

fn to_ssize(result: Result<usize>) -> isize {
    match result {
        // The VFS limits a transfer to MAX_RW_COUNT, below `isize::MAX`.
        Ok(count) => count as isize,
        Err(error) => error.to_errno() as isize,
    }
}

fn read_emulated<R: Regions>(
    regions: &R,
    device: &OpenDevice<'_>,
    access: &Access,
    len: u64,
) -> Result<usize> {
    access.check(len)?;
    let mut bounce = [0; MAX_ACCESS];
    let bytes = bounce.get_mut(..access.count).ok_or(EINVAL)?;
    device.while_awake(|| regions.read(device, access.region, access.offset, bytes))?;
    UserSlice::new(access.user, access.count)
        .writer()
        .write_slice(bytes)?;
    Ok(access.count)
}

fn write_emulated<R: Regions>(
    regions: &R,
    device: &OpenDevice<'_>,
    access: &Access,
    len: u64,
) -> Result<usize> {
    access.check(len)?;
    let mut bounce = [0; MAX_ACCESS];
    let bytes = bounce.get_mut(..access.count).ok_or(EINVAL)?;
    UserSlice::new(access.user, access.count)
        .reader()
        .read_slice(bytes)?;
    device.while_awake(|| regions.write(device, access.region, access.offset, bytes))?;
    Ok(access.count)
}

/// # Safety
///
/// `device` must be an open device of `D`, `buf` a user address and `pos` valid.
pub(super) unsafe extern "C" fn read<D: Driver>(
    device: *mut abi::vfio_device,
    buf: *mut c_char,
    count: usize,
    pos: *mut kernel::bindings::loff_t,
) -> isize {
    // SAFETY: An open device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    // SAFETY: As required here, for the `read` callback.
    let core_read = || unsafe { abi::vfio_pci_core_read(device, buf, count, pos) };
    let Some(regions) = this.regions() else {
        return core_read();
    };
    // SAFETY: By the requirements of this function.
    let access = match unsafe { Access::new(UserPtr::from_ptr(buf.cast()), count, pos) } {
        Ok(access) => access,
        Err(error) => return error.to_errno() as isize,
    };
    if count == 0 {
        return 0;
    }
    if let Some(len) = regions.len(access.region) {
        // INVARIANT: VFIO keeps the device open over this call.
        let open = OpenDevice {
            core: this.core(),
            _open: PhantomData,
        };
        let result = read_emulated(regions, &open, &access, len);
        return to_ssize(result.inspect(|&count| {
            // SAFETY: By the requirements of this function.
            unsafe { *pos += count as kernel::bindings::loff_t };
        }));
    }
    let done = core_read();
    let Some((at, user, len)) = usize::try_from(done).ok().and_then(|n| access.header(n)) else {
        return done;
    };
    // What core gave is in user memory already, where it is changed. Who changes it meanwhile
    // deceives nobody else.
    let mut header = [0; HEADER_LEN];
    let Some(bytes) = header.get_mut(..len) else {
        return EINVAL.to_errno() as isize;
    };
    let shown = UserSlice::new(user, len).reader().read_slice(bytes);
    let shown = shown.and_then(|()| {
        regions.show_header(at, bytes);
        UserSlice::new(user, len).writer().write_slice(bytes)
    });
    match shown {
        Ok(()) => done,
        Err(error) => error.to_errno() as isize,
    }
}

/// # Safety
///
/// As [`read`].
pub(super) unsafe extern "C" fn write<D: Driver>(
    device: *mut abi::vfio_device,
    buf: *const c_char,
    count: usize,
    pos: *mut kernel::bindings::loff_t,
) -> isize {
    // SAFETY: An open device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    // SAFETY: As required here, for the `write` callback.
    let core_write = || unsafe { abi::vfio_pci_core_write(device, buf, count, pos) };
    let Some(regions) = this.regions() else {
        return core_write();
    };
    let user = UserPtr::from_ptr(buf.cast_mut().cast());
    // SAFETY: By the requirements of this function.
    let access = match unsafe { Access::new(user, count, pos) } {
        Ok(access) => access,
        Err(error) => return error.to_errno() as isize,
    };
    if count == 0 {
        return 0;
    }
    if let Some(len) = regions.len(access.region) {
        // INVARIANT: VFIO keeps the device open over this call.
        let open = OpenDevice {
            core: this.core(),
            _open: PhantomData,
        };
        let result = write_emulated(regions, &open, &access, len);
        return to_ssize(result.inspect(|&count| {
            // SAFETY: By the requirements of this function.
            unsafe { *pos += count as kernel::bindings::loff_t };
        }));
    }
    // Fetched before core acts on the write, so that a fault has no effect.
    let mut header = [0; HEADER_LEN];
    let mut at = 0;
    if let Some((start, user, len)) = access.header(count) {
        let Some(bytes) = header.get_mut(..len) else {
            return EINVAL.to_errno() as isize;
        };
        if let Err(error) = UserSlice::new(user, len).reader().read_slice(bytes) {
            return error.to_errno() as isize;
        }
        at = start;
    }
    let done = core_write();
    if let Some((_, _, len)) = usize::try_from(done).ok().and_then(|n| access.header(n)) {
        regions.header_written(at, header.get(..len).unwrap_or_default());
    }
    done
}

/// # Safety
///
/// `device` must be an open device of `D`, `info` and `caps` valid for it to fill in.
pub(super) unsafe extern "C" fn region_info<D: Driver>(
    device: *mut abi::vfio_device,
    info: *mut abi::vfio_region_info,
    caps: *mut abi::vfio_info_cap,
) -> c_int {
    // SAFETY: An open device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    // SAFETY: By the requirements of this function.
    let region = unsafe { (*info).index };
    let Some(len) = this.regions().and_then(|regions| regions.len(region)) else {
        // SAFETY: As required here, for the `get_region_info_caps` callback.
        return unsafe { abi::vfio_pci_ioctl_get_region_info(device, info, caps) };
    };
    // SAFETY: By the requirements of this function.
    unsafe {
        (*info).offset = u64::from(region) << abi::VFIO_PCI_OFFSET_SHIFT;
        (*info).size = len;
        (*info).flags = abi::VFIO_REGION_INFO_FLAG_READ | abi::VFIO_REGION_INFO_FLAG_WRITE;
    }
    0
}
