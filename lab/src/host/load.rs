// SPDX-License-Identifier: GPL-2.0
//! What the guest does with its device while it is migrated, seen from the host:
//! made possible, waited for, and judged afterwards.

use anyhow::{Result, bail};
use vvp_harness::pci::Function;

use super::disk::Disk;
use super::guest::Guest;
use super::network::Network;
use super::prepare::DeviceType;
use super::report::Work;

/// A load.
pub enum Load {
    /// Traffic between the guest and its peer on the physical function.
    Network(Network),
    /// A file system on the disk that all functions share.
    Disk(Disk),
}

impl Load {
    /// Makes ready what function `index` of the guest needs on the physical function.
    pub fn prepare(device: DeviceType, pf: &Function, index: usize) -> Result<Self> {
        match device {
            DeviceType::Net => Network::prepare(pf, index).map(Load::Network),
            DeviceType::Blk => Disk::prepare(pf).map(Load::Disk),
        }
    }

    /// Gets ready for a guest that begins anew, the one there was being gone.
    pub fn renew(&mut self) -> Result<()> {
        match self {
            Load::Network(network) => network.renew(),
            Load::Disk(_) => bail!("a guest that begins anew is for network functions"),
        }
    }

    /// Waits until the guest has booted and works on its device.
    pub fn wait_until_running(&self, guest: &mut Guest) -> Result<()> {
        match self {
            Load::Network(network) => network.wait_until_running(guest),
            Load::Disk(disk) => disk.wait_until_running(guest),
        }
    }

    /// Notes how things are right before the migration.
    pub fn mark(&self, work: &mut Work, guest: &mut Guest) -> Result<()> {
        match self {
            Load::Network(network) => network.mark(work, guest),
            Load::Disk(disk) => disk.mark(work, guest),
        }
    }

    /// Waits until the guest has gone on for a while after the migration.
    pub fn wait_until_continued(&self, work: &mut Work, guest: &mut Guest) -> Result<()> {
        match self {
            Load::Network(network) => network.wait_until_continued(work, guest),
            Load::Disk(disk) => disk.wait_until_continued(work, guest),
        }
    }

    /// Ends the load, and looks at what came of it.
    pub fn finish(&self, work: &mut Work, guest: &mut Guest) -> Result<()> {
        match self {
            Load::Network(network) => network.finish(work, guest),
            Load::Disk(disk) => disk.finish(work, guest),
        }
    }
}
