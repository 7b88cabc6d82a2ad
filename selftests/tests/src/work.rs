// SPDX-License-Identifier: GPL-2.0
//! A driver at work on a function of any type: for tests that want a device in use, and
//! do not care what for.

use anyhow::Result;
use vvp_harness::net::Mac;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Device, Interrupts};
use vvp_harness::{expect_eq, note};

use crate::config::{Config, DeviceType};
use crate::disk_rig::Disk;
use crate::rig::Talk;

/// An address that a network driver has not taken before.
const ANOTHER_MAC: Mac = [2, 0, 0, 0, 0, 9];

/// What a stopped device is given to do: frames each way, or requests.
const ORDERS: u16 = 3;

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

    /// The device's interrupts.
    pub fn interrupts(&self) -> &Interrupts {
        match self {
            Self::Net(talk) => &talk.interrupts,
            Self::Blk(disk) => &disk.interrupts,
        }
    }

    /// Has the device do something that its state is another one after.
    pub fn change(&mut self) -> Result<()> {
        match self {
            Self::Net(talk) => talk.net.set_mac(ANOTHER_MAC).map(drop),
            Self::Blk(disk) => disk.write(1),
        }
    }

    /// Waits until the device has nothing more to do.
    pub fn rest(&mut self) -> Result<()> {
        match self {
            Self::Net(talk) => talk.net.drain(),
            Self::Blk(disk) => disk.settle(),
        }
    }

    /// Gives a device something to do that has been stopped.
    pub fn order(&mut self) -> Result<()> {
        match self {
            Self::Net(talk) => {
                for _ in 0..ORDERS {
                    talk.send_to_net()?;
                    talk.send_to_peer()?;
                }
            }
            Self::Blk(disk) => {
                disk.enqueue(ORDERS.into())?;
                disk.blk.announce();
            }
        }
        Ok(())
    }

    /// The device has done nothing of that.
    pub fn expect_idle(&mut self) -> Result<()> {
        match self {
            Self::Net(talk) => talk.expect_silence()?,
            Self::Blk(disk) => expect_eq!(disk.blk.outstanding()?, ORDERS, "requests left"),
        }
        Ok(())
    }

    /// The device, which runs again, does it, once.
    pub fn expect_done(&mut self) -> Result<()> {
        match self {
            Self::Net(talk) => {
                talk.expect_at_peer()?;
                // A wire may lose what came while nobody listened.
                talk.send_to_net()?;
                let lost = talk.expect_latest_at_net()?;
                note!("{lost} of {ORDERS} frames that came to the stopped device are lost");
                talk.exchange(10)?;
                talk.expect_silence()
            }
            Self::Blk(disk) => {
                disk.settle()?;
                disk.expect_interrupts()?;
                disk.verify()?;
                disk.write(10)?;
                disk.verify()
            }
        }
    }
}
