// SPDX-License-Identifier: GPL-2.0

//! Admin commands for one virtual function, and the resource objects that the
//! device parts commands work on.

use super::Buffer;
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

/// The only resource object type that the device parts commands know.
const DEV_PARTS: u16 = abi::VIRTIO_RESOURCE_OBJ_DEV_PARTS as u16;

/// PCI vendor id of virtio devices.
pub(crate) const PCI_VENDOR_ID_VIRTIO: u32 = 0x1af4;

/// PCI device id of virtio device type 0.
const MODERN_ID_BASE: u16 = 0x1040;

/// Last PCI device id of a virtio device.
const LAST_ID: u16 = 0x107f;

/// Largest context in bytes that is taken for real. Every device seen has
/// kilobytes; a larger answer would have us allocate without bound, and fill
/// the admin virtqueue with more descriptors than it may have.
const MAX_CONTEXT: u32 = 16 << 20;

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
    fn execute(&self, opcode: u16, command: impl FnMut(*mut bindings::pci_dev) -> c_int) -> Result {
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
            fsleep(Delta::from_millis(admin_status::retry_delay_ms(attempt)));
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

    fn create(self: &Arc<Self>, operation: u32) -> Result<Object> {
        let operation = u8::try_from(operation)?;
        let mut id = 0;
        // SAFETY: By the type invariant; `id` is valid for a write.
        self.execute(admin_command::RESOURCE_OBJ_CREATE, |pdev| unsafe {
            abi::virtio_pci_admin_obj_create(pdev, DEV_PARTS, operation, &mut id)
        })?;
        // INVARIANT: The device has just created it.
        Ok(Object {
            member: self.clone(),
            id,
        })
    }

    /// Creates an object to get parts with.
    pub(crate) fn get_parts(self: &Arc<Self>) -> Result<GetParts> {
        self.create(abi::VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_GET)
            .map(GetParts)
    }

    /// Creates an object to set parts with.
    pub(crate) fn set_parts(self: &Arc<Self>) -> Result<SetParts> {
        self.create(abi::VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_SET)
            .map(SetParts)
    }
}

/// `struct pci_dev` of `pdev`.
fn as_raw(pdev: &pci::Device) -> *mut bindings::pci_dev {
    // `pci::Device` is a transparent wrapper of an opaque `struct pci_dev`.
    ptr::from_ref(pdev).cast_mut().cast()
}

/// A device parts resource object; dropping it destroys it.
///
/// # Invariants
///
/// The device has an object with this id, which nobody else refers to. (A reset
/// of the PF destroys it behind our back; commands with its id then fail.)
struct Object {
    member: Arc<Member>,
    id: u32,
}

impl Drop for Object {
    fn drop(&mut self) {
        let id = self.id;
        let destroyed = self
            .member
            .try_execute(admin_command::RESOURCE_OBJ_DESTROY, |pdev| {
                // SAFETY: By the invariant of `Member`.
                unsafe { abi::virtio_pci_admin_obj_destroy(pdev, DEV_PARTS, id) }
            });
        if let Err(error) = destroyed {
            self.member.observer.refuse(Cause::ObjectLost { id }, error);
        }
    }
}

/// Access to the parts of a device, for reading.
pub(crate) struct GetParts(Object);

impl GetParts {
    /// Who is to be told what happens to the device.
    pub(crate) fn observer(&self) -> &Observer {
        self.0.member.observer()
    }

    /// Virtio device type, see [`Member::device_type`].
    pub(crate) fn device_type(&self) -> u16 {
        self.0.member.device_type()
    }

    /// The most bytes that [`get`](Self::get) may give, which is never zero.
    ///
    /// # Errors
    ///
    /// EINVAL if the device says zero, EFBIG if it says more than anyone can believe.
    pub(crate) fn max_size(&self) -> Result<u32> {
        let mut size = 0;
        let opcode = admin_command::DEV_PARTS_METADATA_GET;
        // SAFETY: By the invariants of `Member` and `Object`; `size` is valid for a write.
        self.0.member.execute(opcode, |pdev| unsafe {
            abi::virtio_pci_admin_dev_parts_metadata_get(
                pdev,
                DEV_PARTS,
                self.0.id,
                abi::VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_SIZE as u8,
                &mut size,
            )
        })?;
        let refuse = |error| {
            let cause = Cause::ContextSize { size };
            Err(self.observer().refuse(cause, error))
        };
        match size {
            0 => refuse(EINVAL),
            1..=MAX_CONTEXT => Ok(size),
            _ => refuse(EFBIG),
        }
    }

    /// All parts of the device, which are at most `max_size` bytes.
    ///
    /// # Errors
    ///
    /// EINVAL if the device says it wrote nothing, or more than there was room for.
    pub(crate) fn get(&self, max_size: u32) -> Result<Buffer> {
        let mut parts = Buffer::zeroed(max_size.try_into()?)?;
        let written = parts.with_writable(|sg| {
            let mut written = 0;
            let opcode = admin_command::DEV_PARTS_GET;
            // SAFETY: By the invariants of `Member` and `Object`. The list covers memory that
            // `parts` owns and nobody else refers to while this call has it borrowed.
            self.0.member.execute(opcode, |pdev| unsafe {
                abi::virtio_pci_admin_dev_parts_get(
                    pdev,
                    DEV_PARTS,
                    self.0.id,
                    abi::VIRTIO_ADMIN_CMD_DEV_PARTS_GET_TYPE_ALL as u8,
                    sg,
                    &mut written,
                )
            })?;
            Ok(written)
        })?;
        let length = usize::try_from(written)?;
        if length == 0 || length > parts.len() {
            let room = parts.len();
            let cause = Cause::Written { written, room };
            return Err(self.observer().refuse(cause, EINVAL));
        }
        parts.truncate(length);
        Ok(parts)
    }
}

/// Access to the parts of a stopped device, for writing.
pub(crate) struct SetParts(Object);

impl SetParts {
    /// Sets the device's parts. What is not in `parts` stays as it is; if the
    /// device refuses, everything does.
    pub(crate) fn set(&self, parts: &Buffer) -> Result {
        // struct virtio_admin_cmd_resource_obj_cmd_hdr: type, reserved, id.
        let mut header = [0; 8];
        header[..2].copy_from_slice(&DEV_PARTS.to_le_bytes());
        header[4..].copy_from_slice(&self.0.id.to_le_bytes());
        parts.with_readable(header, |sg| {
            self.0.member.execute(admin_command::DEV_PARTS_SET, |pdev| {
                // SAFETY: By the invariants of `Member` and `Object`. The list covers memory that
                // is borrowed for this call; the device only reads it.
                unsafe { abi::virtio_pci_admin_dev_parts_set(pdev, sg) }
            })
        })
    }
}
