// SPDX-License-Identifier: GPL-2.0

//! Virtio device parts and legacy registers of a virtual function, through admin
//! commands on the PF's admin virtqueue.
//!
//! The commands are those of virtio 1.4, section 2.13; the PF's driver
//! (`virtio_pci`) executes them. They block without a timeout until the device
//! answers. Nothing here knows of VFIO.
//!
//! C header: `include/linux/virtio_pci_admin.h`.

mod admin;
mod buffer;
mod context_memory;
#[cfg(CONFIG_VIRTIO_PCI_ADMIN_LEGACY)]
mod legacy;
mod object;
mod object_slot;
mod piece;
mod scatter_list;

pub(crate) use admin::{
    device_type,
    Member,
    PCI_VENDOR_ID_VIRTIO, //
};
pub(crate) use buffer::{
    Buffer,
    Lent, //
};
pub(crate) use context_memory::ContextMemory;
#[cfg(CONFIG_VIRTIO_PCI_ADMIN_LEGACY)]
pub(crate) use legacy::LegacyIo;
pub(crate) use object::{
    GetParts,
    PartsRead,
    SetParts, //
};
pub(crate) use object_slot::{
    init,
    SharedSlot,
    SlotUse, //
};
