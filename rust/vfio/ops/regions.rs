// SPDX-License-Identifier: GPL-2.0

//! Accesses to regions and to the configuration header, and what else userspace may
//! ask of a device that is open.
//!
//! User memory is accessed here, with no lock held.

use super::super::{
    device::Device,
    driver::Driver,
    errno::{
        from_ssize,
        to_ssize, //
    },
    open_device::OpenDevice,
    regions::{
        Regions,
        HEADER_LEN,
        MAX_ACCESS, //
    }, //
};
use crate::abi;
use kernel::{
    bindings,
    mm::virt::VmaNew,
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// What the driver of an open device emulates, if anything, and the device for it.
///
/// # Safety
///
/// `device` must be a device of `D`, and open for the whole of `'a` and until the result is
/// dropped.
unsafe fn emulated<'a, D: Driver>(
    device: *mut abi::vfio_device,
) -> Option<(&'a D::Regions, OpenDevice)> {
    // SAFETY: By the requirement of this function. An open device is registered and enabled.
    unsafe {
        let this = Device::<D>::from_vfio(device);
        Some((this.regions()?, this.as_open()))
    }
}

/// An access by userspace, taken apart.
///
/// # Invariants
///
/// `pos` is valid for reads and writes as long as this exists.
struct Access {
    region: u32,
    offset: u64,
    user: UserPtr,
    count: usize,
    pos: *mut bindings::loff_t,
}

impl Access {
    /// # Errors
    ///
    /// EINVAL if the position is in no region.
    ///
    /// # Safety
    ///
    /// `pos` must be valid for reads and writes until the result is dropped.
    unsafe fn new(user: UserPtr, count: usize, pos: *mut bindings::loff_t) -> Result<Self> {
        // SAFETY: By the requirement of this function. VFIO gives no negative positions.
        let at = u64::try_from(unsafe { *pos })?;
        // INVARIANT: By the requirement of this function.
        Ok(Self {
            region: u32::try_from(at >> abi::VFIO_PCI_OFFSET_SHIFT)?,
            offset: at & ((1 << abi::VFIO_PCI_OFFSET_SHIFT) - 1),
            user,
            count,
            pos,
        })
    }

    /// Accesses an emulated region of `len` bytes: `transfer` takes the bytes, all zero, from
    /// where they come from to where they go. Gives how many they are; the position is behind
    /// them then.
    ///
    /// # Errors
    ///
    /// EINVAL if the access is not inside the region or longer than [`MAX_ACCESS`], or what
    /// `transfer` gives.
    fn emulate(&self, len: u64, transfer: impl FnOnce(&mut [u8]) -> Result) -> Result<usize> {
        let end = self.offset.checked_add(self.count as u64).ok_or(EINVAL)?;
        if end > len {
            return Err(EINVAL);
        }
        let mut bounce = [0; MAX_ACCESS];
        transfer(bounce.get_mut(..self.count).ok_or(EINVAL)?)?;
        // SAFETY: By the type invariant.
        unsafe { *self.pos += self.count as bindings::loff_t };
        Ok(self.count)
    }

    /// What the first `count` bytes of an access to configuration space have in
    /// common with the header: offset in it, and number of bytes, not zero.
    fn header(&self, count: usize) -> Option<(usize, usize)> {
        if self.region != abi::VFIO_PCI_CONFIG_REGION_INDEX {
            return None;
        }
        // The header is at the start of the region.
        let at = usize::try_from(self.offset).ok()?;
        let len = HEADER_LEN.checked_sub(at)?.min(count);
        (len > 0).then_some((at, len))
    }

    /// Copies the first of the access's bytes from user memory.
    fn fetch(&self, bytes: &mut [u8]) -> Result {
        UserSlice::new(self.user, bytes.len())
            .reader()
            .read_slice(bytes)
    }

    /// Copies the first of the access's bytes to user memory.
    fn give(&self, bytes: &[u8]) -> Result {
        UserSlice::new(self.user, bytes.len())
            .writer()
            .write_slice(bytes)
    }
}

/// Reads for userspace; `core` does what `vfio-pci-core` would. Gives the number of bytes.
fn read_some<R: Regions>(
    regions: &R,
    device: &OpenDevice,
    access: &Access,
    core: impl FnOnce() -> isize,
) -> Result<usize> {
    if access.count == 0 {
        return Ok(0);
    }
    if let Some(len) = regions.len(access.region) {
        return access.emulate(len, |bytes| {
            device.while_awake(|| regions.read(device, access.region, access.offset, bytes))?;
            access.give(bytes)
        });
    }
    let done = from_ssize(core())?;
    if let Some((at, len)) = access.header(done) {
        let mut header = [0; HEADER_LEN];
        let bytes = header.get_mut(..len).ok_or(EINVAL)?;
        // What core gave is in user memory already, where it is changed. Who changes it
        // meanwhile deceives nobody else.
        access.fetch(bytes)?;
        regions.show_header(at, bytes);
        access.give(bytes)?;
    }
    Ok(done)
}

/// Writes for userspace; otherwise as [`read_some`].
fn write_some<R: Regions>(
    regions: &R,
    device: &OpenDevice,
    access: &Access,
    core: impl FnOnce() -> isize,
) -> Result<usize> {
    if access.count == 0 {
        return Ok(0);
    }
    if let Some(len) = regions.len(access.region) {
        return access.emulate(len, |bytes| {
            access.fetch(bytes)?;
            device.while_awake(|| regions.write(device, access.region, access.offset, bytes))
        });
    }
    let mut header = [0; HEADER_LEN];
    if let Some((_, len)) = access.header(access.count) {
        // Before core acts on the write, so that a fault has no effect.
        access.fetch(header.get_mut(..len).ok_or(EINVAL)?)?;
    }
    let done = from_ssize(core())?;
    if let Some((at, len)) = access.header(done) {
        regions.header_written(at, header.get(..len).unwrap_or_default());
    }
    Ok(done)
}

/// # Safety
///
/// `device` must be an open device of `D`, `buf` a user address and `pos` valid.
pub(super) unsafe extern "C" fn read<D: Driver>(
    device: *mut abi::vfio_device,
    buf: *mut c_char,
    count: usize,
    pos: *mut bindings::loff_t,
) -> isize {
    // SAFETY: As required here, for the `read` callback.
    let core = || unsafe { abi::vfio_pci_core_read(device, buf, count, pos) };
    // SAFETY: By the requirement of this function. VFIO keeps the device open over this call.
    let Some((regions, open)) = (unsafe { emulated::<D>(device) }) else {
        return core();
    };
    // SAFETY: By the requirements of this function.
    let access = unsafe { Access::new(UserPtr::from_ptr(buf.cast()), count, pos) };
    to_ssize(access.and_then(|access| read_some(regions, &open, &access, core)))
}

/// # Safety
///
/// As [`read`].
pub(super) unsafe extern "C" fn write<D: Driver>(
    device: *mut abi::vfio_device,
    buf: *const c_char,
    count: usize,
    pos: *mut bindings::loff_t,
) -> isize {
    // SAFETY: As required here, for the `write` callback.
    let core = || unsafe { abi::vfio_pci_core_write(device, buf, count, pos) };
    // SAFETY: As in `read`.
    let Some((regions, open)) = (unsafe { emulated::<D>(device) }) else {
        return core();
    };
    // SAFETY: By the requirements of this function.
    let access = unsafe { Access::new(UserPtr::from_ptr(buf.cast_mut().cast()), count, pos) };
    to_ssize(access.and_then(|access| write_some(regions, &open, &access, core)))
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

/// # Safety
///
/// `device` must be an open device of `D`, and `vma` a new mapping of its file.
pub(super) unsafe extern "C" fn map<D: Driver>(
    device: *mut abi::vfio_device,
    vma: *mut bindings::vm_area_struct,
) -> c_int {
    // SAFETY: As in `read`.
    if let Some((regions, open)) = unsafe { emulated::<D>(device) } {
        // SAFETY: By the requirements of this function.
        let (new, page) = unsafe { (VmaNew::from_raw(vma), (*vma).vm_pgoff as u64) };
        let region = page >> (abi::VFIO_PCI_OFFSET_SHIFT - bindings::PAGE_SHIFT);
        let region = u32::try_from(region).map_err(|_| EINVAL);
        match region.and_then(|region| regions.map(&open, region, new)) {
            Ok(true) => return 0,
            Ok(false) => {}
            Err(error) => return error.to_errno(),
        }
    }
    // SAFETY: As required here, for the `mmap` callback.
    unsafe { abi::vfio_pci_core_mmap(device, vma) }
}

/// # Safety
///
/// `device` must be an open device of `D`.
pub(super) unsafe extern "C" fn ioctl<D: Driver>(
    device: *mut abi::vfio_device,
    command: c_uint,
    argument: c_ulong,
) -> c_long {
    // SAFETY: As in `read`.
    if let Some((regions, open)) = unsafe { emulated::<D>(device) } {
        match regions.ioctl(&open, command, argument) {
            Ok(Some(result)) => return result,
            Ok(None) => {}
            Err(error) => return error.to_errno() as c_long,
        }
    }
    // SAFETY: As required here, for the `ioctl` callback.
    unsafe { abi::vfio_pci_core_ioctl(device, command, argument) }
}

/// # Safety
///
/// `device` must be an open device of `D`, and `data` a user address.
pub(super) unsafe extern "C" fn feature<D: Driver>(
    device: *mut abi::vfio_device,
    flags: u32,
    data: *mut c_void,
    size: usize,
) -> c_int {
    // SAFETY: As in `read`.
    if let Some((regions, open)) = unsafe { emulated::<D>(device) } {
        match regions.feature(&open, flags, UserPtr::from_ptr(data), size) {
            Ok(Some(result)) => return result,
            Ok(None) => {}
            Err(error) => return error.to_errno(),
        }
    }
    // SAFETY: As required here, for the `device_feature` callback.
    unsafe { abi::vfio_pci_core_ioctl_feature(device, flags, data, size) }
}
