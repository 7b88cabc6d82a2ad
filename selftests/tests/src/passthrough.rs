// SPDX-License-Identifier: GPL-2.0
//! Fixture `passthrough`: a function behind a variant driver must look as it
//! does behind vfio-pci, and work.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use vfio_bindings::bindings::vfio;
use vvp_harness::ktap::Suite;
use vvp_harness::net::{RX_VECTOR, TX_VECTOR};
use vvp_harness::vfio::{Access, BAR0, MSIX, REQUEST};
use vvp_harness::virtio::{Layout, common};
use vvp_harness::{expect, expect_eq, note};

use crate::config::{Config, DeviceType, Driver};
use crate::description::{describe, expect_same};
use crate::rig::{self, Talk};

const INTERRUPT: Duration = Duration::from_secs(20);

type Body = fn(&Config, Driver, Access) -> Result<()>;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let mut tests: Vec<(&str, Body)> = vec![
        ("same_as_vfio_pci", same_as_vfio_pci),
        ("features_of_vfio_pci", features_of_vfio_pci),
        ("bar_mapping", bar_mapping),
        ("interrupt_loopback", interrupt_loopback),
        ("request_to_give_back", request_to_give_back),
    ];
    if config.device == DeviceType::Net {
        let frames: [(&str, Body); 2] = [
            ("interrupts_and_frames", interrupts_and_frames),
            ("reset", reset),
        ];
        tests.extend(frames);
    }
    for driver in [Driver::Rs, Driver::C] {
        for access in [Access::Cdev, Access::Group] {
            for &(name, test) in &tests {
                let config = Arc::clone(config);
                suite.add(
                    "passthrough",
                    format!("{driver}_{access}"),
                    name,
                    move || test(&config, driver, access),
                );
            }
        }
    }
}

fn same_as_vfio_pci(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let vf = config.vf()?;
    let plain = describe(&rig::open(config, &vf, Driver::Plain, access)?)?;
    let found = describe(&rig::open(config, &vf, driver, access)?)?;
    expect_same(&found, &plain)
}

/// Whatever vfio-pci offers by VFIO_DEVICE_FEATURE a variant driver must offer, too.
fn features_of_vfio_pci(config: &Config, driver: Driver, access: Access) -> Result<()> {
    /// More than there are; unknown ones must be refused alike.
    const FEATURES: u32 = 64;
    /// What vfio-pci has not, and is our purpose.
    const MIGRATION: [u32; 7] = [
        vfio::VFIO_DEVICE_FEATURE_MIGRATION,
        vfio::VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
        vfio::VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
        vfio::VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
        vfio::VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
        vfio::VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
        vfio::VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
    ];
    /// `VFIO_DEVICE_FEATURE_DMA_BUF`, which the C driver of 7.3 lacks.
    const DMA_BUF: u32 = 11;
    let vf = config.vf()?;
    let probe = |driver| -> Result<Vec<_>> {
        let device = rig::open(config, &vf, driver, access)?;
        let both = [vfio::VFIO_DEVICE_FEATURE_GET, vfio::VFIO_DEVICE_FEATURE_SET];
        let each = |feature| both.map(|direction| device.probe(direction | feature));
        Ok((0..FEATURES).map(each).collect())
    };
    let (plain, found) = (probe(Driver::Plain)?, probe(driver)?);
    for feature in (0..FEATURES).filter(|feature| !MIGRATION.contains(feature)) {
        let index = feature as usize;
        if driver == Driver::C && feature == DMA_BUF {
            note!(
                "report: in-tree driver, BARs as dma-bufs: {:?}",
                found[index]
            );
            continue;
        }
        expect_eq!(found[index], plain[index], "feature {feature}, [GET, SET]");
    }
    Ok(())
}

/// A mapped BAR shows what reading the region shows.
fn bar_mapping(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let device = rig::open(config, &config.vf()?, driver, access)?;
    device.enable_bus_master()?;
    let layout = Layout::of(&device)?;
    let bar = device.map_region(BAR0)?;
    let at = layout.common.offset + common::NUM_QUEUES;
    let mut bytes = [0; 2];
    expect_eq!(
        device.read_region(BAR0, at as u64, &mut bytes)?,
        2,
        "bytes read"
    );
    let queues: u16 = bar.read(at);
    expect_eq!(
        queues,
        u16::from_le_bytes(bytes),
        "number of queues, mapped and read"
    );
    expect!(queues > 0, "the device has no queue");

    // And what one writes the other reads.
    let at = layout.common.offset + common::DEVICE_FEATURE_SELECT;
    bar.write(at, 1_u32);
    let mut bytes = [0; 4];
    device.read_region(BAR0, at as u64, &mut bytes)?;
    expect_eq!(
        u32::from_le_bytes(bytes),
        1,
        "a register written through the mapping"
    );
    Ok(())
}

/// Vectors reach their eventfds, as far as the kernel can tell without the device.
fn interrupt_loopback(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let device = rig::open(config, &config.vf()?, driver, access)?;
    let interrupts = device.enable_interrupts(MSIX)?;
    expect!(
        interrupts.vectors() >= 2,
        "{} MSI-X vectors",
        interrupts.vectors()
    );
    for vector in 0..interrupts.vectors() {
        device
            .trigger_interrupt(MSIX, vector as u32)
            .with_context(|| format!("triggering vector {vector}"))?;
        for other in 0..interrupts.vectors() {
            let expected = u64::from(other == vector);
            expect_eq!(
                interrupts.take(other)?,
                expected,
                "signals of vector {other} for {vector}"
            );
        }
    }
    device
        .disable_interrupts(MSIX)
        .context("disabling interrupts")
}

/// The device itself raises its vectors, and frames go both ways.
fn interrupts_and_frames(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let vf = config.vf()?;
    let device = rig::open(config, &vf, driver, access)?;
    let mut talk = Talk::start(config, &vf, &device)?;
    talk.send_to_net()?;
    talk.interrupts.wait(usize::from(RX_VECTOR), INTERRUPT)?;
    talk.expect_at_net()?;
    talk.send_to_peer()?;
    talk.interrupts.wait(usize::from(TX_VECTOR), INTERRUPT)?;
    talk.expect_at_peer()?;
    talk.exchange(20)?;
    talk.expect_silence()
}

/// A reset stops the device, and a driver can start it again.
fn reset(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let vf = config.vf()?;
    let device = rig::open(config, &vf, driver, access)?;
    let layout = Layout::of(&device)?;
    let mut talk = Talk::start(config, &vf, &device)?;
    talk.exchange(2)?;
    expect!(
        talk.net.status() & 4 != 0,
        "the driver has not set DRIVER_OK"
    );
    device.reset().context("VFIO_DEVICE_RESET")?;
    device.enable_bus_master()?;
    expect_eq!(talk.net.status(), 0, "device status after a reset");
    let bar = device.map_region(BAR0)?;
    for queue in 0..2_u16 {
        bar.write(layout.common.offset + common::QUEUE_SELECT, queue);
        let enabled: u16 = bar.read(layout.common.offset + common::QUEUE_ENABLE);
        expect_eq!(enabled, 0, "queue {queue} enabled after a reset");
    }
    drop(talk);
    device
        .space()
        .unmap(rig::DRIVER_IOVA, vvp_harness::net::NetDriver::MEMORY as u64)?;
    Talk::start(config, &vf, &device)?.exchange(2)
}

/// An administrator who unbinds the driver has the user asked to let go.
fn request_to_give_back(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let vf = config.vf()?;
    let device = rig::open(config, &vf, driver, access)?;
    let request = device.enable_interrupts(REQUEST)?;
    let (asked, unbound) = std::thread::scope(|scope| {
        let unbinder = scope.spawn(|| vf.unbind());
        let asked = request.wait(0, INTERRUPT);
        drop(device);
        (asked, unbinder.join())
    });
    expect!(asked? > 0, "nobody asked for the device");
    unbound.map_err(|_| anyhow!("the unbinding thread panicked"))??;
    expect_eq!(vf.driver(), None, "driver after unbinding");
    Ok(())
}
