// SPDX-License-Identifier: GPL-2.0
//! Where a virtio PCI function keeps its registers: its vendor capabilities.
//! Numbers are from the virtio specification, section "Virtio Over PCI Bus".

use anyhow::{Context, Result, ensure};

use crate::pci::Function;
use crate::vfio::Device;

/// Offsets inside the common configuration window.
pub mod common {
    pub const DEVICE_FEATURE_SELECT: usize = 0x00;
    pub const DEVICE_FEATURE: usize = 0x04;
    pub const DRIVER_FEATURE_SELECT: usize = 0x08;
    pub const DRIVER_FEATURE: usize = 0x0c;
    pub const CONFIG_MSIX_VECTOR: usize = 0x10;
    pub const NUM_QUEUES: usize = 0x12;
    pub const DEVICE_STATUS: usize = 0x14;
    pub const QUEUE_SELECT: usize = 0x16;
    pub const QUEUE_SIZE: usize = 0x18;
    pub const QUEUE_MSIX_VECTOR: usize = 0x1a;
    pub const QUEUE_ENABLE: usize = 0x1c;
    pub const QUEUE_NOTIFY_OFF: usize = 0x1e;
    pub const QUEUE_DESC: usize = 0x20;
    pub const QUEUE_DRIVER: usize = 0x28;
    pub const QUEUE_DEVICE: usize = 0x30;
}

const COMMON_CFG: u8 = 1;
const NOTIFY_CFG: u8 = 2;
const ISR_CFG: u8 = 3;
const DEVICE_CFG: u8 = 4;
/// The specification's type for vendor data.
const VENDOR_CFG: u8 = 9;
/// The vendor id under which the bench announces its page writer.
const BENCH_VENDOR: u16 = 0x1234;

const VENDOR_CAPABILITY: u8 = 0x09;

/// A range of a BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub bar: u8,
    pub offset: usize,
    pub length: usize,
}

/// The windows of one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub common: Window,
    pub notify: Window,
    pub notify_multiplier: usize,
    pub isr: Window,
    pub device: Option<Window>,
    /// The bench's page writer.
    pub vendor: Option<Window>,
}

impl Layout {
    /// Reads the capabilities of an open device.
    pub fn of(device: &Device) -> Result<Self> {
        let mut config = [0; 256];
        device.config(0, &mut config)?;
        Self::parse(&config)
    }

    /// Reads those of a function that nobody need have open.
    pub fn of_function(function: &Function) -> Result<Self> {
        let mut config = [0; 256];
        function.read_config(0, &mut config)?;
        Self::parse(&config)
    }

    fn parse(config: &[u8; 256]) -> Result<Self> {
        let (mut common, mut notify, mut isr, mut device, mut vendor) =
            (None, None, None, None, None);
        let mut multiplier = 0;
        let mut at = usize::from(config[0x34]) & !3;
        // A chain longer than the space it lives in is a loop.
        for _ in 0..64 {
            if at < 0x40 {
                break;
            }
            let capability = &config[at..];
            ensure!(capability.len() >= 4, "capability at {at:#x} ends early");
            if capability[0] == VENDOR_CAPABILITY && capability.len() >= 16 {
                let window = Window {
                    bar: capability[4],
                    offset: word(capability, 8),
                    length: word(capability, 12),
                };
                match capability[3] {
                    COMMON_CFG => common = common.or(Some(window)),
                    NOTIFY_CFG if capability.len() >= 20 && notify.is_none() => {
                        notify = Some(window);
                        multiplier = word(capability, 16);
                    }
                    ISR_CFG => isr = isr.or(Some(window)),
                    DEVICE_CFG => device = device.or(Some(window)),
                    // Vendor data begin with an id; the bench lets its BAR follow.
                    VENDOR_CFG if capability[4..6] == BENCH_VENDOR.to_le_bytes() => {
                        vendor = vendor.or(Some(Window {
                            bar: capability[6],
                            ..window
                        }));
                    }
                    _ => {}
                }
            }
            at = usize::from(capability[1]) & !3;
        }
        Ok(Self {
            common: common.context("no common configuration")?,
            notify: notify.context("no notification area")?,
            notify_multiplier: multiplier,
            isr: isr.context("no ISR status")?,
            device,
            vendor,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(config: &mut [u8; 256], at: usize, next: u8, kind: u8, offset: u32) {
        config[at..at + 5].copy_from_slice(&[VENDOR_CAPABILITY, next, 20, kind, 0]);
        config[at + 8..at + 12].copy_from_slice(&offset.to_le_bytes());
        config[at + 12..at + 16].copy_from_slice(&0x100_u32.to_le_bytes());
        config[at + 16..at + 20].copy_from_slice(&4_u32.to_le_bytes());
    }

    #[test]
    fn finds_the_windows() {
        let mut config = [0; 256];
        config[0x34] = 0x40;
        capability(&mut config, 0x40, 0x60, COMMON_CFG, 0);
        capability(&mut config, 0x60, 0x80, NOTIFY_CFG, 0x1000);
        capability(&mut config, 0x80, 0, ISR_CFG, 0x2000);
        let layout = Layout::parse(&config).unwrap();
        assert_eq!(
            (layout.notify.offset, layout.notify_multiplier),
            (0x1000, 4)
        );
        assert_eq!(layout.device, None);
    }

    #[test]
    fn only_the_bench_has_a_page_writer() {
        let mut config = [0; 256];
        config[0x34] = 0x40;
        capability(&mut config, 0x40, 0x60, COMMON_CFG, 0);
        capability(&mut config, 0x60, 0x80, NOTIFY_CFG, 0x1000);
        capability(&mut config, 0x80, 0xa0, ISR_CFG, 0x2000);
        capability(&mut config, 0xa0, 0, VENDOR_CFG, 0x3000);
        config[0xa4..0xa8].copy_from_slice(&[0xf4, 0x1a, 7, 7]);
        assert_eq!(Layout::parse(&config).unwrap().vendor, None);
        config[0xa4..0xa8].copy_from_slice(&[0x34, 0x12, 2, 1]);
        let vendor = Layout::parse(&config).unwrap().vendor.unwrap();
        assert_eq!((vendor.bar, vendor.offset), (2, 0x3000));
    }

    #[test]
    fn a_loop_ends() {
        let mut config = [0; 256];
        config[0x34] = 0x40;
        capability(&mut config, 0x40, 0x40, COMMON_CFG, 0);
        assert!(Layout::parse(&config).is_err());
    }
}
