// SPDX-License-Identifier: GPL-2.0

//! Admin commands for one virtual function.

use crate::{
    abi,
    logic::{
        admin_command,
        admin_status,
        cause::Cause, //
    },
    observe::Observer, //
};
use core::ptr;
use kernel::{
    bindings,
    device::Core,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// PCI vendor id of virtio devices.
pub(crate) const PCI_VENDOR_ID_VIRTIO: u32 = 0x1af4;

/// PCI device id of virtio device type 0.
const MODERN_ID_BASE: u16 = 0x1040;

/// Last PCI device id of a virtio device.
const LAST_ID: u16 = 0x107f;

/// The type of a virtio device: 1 for network, 2 for block and so on; `None` if
/// `pdev` is no virtio device.
pub(crate) fn device_type(pdev: &pci::Device) -> Option<u16> {
    if u32::from(pdev.vendor_id().as_raw()) != PCI_VENDOR_ID_VIRTIO {
        return None;
    }
    // Virtio 1.4, 4.1.2.1 and 4.1.2.3: modern ids are the type plus a base; transitional devices
    // have theirs as the subsystem id.
    match pdev.device_id() {
        0x1000..MODERN_ID_BASE => Some(pdev.subsystem_device_id()),
        id @ MODERN_ID_BASE..=LAST_ID => Some(id - MODERN_ID_BASE),
        _ => None,
    }
}

/// A virtual function as a member of its PF's SR-IOV group.
///
/// # Invariants
///
/// `pdev` is bound to our driver whenever a command is given: a member is used
/// by the device's migration and its streams, which are gone before the device
/// is unbound, and by the calls of its open file, which keep it bound. That keeps
/// the PF's driver bound, too: it disables SR-IOV, which unbinds the virtual
/// functions, before it goes.
#[pin_data]
pub(crate) struct Member {
    pdev: ARef<pci::Device>,
    /// The PF's driver wants the commands for one device serialised.
    #[pin]
    command: Mutex<()>,
    observer: Arc<Observer>,
}

impl Member {
    /// Whether `pdev` is a virtual function whose PF has a driver and device
    /// parts commands.
    pub(crate) fn is_one(pdev: &pci::Device<Core<'_>>) -> bool {
        // SAFETY: The device is valid and, in the `Core` context, cannot go away meanwhile.
        unsafe { abi::virtio_pci_admin_has_dev_parts(as_raw(pdev)) }
    }

    /// Whether `pdev` is a virtual function whose PF has a driver and commands for
    /// legacy registers.
    #[cfg(CONFIG_VIRTIO_PCI_ADMIN_LEGACY)]
    pub(crate) fn has_legacy_io(pdev: &pci::Device<Core<'_>>) -> bool {
        // SAFETY: As in `is_one`.
        unsafe { abi::virtio_pci_admin_has_legacy_io(as_raw(pdev)) }
    }

    /// The member that `pdev` is, see [`is_one`](Self::is_one) and
    /// [`has_legacy_io`](Self::has_legacy_io).
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new(pdev: &pci::Device<Core<'_>>, observer: Arc<Observer>) -> Result<Arc<Self>> {
        // INVARIANT: The caller is binding the device.
        Arc::pin_init(
            pin_init!(Self {
                pdev: pdev.into(),
                command <- new_mutex!((), "virtio_admin_command"),
                observer,
            }),
            GFP_KERNEL,
        )
    }

    /// The device, for messages.
    pub(crate) fn device(&self) -> &pci::Device {
        &self.pdev
    }

    /// Virtio device type, see [`device_type`].
    pub(crate) fn device_type(&self) -> u16 {
        // It was one when it was bound.
        device_type(&self.pdev).unwrap_or(0)
    }

    /// Who is to be told what happens to the device.
    pub(crate) fn observer(&self) -> &Arc<Observer> {
        &self.observer
    }

    /// Gives a command as [`try_execute`](Self::try_execute), and keeps which one
    /// it was that failed.
    ///
    /// # Errors
    ///
    /// As there.
    pub(super) fn execute(
        &self,
        opcode: u16,
        command: impl FnMut(*mut bindings::pci_dev) -> c_int,
    ) -> Result {
        self.try_execute(opcode, command)
            .map_err(|error| self.observer.refuse(Cause::Command { opcode }, error))
    }

    /// Gives a command, again while the device asks for it, within bounds.
    ///
    /// # Errors
    ///
    /// What the device or the PF's driver answers, see [`admin_status::errno`].
    pub(super) fn try_execute(
        &self,
        opcode: u16,
        mut command: impl FnMut(*mut bindings::pci_dev) -> c_int,
    ) -> Result {
        let _serialised = self.command.lock();
        let mut attempt = 0;
        loop {
            let start = Instant::<Monotonic>::now();
            let errno = admin_status::errno(command(as_raw(&self.pdev)));
            self.observer.command(opcode, errno, start.elapsed());
            if errno == 0 {
                return Ok(());
            }
            if !admin_status::is_transient(errno) || attempt == admin_status::MAX_RETRIES {
                return Err(Error::from_errno(-errno));
            }
            fsleep(Delta::from_millis(admin_status::delay_ms(attempt)));
            attempt += 1;
        }
    }

    /// Stops the device, or lets it go on (DEV_MODE_SET). Stopped, it starts no
    /// DMA and no interrupts, and has finished what it had started. Setting the
    /// mode that it has is no error.
    pub(crate) fn set_stopped(&self, stopped: bool) -> Result {
        let flags = u8::from(stopped) << abi::VIRTIO_ADMIN_CMD_DEV_MODE_F_STOPPED;
        // SAFETY: By the type invariant.
        self.execute(admin_command::DEV_MODE_SET, |pdev| unsafe {
            abi::virtio_pci_admin_mode_set(pdev, flags)
        })
    }

    /// What tells its PF from others.
    pub(super) fn physfn(&self) -> usize {
        // SAFETY: By the type invariant the device is a bound virtual function.
        unsafe { abi::vvp_pci_physfn(as_raw(&self.pdev)) }.addr()
    }
}

/// `struct pci_dev` of `pdev`.
fn as_raw(pdev: &pci::Device) -> *mut bindings::pci_dev {
    // `pci::Device` is a transparent wrapper of an opaque `struct pci_dev`.
    ptr::from_ref(pdev).cast_mut().cast()
}
