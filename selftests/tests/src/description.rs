// SPDX-License-Identifier: GPL-2.0
//! Everything that VFIO tells about a device, to be compared.

use anyhow::{Context, Result};
use nix::errno::Errno;
use vvp_harness::expect_eq;
use vvp_harness::vfio::{CONFIG, Device, Info, IrqInfo, Region};

/// Everything a device tells about itself.
#[derive(Debug, PartialEq)]
pub struct Description {
    pub info: Info,
    pub regions: Vec<Result<Region, Errno>>,
    pub irqs: Vec<Result<IrqInfo, Errno>>,
    pub config: Vec<u8>,
}

/// Asks for it.
pub fn describe(device: &Device) -> Result<Description> {
    let info = device.info()?;
    let size = device.region(CONFIG).context("configuration region")?.size;
    let mut config = vec![0; usize::try_from(size).context("size")?];
    let length = device.read_region(CONFIG, 0, &mut config)?;
    expect_eq!(length as u64, size, "bytes of configuration space");
    Ok(Description {
        info,
        regions: (0..info.regions)
            .map(|index| device.region(index))
            .collect(),
        irqs: (0..info.irqs).map(|index| device.irq(index)).collect(),
        config,
    })
}

/// Fails where two devices tell different things.
pub fn expect_same(found: &Description, plain: &Description) -> Result<()> {
    expect_eq!(found.info, plain.info, "device info");
    for (index, (found, plain)) in found.regions.iter().zip(&plain.regions).enumerate() {
        expect_eq!(found, plain, "region {index}");
    }
    for (index, (found, plain)) in found.irqs.iter().zip(&plain.irqs).enumerate() {
        expect_eq!(found, plain, "interrupt index {index}");
    }
    for (at, (found, plain)) in found.config.iter().zip(&plain.config).enumerate() {
        expect_eq!(found, plain, "configuration space at {at:#x}");
    }
    Ok(())
}
