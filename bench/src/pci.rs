// SPDX-License-Identifier: GPL-2.0
//! The PCI side of the bench: configuration spaces, SR-IOV, interrupts, and
//! the two kinds of function behind them.
//!
//! - [`config_space`]: bytes, write masks, capability chains;
//! - [`endpoint`]: a PF or VF with a device model behind its BAR;
//! - [`iommu_function`]: the IOMMU's own function;
//! - `capabilities`, `sriov`: what the endpoints have in configuration space;
//! - [`interrupts`]: eventfds of MSI and MSI-X vectors;
//! - [`port`]: a model's way out.

pub mod config_space;
pub mod endpoint;
pub mod interrupts;
pub mod iommu_function;
pub mod port;
pub mod sriov;

mod capabilities;

/// Indices of vfio-user regions and interrupts, as VFIO numbers them.
pub mod index {
    /// Region: BAR 0; the other BARs follow.
    pub const BAR0: u32 = 0;
    /// Region: configuration space.
    pub const CONFIG: u32 = 7;
    /// Number of regions.
    pub const REGIONS: u32 = 9;
    /// Interrupt: MSI.
    pub const MSI: u32 = 1;
    /// Interrupt: MSI-X.
    pub const MSIX: u32 = 2;
}

/// A PCI function as the vfio-user side drives it.
pub trait PciFunction: Send + Sync {
    /// Number of the function's one BAR.
    fn bar(&self) -> u8 {
        0
    }

    /// Size of the BAR, a power of two.
    fn bar_size(&self) -> u64;

    /// Interrupt vectors, by VFIO interrupt index: INTx, MSI, MSI-X, ERR, REQ.
    fn interrupt_counts(&self) -> [u32; 5];

    /// The listeners of its MSI or MSI-X vectors.
    fn interrupts(&self) -> &interrupts::Interrupts;

    /// A read of configuration space, of any size and alignment.
    fn read_config(&self, offset: u64, data: &mut [u8]);

    /// A write to configuration space, of any size and alignment.
    fn write_config(&self, offset: u64, data: &[u8]);

    /// A read of the BAR, of any size and alignment.
    fn read_bar(&self, offset: u64, data: &mut [u8]);

    /// A write to the BAR, of any size and alignment.
    fn write_bar(&self, offset: u64, data: &[u8]);

    /// Reset of the machine, or of the bus above.
    fn bus_reset(&self);

    /// QEMU went away: as if the slot had been unplugged.
    fn disconnected(&self);
}
