// SPDX-License-Identifier: GPL-2.0
//! What the guest does with its device while it is migrated, seen from the host:
//! made possible, waited for, and judged afterwards.

use anyhow::Result;
use harness::pci::Function;

use super::disk::Disk;
use super::guest::Guest;
use super::network::Network;
use super::prepare::DeviceType;
use super::report::Report;

/// A load.
pub enum Load {
    /// Traffic between the guest and its peer on the physical function.
    Network(Network),
    /// A file system on the disk that all functions share.
    Disk(Disk),
}

impl Load {
    /// Makes ready what the guest needs on the physical function.
    pub fn prepare(device: DeviceType, pf: &Function) -> Result<Self> {
        match device {
            DeviceType::Net => Network::prepare(pf).map(Load::Network),
            DeviceType::Blk => Disk::prepare(pf).map(Load::Disk),
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
    pub fn mark(&self, report: &mut Report, guest: &mut Guest) -> Result<()> {
        match self {
            Load::Network(network) => network.mark(report, guest),
            Load::Disk(disk) => disk.mark(report, guest),
        }
    }

    /// Waits until the guest has gone on for a while after the migration.
    pub fn wait_until_continued(&self, report: &mut Report, guest: &mut Guest) -> Result<()> {
        match self {
            Load::Network(network) => network.wait_until_continued(report, guest),
            Load::Disk(disk) => disk.wait_until_continued(report, guest),
        }
    }

    /// Ends the load, and looks at what came of it.
    pub fn finish(&self, report: &mut Report, guest: &mut Guest) -> Result<()> {
        match self {
            Load::Network(network) => network.finish(report, guest),
            Load::Disk(disk) => disk.finish(report, guest),
        }
    }
}
