// SPDX-License-Identifier: GPL-2.0

//! What a driver implements: who it is, and what its devices are capable of.

use super::{
    dma_log::DmaLog,
    id::Ids,
    migration::Migration,
    regions::Regions, //
};
use kernel::{
    device::Core,
    pci,
    prelude::*, //
};

/// A vfio-pci variant driver.
pub(crate) trait Driver: Sized + 'static {
    /// Migration of this driver's devices; [`NoMigration`](super::NoMigration) if none
    /// has it.
    type Migration: Migration;
    /// DMA logging of this driver's devices; [`NoDmaLog`](super::NoDmaLog) if none has it.
    type DmaLog: DmaLog;
    /// What this driver's devices show beyond what they have;
    /// [`NoRegions`](super::NoRegions) if that is nothing.
    type Regions: Regions;

    /// Name of the driver's device operations, as VFIO shows it.
    const NAME: &'static CStr;
    /// The devices that it is for.
    const IDS: Ids;

    /// A device matched. Gives what it is capable of.
    ///
    /// # Errors
    ///
    /// The device is not bound.
    fn probe(pdev: &pci::Device<Core<'_>>) -> Result<Capabilities<Self>>;
}

/// What one device is capable of, beyond plain passthrough.
pub(crate) struct Capabilities<D: Driver> {
    /// It can be migrated.
    pub(crate) migration: Option<D::Migration>,
    /// It shows regions and a header of the driver's.
    pub(crate) regions: Option<Pin<KBox<D::Regions>>>,
    /// Which memory it writes is known. For devices that can be migrated only.
    pub(crate) dma_log: Option<Pin<KBox<D::DmaLog>>>,
}

impl<D: Driver> Capabilities<D> {
    /// Plain passthrough.
    pub(crate) const NONE: Self = Self {
        migration: None,
        regions: None,
        dma_log: None,
    };
}
