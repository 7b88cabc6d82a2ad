// SPDX-License-Identifier: GPL-2.0

//! A virtual function as a transitional device: one that legacy drivers can
//! use, by registers in an I/O BAR that no virtual function can have.
//!
//! BAR 0 is emulated. An access to it becomes admin commands on the PF, one for
//! each register it touches, in ascending order; if one fails, those before it
//! were executed. Notifications of queues are written to the virtual function
//! directly, where it says. The configuration header is that of a transitional
//! network device; the rest of configuration space, and all other regions, are
//! the virtual function's own, so that modern drivers can use the device, too.
//!
//! # Errors
//!
//! What userspace gets for an access to BAR 0:
//!
//! - EIO while COMMAND.IO is clear, or if the device cannot be resumed;
//! - EINVAL if the access is not inside the BAR, has more than 8 bytes, or is to
//!   one half of the notification register;
//! - EFAULT for a bad address;
//! - otherwise what the device answers to the command: `admin_status::errno`.
//!
//! # Locking
//!
//! `header` is held for register accesses to the header only, and no other lock
//! is taken under it: a reset takes it with VFIO's `memory_lock` held.
//!
//! Limitations: network devices only.

use crate::{
    logic::legacy::{
        self,
        ConfigHeader,
        Register, //
    },
    vfio::{
        self,
        OpenDevice, //
    },
    virtio, //
};
use kernel::{
    device::Core,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// PCI device id of a modern network device.
const MODERN_NET: u16 = 0x1041;

const _: () = assert!(legacy::HEADER_LEN == vfio::HEADER_LEN);

/// The emulated part of a transitional device.
#[pin_data]
pub(crate) struct Transitional {
    io: Pin<KBox<virtio::LegacyIo>>,
    #[pin]
    header: Mutex<ConfigHeader>,
}

impl Transitional {
    /// Whether `pdev` can be a transitional device: its PF helps and its BAR 0 is
    /// free.
    pub(crate) fn is_possible(pdev: &pci::Device<Core<'_>>) -> bool {
        pdev.device_id() == MODERN_NET
            && pdev.resource_len(0).is_ok_and(|len| len == 0)
            && virtio::Member::has_legacy_io(pdev)
    }

    /// Makes `pdev`, which is `member`, a transitional device; see
    /// [`is_possible`](Self::is_possible).
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new(
        pdev: &pci::Device<Core<'_>>,
        member: Arc<virtio::Member>,
    ) -> Result<Pin<KBox<Self>>> {
        let io = virtio::LegacyIo::new(pdev, member)?;
        KBox::pin_init(
            pin_init!(Self {
                io,
                header <- new_mutex!(ConfigHeader::new(), "virtio_transitional_header"),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes an access apart; see [`legacy::pieces`].
    fn pieces(
        &self,
        device: &OpenDevice,
        offset: u64,
        len: usize,
    ) -> Result<impl Iterator<Item = legacy::Piece>> {
        if !self.header.lock().io_enabled() {
            return Err(EIO);
        }
        legacy::pieces(device.msix_enabled(), offset, len).ok_or(EINVAL)
    }

    fn read_notify(&self, device: &OpenDevice, bytes: &mut [u8]) -> Result {
        match self.io.notify_place() {
            Some(place) => {
                let value = device.read16(place.bar, place.offset)?;
                bytes.copy_from_slice(&value.to_le_bytes());
                Ok(())
            }
            None => self.io.read_common(legacy::NOTIFY as u8, bytes),
        }
    }

    fn notify(&self, device: &OpenDevice, bytes: &[u8]) -> Result {
        match self.io.notify_place() {
            Some(place) => {
                let queue = u16::from_le_bytes(bytes.try_into().map_err(|_| EINVAL)?);
                device.write16(place.bar, place.offset, queue)
            }
            None => self.io.write_common(legacy::NOTIFY as u8, bytes),
        }
    }
}

#[vtable]
impl vfio::Regions for Transitional {
    fn opened(&self, _device: &OpenDevice) -> Result {
        *self.header.lock() = ConfigHeader::new();
        Ok(())
    }

    fn reset_done(&self) {
        self.header.lock().reset();
    }

    fn len(&self, region: u32) -> Option<u64> {
        (region == vfio::BAR0).then_some(legacy::BAR_LEN as u64)
    }

    fn read(&self, device: &OpenDevice, _region: u32, offset: u64, bytes: &mut [u8]) -> Result {
        for piece in self.pieces(device, offset, bytes.len())? {
            let bytes = bytes
                .get_mut(piece.start..piece.start + piece.len)
                .ok_or(EINVAL)?;
            match piece.target {
                Register::Common(at) => self.io.read_common(at, bytes)?,
                Register::Device(at) => self.io.read_device(at, bytes)?,
                Register::Notify => self.read_notify(device, bytes)?,
            }
        }
        Ok(())
    }

    fn write(&self, device: &OpenDevice, _region: u32, offset: u64, bytes: &[u8]) -> Result {
        for piece in self.pieces(device, offset, bytes.len())? {
            let bytes = bytes
                .get(piece.start..piece.start + piece.len)
                .ok_or(EINVAL)?;
            match piece.target {
                Register::Common(at) => self.io.write_common(at, bytes)?,
                Register::Device(at) => self.io.write_device(at, bytes)?,
                Register::Notify => self.notify(device, bytes)?,
            }
        }
        Ok(())
    }

    fn show_header(&self, at: usize, bytes: &mut [u8]) {
        self.header.lock().show(at, bytes);
    }

    fn header_written(&self, at: usize, bytes: &[u8]) {
        self.header.lock().written(at, bytes);
    }
}
