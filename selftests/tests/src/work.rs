// SPDX-License-Identifier: GPL-2.0
//! A driver at work on a function of any type: for tests that want a device in use, and
//! do not care what for.

use anyhow::Result;
use vvp_harness::pci::Function;
use vvp_harness::vfio::Device;

use crate::config::{Config, DeviceType};
use crate::disk_rig::Disk;
use crate::rig::Talk;

/// The driver. It goes when this is dropped.
pub enum Work {
    Net(Box<Talk>),
    Blk(Box<Disk>),
}

impl Work {
    /// Starts a driver on `device`, which is `function`.
    pub fn start(config: &Config, function: &Function, device: &Device) -> Result<Self> {
        Ok(match config.device {
            DeviceType::Net => Self::Net(Box::new(Talk::start(config, function, device)?)),
            DeviceType::Blk => Self::Blk(Box::new(Disk::start(config, function, device)?)),
        })
    }

    /// Has the device do something `count` times; all of it must have been done well.
    pub fn exchange(&mut self, count: u64) -> Result<()> {
        match self {
            Self::Net(talk) => talk.exchange(count),
            Self::Blk(disk) => {
                disk.write(usize::try_from(count)?)?;
                disk.verify()
            }
        }
    }
}
