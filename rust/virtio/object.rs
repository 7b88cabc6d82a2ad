// SPDX-License-Identifier: GPL-2.0

//! The resource objects that the device parts commands work on.

use super::{
    Buffer,
    ContextMemory,
    Member, //
};
use crate::{
    abi,
    logic::{
        admin_command,
        cause::Cause, //
    },
    observe::Observer, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    }, //
};

/// The only resource object type that the device parts commands know.
const DEV_PARTS: u16 = abi::VIRTIO_RESOURCE_OBJ_DEV_PARTS as u16;

/// Bytes of room for device parts beyond what the device says they have at most. A result
/// that does not fit is cut short, or refused, as the device pleases; one that leaves room
/// was not.
const SPARE_ROOM: usize = 4096;

/// How often a device in operation is asked again whose context grew between the
/// question how large it is and its reading.
const GROWTH_RETRIES: u32 = 3;

/// What an object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reading parts.
    Get,
    /// Writing parts.
    Set,
}

/// A device parts resource object; dropping it destroys it, or loses it if the
/// device refuses.
///
/// # Invariants
///
/// Unless `destroyed`, the device has an object with this id and purpose, which
/// nobody else refers to. (A reset of the PF destroys it behind our back; commands
/// with its id then fail.)
pub(super) struct Object {
    member: Arc<Member>,
    purpose: Purpose,
    id: u32,
    destroyed: bool,
}

impl Object {
    /// Creates an object.
    ///
    /// # Errors
    ///
    /// ENOSPC if the PF's functions have as many as there can be, or what the
    /// device or the PF's driver answers.
    pub(super) fn create(member: &Arc<Member>, purpose: Purpose) -> Result<Self> {
        let operation = match purpose {
            Purpose::Get => abi::VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_GET,
            Purpose::Set => abi::VIRTIO_RESOURCE_OBJ_DEV_PARTS_TYPE_SET,
        };
        let operation = u8::try_from(operation)?;
        let mut id = 0;
        member.try_execute(admin_command::RESOURCE_OBJ_CREATE, |pdev| {
            // SAFETY: `try_execute` gives a device that is bound; `id` is valid for a write.
            unsafe { abi::virtio_pci_admin_obj_create(pdev, DEV_PARTS, operation, &mut id) }
        })?;
        // INVARIANT: The device has just created it.
        Ok(Self {
            member: member.clone(),
            purpose,
            id,
            destroyed: false,
        })
    }

    /// What it is for.
    pub(super) fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Destroys it. Gives it back if the device refuses: it is still there, and
    /// still of use.
    pub(super) fn destroy(mut self) -> Result<(), Self> {
        match self.try_destroy() {
            Ok(()) => Ok(()),
            Err(_) => Err(self),
        }
    }

    fn try_destroy(&mut self) -> Result {
        let opcode = admin_command::RESOURCE_OBJ_DESTROY;
        self.member.try_execute(opcode, |pdev| {
            // SAFETY: `try_execute` gives a device that is bound.
            unsafe { abi::virtio_pci_admin_obj_destroy(pdev, DEV_PARTS, self.id) }
        })?;
        // INVARIANT: It is gone.
        self.destroyed = true;
        Ok(())
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if self.destroyed {
            return;
        }
        if let Err(error) = self.try_destroy() {
            let id = self.id;
            self.member
                .observer()
                .refuse(Cause::ObjectLost { id }, error);
        }
    }
}

/// Access to the parts of a device, for reading.
pub(crate) struct GetParts<'a>(pub(super) &'a Object);

impl GetParts<'_> {
    /// Who is to be told what happens to the device.
    pub(crate) fn observer(&self) -> &Observer {
        self.0.member.observer()
    }

    /// Virtio device type, see [`Member::device_type`].
    pub(crate) fn device_type(&self) -> u16 {
        self.0.member.device_type()
    }

    /// The most bytes that the parts of the device have, as it is now; never zero.
    ///
    /// # Errors
    ///
    /// EINVAL if the device says zero, EFBIG if it says more than one command can
    /// read.
    pub(crate) fn max_size(&self) -> Result<usize> {
        let mut size = 0;
        let opcode = admin_command::DEV_PARTS_METADATA_GET;
        // SAFETY: `execute` gives a device that is bound, and by its invariant the object exists;
        // `size` is valid for a write.
        self.0.member.execute(opcode, |pdev| unsafe {
            abi::virtio_pci_admin_dev_parts_metadata_get(
                pdev,
                DEV_PARTS,
                self.0.id,
                abi::VIRTIO_ADMIN_CMD_DEV_PARTS_METADATA_TYPE_SIZE as u8,
                &mut size,
            )
        })?;
        let limit = self.0.member.capacity().bytes();
        let refuse = |error| {
            let cause = Cause::ContextSize { size, limit };
            Err(self.observer().refuse(cause, error))
        };
        match usize::try_from(size)? {
            0 => refuse(EINVAL),
            len if len > limit => refuse(EFBIG),
            len => Ok(len),
        }
    }

    /// All parts of the device, of which it has said that they have `known` bytes at
    /// most; `None` to ask it first. If that is no longer true it is asked again.
    /// `spare` is [memory](Member::spare_memory) for them, if there is any.
    ///
    /// # Errors
    ///
    /// ENOMEM, as [`max_size`](Self::max_size), or EINVAL if the device says it
    /// wrote nothing, or more than there was room for.
    pub(crate) fn read(
        &self,
        known: Option<usize>,
        mut spare: Option<UniqueArc<ContextMemory>>,
    ) -> Result<PartsRead> {
        let mut size = match known {
            Some(size) => size,
            None => self.max_size()?,
        };
        let mut attempt = 0;
        let error = loop {
            let room = self.0.member.room_for(size);
            let error = match self.read_within(room, spare.take()) {
                Ok((memory, written)) if usize::try_from(written) != Ok(room) || room == size => {
                    return self.found(memory, written, size);
                }
                // No room left: what came may be all, or the beginning.
                Ok(_) => EINVAL,
                Err(error) => error,
            };
            if error != EINVAL || attempt == GROWTH_RETRIES {
                break error;
            }
            attempt += 1;
            let grown = self.max_size()?;
            if grown <= size {
                break error;
            }
            size = grown;
        };
        let opcode = admin_command::DEV_PARTS_GET;
        Err(self.observer().refuse(Cause::Command { opcode }, error))
    }

    /// The parts of the device, and how many bytes it says they have.
    fn read_within(
        &self,
        room: usize,
        spare: Option<UniqueArc<ContextMemory>>,
    ) -> Result<(UniqueArc<ContextMemory>, u32)> {
        let mut memory = match spare.filter(|spare| spare.len() == room) {
            Some(spare) => spare,
            None => UniqueArc::new(ContextMemory::new(room, self.0.member.capacity(), false)?, GFP_KERNEL_ACCOUNT)?,
        };
        let written = memory.with_writable(|sg| {
            let mut written = 0;
            let opcode = admin_command::DEV_PARTS_GET;
            // SAFETY: `try_execute` gives a device that is bound, and by its invariant the object
            // exists. The list covers memory that is owned, and that nobody else refers to while
            // this call has it borrowed; the function returns when the device does not write to
            // it any more.
            self.0.member.try_execute(opcode, |pdev| unsafe {
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
        Ok((memory, written))
    }

    fn found(
        &self,
        memory: UniqueArc<ContextMemory>,
        written: u32,
        max_size: usize,
    ) -> Result<PartsRead> {
        let len = usize::try_from(written)?;
        if len == 0 || len > memory.len() {
            let room = memory.len();
            let cause = Cause::Written { written, room };
            return Err(self.observer().refuse(cause, EINVAL));
        }
        Ok(PartsRead {
            memory,
            len,
            max_size,
        })
    }
}

impl Member {
    /// Bytes of memory with which parts are read that have `size` bytes at most.
    fn room_for(&self, size: usize) -> usize {
        let room = size.saturating_add(SPARE_ROOM);
        room.min(self.capacity().bytes())
    }

    /// Memory for parts that have `size` bytes at most, to have it at hand for
    /// [`GetParts::read`], which allocates some otherwise; `None` if it is not easy to have.
    pub(crate) fn spare_memory(&self, size: usize) -> Option<UniqueArc<ContextMemory>> {
        let memory = ContextMemory::new(self.room_for(size), self.capacity(), true).ok()?;
        UniqueArc::new(memory, GFP_KERNEL_ACCOUNT).ok()
    }

    /// Whether `memory` is as much as [`spare_memory`](Self::spare_memory) for `size` bytes.
    pub(crate) fn is_spare(&self, memory: &ContextMemory, size: usize) -> bool {
        memory.len() == self.room_for(size)
    }
}

/// Parts that were read.
pub(crate) struct PartsRead {
    /// Where they are.
    pub(crate) memory: UniqueArc<ContextMemory>,
    /// Number of bytes, not zero, at its beginning.
    pub(crate) len: usize,
    /// The most bytes that the device has said it has.
    pub(crate) max_size: usize,
}

/// Access to the parts of a stopped device, for writing.
pub(crate) struct SetParts<'a>(pub(super) &'a Object);

impl SetParts<'_> {
    /// Sets the device's parts. What is not in `parts` stays as it is; if the
    /// device refuses, everything does, and it is the caller who says so.
    ///
    /// # Errors
    ///
    /// ENOMEM, or what the device answers.
    pub(crate) fn set(&self, parts: &Buffer) -> Result {
        // struct virtio_admin_cmd_resource_obj_cmd_hdr: type, reserved, id.
        let mut header = [0; 8];
        header[..2].copy_from_slice(&DEV_PARTS.to_le_bytes());
        header[4..].copy_from_slice(&self.0.id.to_le_bytes());
        parts.with_readable(header, |sg| {
            let opcode = admin_command::DEV_PARTS_SET;
            self.0.member.try_execute(opcode, |pdev| {
                // SAFETY: `try_execute` gives a device that is bound, and by its invariant the
                // object exists. The list covers memory that is borrowed for this call; the device
                // only reads it.
                unsafe { abi::virtio_pci_admin_dev_parts_set(pdev, sg) }
            })
        })
    }
}
