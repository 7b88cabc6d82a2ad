// SPDX-License-Identifier: GPL-2.0
//! The registers of a virtio function: bringing it up, notifying it, and putting
//! another function's registers in their place.

use anyhow::{Context, Result, ensure};

use super::layout::{Layout, Window, common};
use super::ring::Ring;
use crate::vfio::{Device, DmaBuffer, Mapping};
use crate::wait::{self, PATIENCE};

pub const F_VERSION_1: u64 = 1 << 32;
pub const F_ACCESS_PLATFORM: u64 = 1 << 33;
/// "No MSI-X vector".
pub const NO_VECTOR: u16 = 0xffff;

const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;
const READY: u8 = ACKNOWLEDGE | DRIVER | FEATURES_OK;

/// The registers of the function that a driver uses now.
pub struct Registers {
    bar: Mapping,
    layout: Layout,
}

impl Registers {
    /// Maps the registers of `device` and makes it a bus master.
    pub fn of(device: &Device) -> Result<Self> {
        let layout = Layout::of(device)?;
        let windows = [Some(layout.common), Some(layout.notify), layout.device];
        let region = u32::from(layout.common.bar);
        ensure!(
            windows
                .iter()
                .flatten()
                .all(|window| u32::from(window.bar) == region),
            "registers in several BARs"
        );
        device.enable_bus_master()?;
        let bar = device.map_region(region)?;
        Ok(Self { bar, layout })
    }

    /// Resets the device and settles features: those of `wanted` that it offers.
    pub fn negotiate(&self, wanted: u64) -> Result<u64> {
        self.set_status(0);
        wait::until("device status 0 after reset", PATIENCE, || {
            Ok((self.status() == 0).then_some(()))
        })?;
        self.set_status(ACKNOWLEDGE);
        self.set_status(ACKNOWLEDGE | DRIVER);
        let features = self.offered() & wanted;
        ensure!(features & F_VERSION_1 != 0, "the device is no modern one");
        for half in 0..2_u32 {
            self.bar.write(self.at(common::DRIVER_FEATURE_SELECT), half);
            let bits = (features >> (32 * half)) as u32;
            self.bar.write(self.at(common::DRIVER_FEATURE), bits);
        }
        self.set_status(READY);
        ensure!(
            self.status() & FEATURES_OK != 0,
            "the device refuses features {features:#x}"
        );
        Ok(features)
    }

    fn offered(&self) -> u64 {
        (0..2_u32)
            .map(|half| {
                self.bar.write(self.at(common::DEVICE_FEATURE_SELECT), half);
                let bits: u32 = self.bar.read(self.at(common::DEVICE_FEATURE));
                u64::from(bits) << (32 * half)
            })
            .sum()
    }

    /// Sets the vector for changes of the configuration.
    pub fn set_config_vector(&self, vector: u16) {
        self.bar.write(self.at(common::CONFIG_MSIX_VECTOR), vector);
    }

    /// Gives a queue its ring and its vector.
    pub fn set_up_queue(
        &self,
        queue: u16,
        ring: &Ring,
        memory: &DmaBuffer,
        vector: u16,
    ) -> Result<()> {
        let size = ring.size();
        self.select(queue);
        let limit: u16 = self.bar.read(self.at(common::QUEUE_SIZE));
        ensure!(
            limit >= size,
            "queue {queue} has room for {limit} descriptors only"
        );
        self.bar.write(self.at(common::QUEUE_SIZE), size);
        self.bar.write(self.at(common::QUEUE_MSIX_VECTOR), vector);
        let found: u16 = self.bar.read(self.at(common::QUEUE_MSIX_VECTOR));
        ensure!(
            found == vector,
            "queue {queue} does not take vector {vector}"
        );
        let [desc, driver, device] = ring.addresses(memory);
        self.write64(common::QUEUE_DESC, desc);
        self.write64(common::QUEUE_DRIVER, driver);
        self.write64(common::QUEUE_DEVICE, device);
        self.bar.write(self.at(common::QUEUE_ENABLE), 1_u16);
        Ok(())
    }

    /// Says that the driver is up.
    pub fn drive(&self) {
        self.set_status(READY | DRIVER_OK);
    }

    /// Goes on with another function, to which the first one's state was moved.
    pub fn move_to(&mut self, device: &Device) -> Result<()> {
        ensure!(
            Layout::of(device)? == self.layout,
            "the two functions differ in layout"
        );
        device.map_region_over(u32::from(self.layout.common.bar), &mut self.bar)
    }

    /// Announces new buffers of a queue.
    pub fn notify(&self, queue: u16) {
        self.select(queue);
        let factor: u16 = self.bar.read(self.at(common::QUEUE_NOTIFY_OFF));
        let at = self.layout.notify.offset + usize::from(factor) * self.layout.notify_multiplier;
        self.bar.write(at, queue);
    }

    /// Device status register.
    pub fn status(&self) -> u8 {
        self.bar.read(self.at(common::DEVICE_STATUS))
    }

    fn set_status(&self, status: u8) {
        self.bar.write(self.at(common::DEVICE_STATUS), status);
    }

    /// The beginning of the device configuration.
    pub fn device_config(&self, out: &mut [u8]) -> Result<()> {
        let Window { offset, .. } = self.layout.device.context("no device configuration")?;
        self.bar.load(offset, out);
        Ok(())
    }

    fn select(&self, queue: u16) {
        self.bar.write(self.at(common::QUEUE_SELECT), queue);
    }

    fn write64(&self, register: usize, value: u64) {
        self.bar.write(self.at(register), value as u32);
        self.bar.write(self.at(register) + 4, (value >> 32) as u32);
    }

    fn at(&self, register: usize) -> usize {
        self.layout.common.offset + register
    }
}
