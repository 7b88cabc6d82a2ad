// SPDX-License-Identifier: GPL-2.0

//! Admin commands for one virtual function.

use crate::{
    abi,
    logic::{
        admin_command,
        admin_status,
        cause::Cause,
        pieces::Capacity, //
    },
    observe::Observer, //
};
use core::ptr;
use kernel::{
    bindings,
    device::Core,
    devres,
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
/// Commands can be given only while the function is bound to this driver. That keeps
/// the PF's driver bound, too: it disables SR-IOV, which unbinds the virtual
/// functions, before it goes.
#[pin_data]
pub(crate) struct Member {
    pdev: ARef<pci::Device>,
    physfn: usize,
    /// How many device parts a command carries.
    capacity: Capacity,
    /// `None` from the unbinding on. Also serialises the commands of one member, as the PF's
    /// driver wants it. A function with legacy registers has another member for those: its
    /// commands are of another kind, and share no state with these.
    #[pin]
    bound: Mutex<Option<Bound>>,
    observer: Arc<Observer>,
}

/// The right to give commands for a function.
///
/// # Invariants
///
/// The function is bound to this driver as long as this exists.
struct Bound(*mut bindings::pci_dev);

// SAFETY: Nothing in there belongs to a thread.
unsafe impl Send for Bound {}

/// Takes the right away; dropped by the driver core at the unbinding.
struct Unbinding(Arc<Member>);

impl Drop for Unbinding {
    fn drop(&mut self) {
        // Waits for a command under way.
        *self.0.bound.lock() = None;
    }
}

impl Member {
    /// Whether `pdev` is a virtual function whose PF has a driver and device
    /// parts commands.
    pub(crate) fn has_device_parts(pdev: &pci::Device<Core<'_>>) -> bool {
        // SAFETY: The device is valid and, in the `Core` context, cannot go away meanwhile.
        unsafe { abi::virtio_pci_admin_has_dev_parts(as_raw(pdev)) }
    }

    /// Whether `pdev` is a virtual function whose PF has a driver and commands for
    /// legacy registers.
    #[cfg(CONFIG_VIRTIO_PCI_ADMIN_LEGACY)]
    pub(crate) fn has_legacy_io(pdev: &pci::Device<Core<'_>>) -> bool {
        // SAFETY: As in `has_device_parts`.
        unsafe { abi::virtio_pci_admin_has_legacy_io(as_raw(pdev)) }
    }

    /// The member that `pdev` is, see [`has_device_parts`](Self::has_device_parts) and
    /// [`has_legacy_io`](Self::has_legacy_io).
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new(pdev: &pci::Device<Core<'_>>, observer: Arc<Observer>) -> Result<Arc<Self>> {
        let raw = as_raw(pdev);
        let capacity = capacity(pdev);
        let member = Arc::pin_init(
            pin_init!(Self {
                pdev: pdev.into(),
                // SAFETY: The device is valid.
                physfn: unsafe { abi::vvp_pci_physfn(raw) }.addr(),
                capacity,
                // INVARIANT: In the `Core` context of its probe the device is bound, and
                // `Unbinding` takes this away before it no longer is.
                bound <- new_mutex!(Some(Bound(raw)), "virtio_admin_command"),
                observer,
            }),
            GFP_KERNEL,
        )?;
        devres::register(pdev.as_ref(), Unbinding(member.clone()), GFP_KERNEL)?;
        Ok(member)
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
    /// What the device or the PF's driver answers, see [`admin_status::errno`];
    /// ENODEV if the device is no longer bound.
    pub(super) fn try_execute(
        &self,
        opcode: u16,
        mut command: impl FnMut(*mut bindings::pci_dev) -> c_int,
    ) -> Result {
        let bound = self.bound.lock();
        // By its invariant what `command` is given is bound.
        let pdev = bound.as_ref().ok_or(ENODEV)?.0;
        let mut attempt = 0;
        loop {
            let start = Instant::<Monotonic>::now();
            let errno = admin_status::errno(command(pdev));
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
        // SAFETY: `execute` gives a device that is bound.
        self.execute(admin_command::DEV_MODE_SET, |pdev| unsafe {
            abi::virtio_pci_admin_mode_set(pdev, flags)
        })
    }

    /// What one command carries.
    pub(crate) fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// What tells its PF from others.
    pub(super) fn physfn(&self) -> usize {
        self.physfn
    }
}

/// What one command of the PF's admin virtqueue carries. The queue keeps its size for as long
/// as the PF has its driver.
fn capacity(pdev: &pci::Device<Core<'_>>) -> Capacity {
    // SAFETY: The device is valid. A virtual function that is being probed, or is bound, has a
    // PF that is bound: the PF's driver disables SR-IOV before it goes, which waits for the
    // device lock that the `Core` context has.
    match unsafe { abi::vvp_admin_queue_size(as_raw(pdev)) } {
        0 => Capacity::MOST,
        descriptors => Capacity::of_queue(usize::try_from(descriptors).unwrap_or(usize::MAX)),
    }
}

/// `struct pci_dev` of `pdev`.
fn as_raw(pdev: &pci::Device) -> *mut bindings::pci_dev {
    // `pci::Device` is a transparent wrapper of an opaque `struct pci_dev`.
    ptr::from_ref(pdev).cast_mut().cast()
}
