// SPDX-License-Identifier: GPL-2.0

//! The legacy interface of a virtual function, through admin commands.
//!
//! C header: `include/linux/virtio_pci_admin.h`.

use super::Member;
use crate::{
    abi,
    logic::{
        admin_command,
        legacy, //
    }, //
};
use core::ffi::c_int;
use kernel::{
    bindings,
    device::Core,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// Most bytes that one command carries.
const MAX_LEN: usize = 8;

/// An opcode, and which of `virtio_pci_admin_legacy_*_io_read` and `_write` it is.
type Command = (
    u16,
    unsafe extern "C" fn(*mut bindings::pci_dev, u8, u8, *mut u8) -> c_int,
);

/// A place in a BAR of the virtual function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Number of the BAR, 1 to 5.
    pub(crate) bar: u32,
    /// Offset in it, aligned to 16 bits.
    pub(crate) offset: usize,
}

/// The legacy registers of a virtual function.
#[pin_data]
pub(crate) struct LegacyIo {
    member: Arc<Member>,
    notify: Option<Place>,
    /// The PF's driver puts what a command carries into a scatter list, which
    /// takes memory from kmalloc only. Serialises the accesses, too.
    #[pin]
    bounce: Mutex<KBox<[u8; MAX_LEN]>>,
}

impl LegacyIo {
    /// The legacy registers of `pdev`, which is `member` and has such, see
    /// [`Member::has_legacy_io`].
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new(
        pdev: &pci::Device<Core<'_>>,
        member: Arc<Member>,
    ) -> Result<Pin<KBox<Self>>> {
        let notify = match notify_place(&member, pdev) {
            Ok(place) => Some(place),
            Err(error) => {
                // They have the same effect, and take longer.
                dev_warn!(
                    pdev,
                    "no place for legacy notifications ({:?}): they go through the PF\n",
                    error
                );
                None
            }
        };
        let bounce = KBox::new([0; MAX_LEN], GFP_KERNEL)?;
        KBox::pin_init(
            pin_init!(Self {
                member,
                notify,
                bounce <- new_mutex!(bounce, "virtio_legacy_io"),
            }),
            GFP_KERNEL,
        )
    }

    /// Where to write the number of a queue to notify it of buffers; `None` if
    /// only the queue notification register is there for that.
    pub(crate) fn notify_place(&self) -> Option<Place> {
        self.notify
    }

    /// Reads from the common configuration, from a single field.
    ///
    /// # Errors
    ///
    /// What the device or the PF's driver answers, see `admin_status::errno`;
    /// EINVAL if there is no such field.
    pub(crate) fn read_common(&self, offset: u8, bytes: &mut [u8]) -> Result {
        self.read(
            (
                admin_command::LEGACY_COMMON_CFG_READ,
                abi::virtio_pci_admin_legacy_common_io_read,
            ),
            offset,
            bytes,
        )
    }

    /// Writes to the common configuration; otherwise as
    /// [`read_common`](Self::read_common).
    pub(crate) fn write_common(&self, offset: u8, bytes: &[u8]) -> Result {
        self.write(
            (
                admin_command::LEGACY_COMMON_CFG_WRITE,
                abi::virtio_pci_admin_legacy_common_io_write,
            ),
            offset,
            bytes,
        )
    }

    /// Reads from the device configuration; otherwise as
    /// [`read_common`](Self::read_common).
    pub(crate) fn read_device(&self, offset: u8, bytes: &mut [u8]) -> Result {
        self.read(
            (
                admin_command::LEGACY_DEV_CFG_READ,
                abi::virtio_pci_admin_legacy_device_io_read,
            ),
            offset,
            bytes,
        )
    }

    /// Writes to the device configuration; otherwise as
    /// [`read_common`](Self::read_common).
    pub(crate) fn write_device(&self, offset: u8, bytes: &[u8]) -> Result {
        self.write(
            (
                admin_command::LEGACY_DEV_CFG_WRITE,
                abi::virtio_pci_admin_legacy_device_io_write,
            ),
            offset,
            bytes,
        )
    }

    fn read(&self, command: Command, offset: u8, bytes: &mut [u8]) -> Result {
        let mut bounce = self.bounce.lock();
        // The device may write less than it was asked for.
        **bounce = [0; MAX_LEN];
        self.execute(command, offset, &mut bounce, bytes.len())?;
        bytes.copy_from_slice(bounce.get(..bytes.len()).ok_or(EINVAL)?);
        Ok(())
    }

    fn write(&self, command: Command, offset: u8, bytes: &[u8]) -> Result {
        let mut bounce = self.bounce.lock();
        bounce
            .get_mut(..bytes.len())
            .ok_or(EINVAL)?
            .copy_from_slice(bytes);
        self.execute(command, offset, &mut bounce, bytes.len())
    }

    fn execute(
        &self,
        (opcode, command): Command,
        offset: u8,
        bounce: &mut [u8; MAX_LEN],
        len: usize,
    ) -> Result {
        if !(1..=MAX_LEN).contains(&len) {
            return Err(EINVAL);
        }
        let len = u8::try_from(len)?;
        // What a guest asks for in vain is no failure of the driver's to be kept.
        self.member.try_execute(opcode, |pdev| {
            // SAFETY: `try_execute` gives a device that is bound. The
            // buffer is in kmalloc memory and has at least `len` bytes, which the device, or the
            // PF's driver on its behalf, reads or writes before the function returns.
            unsafe { command(pdev, offset, len, bounce.as_mut_ptr()) }
        })
    }
}

/// Where the device wants legacy notifications.
///
/// # Errors
///
/// What the command gives, or EINVAL if the place is impossible.
fn notify_place(member: &Member, pdev: &pci::Device<Core<'_>>) -> Result<Place> {
    let (mut bar, mut offset) = (0, 0);
    member.try_execute(admin_command::LEGACY_NOTIFY_INFO, |raw| {
        // SAFETY: `try_execute` gives a device that is bound; the two are valid for writes.
        unsafe {
            abi::virtio_pci_admin_legacy_io_notify_info(
                raw,
                abi::VIRTIO_ADMIN_CMD_NOTIFY_INFO_FLAGS_OWNER_MEM as u8,
                &mut bar,
                &mut offset,
            )
        }
    })?;
    let bar_len = pdev.resource_len(bar.into()).unwrap_or(0);
    if !legacy::notify_place_is_valid(bar, offset, bar_len) {
        return Err(EINVAL);
    }
    Ok(Place {
        bar: bar.into(),
        offset: usize::try_from(offset)?,
    })
}
