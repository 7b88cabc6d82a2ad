// SPDX-License-Identifier: GPL-2.0
//! The seam between the PCI side of the bench (vfio-user sockets, configuration
//! space, SR-IOV, IOMMU) and the device models behind their BARs.
//!
//! The PCI side owns a [`Port`] per function and hands it to the model; the
//! model implements [`Function`] and is called from the function's socket
//! thread. A model may be called from several threads at once (its own socket,
//! the PF's admin queue, the switch) and does its own locking.

use std::sync::Arc;

use crate::iommu::DmaMemory;

/// Why a function is reset. What survives differs; see PCIe 6.0 section 6.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Function level reset through the PCI Express capability.
    Flr,
    /// Reset of the bus or of the whole machine (vfio-user DEVICE_RESET).
    Bus,
    /// The PF cleared VF Enable, so that the VF ceased to exist.
    VfDisable,
}

/// PCI identity of a function, as configuration space shows it.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    pub vendor: u16,
    pub device: u16,
    pub subsystem_vendor: u16,
    pub subsystem: u16,
    /// Class code, subclass and programming interface: 0x020000 is Ethernet.
    pub class: u32,
    pub revision: u8,
}

/// What a device model offers to the PCI side.
pub trait Function: Send + Sync {
    fn identity(&self) -> Identity;

    /// Vendor-specific capabilities (virtio_pci_cap and the like), each from its
    /// third byte (cap_len) on: the PCI side lays out and chains them.
    fn vendor_capabilities(&self) -> Vec<Vec<u8>>;

    /// Number of MSI-X vectors.
    fn msix_vectors(&self) -> u16;

    /// Number of the function's one BAR, a 64-bit memory BAR: 0, 2 or 4.
    fn bar(&self) -> u8 {
        0
    }

    /// Size of the BAR in bytes without the MSI-X table: a power of two. The PCI
    /// side puts the MSI-X table and PBA behind it.
    fn bar_size(&self) -> u64;

    /// A read of the BAR, of any size and alignment inside `bar_size`.
    fn read_bar(&self, offset: u64, data: &mut [u8]);

    /// A write to the BAR, of any size and alignment inside `bar_size`.
    fn write_bar(&self, offset: u64, data: &[u8]);

    /// Returns the model to its power-on state.
    fn reset(&self, cause: Reset);
}

/// What a function may do to the outside: DMA through the IOMMU under its own
/// requester id, and MSI-X.
pub trait Port: Send + Sync {
    /// Runs `access` on this function's view of memory. Addresses are IOVAs;
    /// each access is translated, may set A/D bits, and raises IO_PAGE_FAULT
    /// where it is refused. A DMA_UNMAP waits for `access` to return, so it must
    /// not block and must not call `with_dma` again, on any port.
    ///
    /// While COMMAND.BusMaster is clear the memory refuses every access.
    fn with_dma(&self, access: &mut dyn FnMut(&DmaMemory));

    /// Raises MSI-X vector `vector`. Does nothing if nobody listens on it.
    fn interrupt(&self, vector: u16);
}

/// Shared handle to a function's port.
pub type PortRef = Arc<dyn Port>;
