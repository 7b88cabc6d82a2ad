// SPDX-License-Identifier: GPL-2.0
//! The common configuration structure (virtio 1.4, section 4.1.4.3): registers
//! and their rules, without what follows from writing them.

use super::bytes::copy_window;
use super::features;
use super::queue::{NO_VECTOR, QueueConfig};

pub const STATUS_DRIVER_OK: u8 = 4;
pub const STATUS_FEATURES_OK: u8 = 8;
pub const STATUS_NEEDS_RESET: u8 = 64;
pub const STATUS_FAILED: u8 = 128;
/// ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, FAILED.
const STATUS_DRIVER_BITS: u8 = 1 | 2 | STATUS_DRIVER_OK | STATUS_FEATURES_OK | STATUS_FAILED;

/// Offsets in the structure.
pub mod offset {
    pub const DEVICE_FEATURE_SELECT: u64 = 0;
    pub const DEVICE_FEATURE: u64 = 4;
    pub const DRIVER_FEATURE_SELECT: u64 = 8;
    pub const DRIVER_FEATURE: u64 = 12;
    pub const CONFIG_VECTOR: u64 = 16;
    pub const NUM_QUEUES: u64 = 18;
    pub const STATUS: u64 = 20;
    pub const GENERATION: u64 = 21;
    pub const QUEUE_SELECT: u64 = 22;
    pub const QUEUE_SIZE: u64 = 24;
    pub const QUEUE_VECTOR: u64 = 26;
    pub const QUEUE_ENABLE: u64 = 28;
    pub const QUEUE_NOTIFY_OFF: u64 = 30;
    pub const QUEUE_DESC: u64 = 32;
    pub const QUEUE_DRIVER: u64 = 40;
    pub const QUEUE_DEVICE: u64 = 48;
    pub const QUEUE_RESET: u64 = 58;
    pub const ADMIN_QUEUE_INDEX: u64 = 60;
    pub const ADMIN_QUEUE_NUM: u64 = 62;
}

/// What a device of this kind has, whatever its driver does.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Features offered, of transport and device type together.
    pub offered: u64,
    /// Maximum size of each queue, admin queue last.
    pub queue_sizes: Vec<u16>,
    /// Number of queues that are not admin queues.
    pub num_queues: u16,
    /// Number of MSI-X vectors.
    pub vectors: u16,
    /// A legacy driver may use it.
    pub transitional: bool,
}

impl Shape {
    /// Index of the administration virtqueue, if there is one.
    pub fn admin_queue(&self) -> Option<u16> {
        (self.queue_sizes.len() > usize::from(self.num_queues)).then_some(self.num_queues)
    }

    /// `vector`, or what a driver reads back if the device cannot use it.
    pub fn vector(&self, vector: u16) -> u16 {
        if vector < self.vectors {
            vector
        } else {
            NO_VECTOR
        }
    }
}

/// What a register write asks of the device beyond the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    None,
    /// 0 was written to device_status.
    Reset,
    /// These status bits were not set before.
    Status(u8),
    /// The driver enabled a queue.
    Enabled,
    /// The driver wants this queue to be reset.
    ResetQueue(u16),
    /// The driver enabled a queue that cannot run.
    Broken(&'static str),
}

/// The registers. `Clone` so that a change can be tried before it is made.
#[derive(Clone, Debug)]
pub struct Common {
    pub device_feature_select: u32,
    pub driver_feature_select: u32,
    pub driver_features: u64,
    /// The driver wants features that were not offered: in bits 0 to 31, in bits
    /// 32 to 63, beyond.
    pub excess_features: [bool; 3],
    pub config_vector: u16,
    pub status: u8,
    pub generation: u8,
    pub queue_select: u16,
    pub queues: Vec<QueueConfig>,
}

impl Common {
    /// The state after reset.
    pub fn new(shape: &Shape) -> Self {
        Self {
            device_feature_select: 0,
            driver_feature_select: 0,
            driver_features: 0,
            excess_features: [false; 3],
            config_vector: NO_VECTOR,
            status: 0,
            generation: 0,
            queue_select: 0,
            queues: shape
                .queue_sizes
                .iter()
                .map(|&size| QueueConfig::new(size))
                .collect(),
        }
    }

    /// Whether the driver is at work and the device is whole.
    pub fn live(&self) -> bool {
        self.status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET) == STATUS_DRIVER_OK
    }

    /// Whether the device needs a reset and has a driver that must be told.
    pub fn broken_under_driver(&self) -> bool {
        let both = STATUS_DRIVER_OK | STATUS_NEEDS_RESET;
        self.status & both == both
    }

    /// Reads any window of the structure.
    pub fn read(&self, shape: &Shape, at: u64, data: &mut [u8]) {
        let half = |features: u64, select: u32| match select {
            0 => features as u32,
            1 => (features >> 32) as u32,
            _ => 0,
        };
        let mut image = [0; super::bar::COMMON_LEN as usize];
        let mut put = |at: u64, bytes: &[u8]| {
            image[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        };
        put(
            offset::DEVICE_FEATURE_SELECT,
            &self.device_feature_select.to_le_bytes(),
        );
        let offered = half(shape.offered, self.device_feature_select);
        put(offset::DEVICE_FEATURE, &offered.to_le_bytes());
        put(
            offset::DRIVER_FEATURE_SELECT,
            &self.driver_feature_select.to_le_bytes(),
        );
        let accepted = half(self.driver_features, self.driver_feature_select);
        put(offset::DRIVER_FEATURE, &accepted.to_le_bytes());
        put(offset::CONFIG_VECTOR, &self.config_vector.to_le_bytes());
        put(offset::NUM_QUEUES, &shape.num_queues.to_le_bytes());
        put(offset::STATUS, &[self.status]);
        put(offset::GENERATION, &[self.generation]);
        put(offset::QUEUE_SELECT, &self.queue_select.to_le_bytes());
        // A queue that does not exist has size 0.
        if let Some(queue) = self.queues.get(usize::from(self.queue_select)) {
            put(offset::QUEUE_SIZE, &queue.size.to_le_bytes());
            put(offset::QUEUE_VECTOR, &queue.vector.to_le_bytes());
            put(
                offset::QUEUE_ENABLE,
                &u16::from(queue.enabled).to_le_bytes(),
            );
            put(offset::QUEUE_NOTIFY_OFF, &self.queue_select.to_le_bytes());
            put(offset::QUEUE_DESC, &queue.desc.to_le_bytes());
            put(offset::QUEUE_DRIVER, &queue.driver.to_le_bytes());
            put(offset::QUEUE_DEVICE, &queue.device.to_le_bytes());
        }
        if let Some(index) = shape.admin_queue() {
            put(offset::ADMIN_QUEUE_INDEX, &index.to_le_bytes());
            put(offset::ADMIN_QUEUE_NUM, &1u16.to_le_bytes());
        }
        copy_window(&image, at, data);
    }

    /// Writes one register. An access that is not one register wide, or half of
    /// a 64-bit one, is ignored, as is one to a read-only register.
    pub fn write(
        &mut self,
        shape: &Shape,
        at: u64,
        data: &[u8],
        acceptable: impl FnOnce(u64) -> bool,
    ) -> Effect {
        match *data {
            [value] if at == offset::STATUS => self.write_status(shape, value, acceptable),
            [a, b] => self.write_u16(shape, at, u16::from_le_bytes([a, b])),
            [a, b, c, d] => self.write_u32(shape, at, u32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => {
                self.write_u64(at, u64::from_le_bytes([a, b, c, d, e, f, g, h]))
            }
            _ => Effect::None,
        }
    }

    fn write_status(
        &mut self,
        shape: &Shape,
        value: u8,
        acceptable: impl FnOnce(u64) -> bool,
    ) -> Effect {
        if value == 0 {
            return Effect::Reset;
        }
        let mut new = value & STATUS_DRIVER_BITS & !self.status;
        if new & STATUS_FEATURES_OK != 0 && !self.features_ok(shape, acceptable) {
            new &= !STATUS_FEATURES_OK;
        }
        // DRIVER_OK means nothing before the features are settled.
        if (self.status | new) & STATUS_FEATURES_OK == 0 {
            new &= !STATUS_DRIVER_OK;
        }
        // A driver must not clear bits; only reset does.
        self.status |= new;
        Effect::Status(new)
    }

    /// Whether the driver's features are a set that the device can work with.
    pub fn features_ok(&self, shape: &Shape, acceptable: impl FnOnce(u64) -> bool) -> bool {
        let driver = self.driver_features;
        self.excess_features == [false; 3]
            && driver & !shape.offered == 0
            && driver & features::MANDATORY == features::MANDATORY
            && acceptable(driver)
    }

    fn write_u16(&mut self, shape: &Shape, at: u64, value: u16) -> Effect {
        match at {
            offset::CONFIG_VECTOR => self.config_vector = shape.vector(value),
            offset::QUEUE_SELECT => self.queue_select = value,
            _ => return self.write_queue(shape, at, value),
        }
        Effect::None
    }

    fn write_queue(&mut self, shape: &Shape, at: u64, value: u16) -> Effect {
        let index = self.queue_select;
        let resets = self.driver_features & features::RING_RESET != 0;
        let (Some(queue), Some(&max_size)) = (
            self.queues.get_mut(usize::from(index)),
            shape.queue_sizes.get(usize::from(index)),
        ) else {
            return Effect::None;
        };
        match at {
            offset::QUEUE_SIZE if !queue.enabled => {
                if value.is_power_of_two() && value <= max_size {
                    queue.size = value;
                }
            }
            offset::QUEUE_VECTOR => queue.vector = shape.vector(value),
            // Done at once: it never reads as 1.
            offset::QUEUE_RESET if value == 1 && queue.enabled && resets => {
                *queue = QueueConfig::new(max_size);
                return Effect::ResetQueue(index);
            }
            offset::QUEUE_ENABLE if value == 1 && !queue.enabled => {
                let enabled = QueueConfig {
                    enabled: true,
                    ..*queue
                };
                if let Err(reason) = enabled.check(max_size) {
                    return Effect::Broken(reason);
                }
                *queue = enabled;
                return Effect::Enabled;
            }
            _ => (),
        }
        Effect::None
    }

    fn write_u32(&mut self, shape: &Shape, at: u64, value: u32) -> Effect {
        match at {
            offset::DEVICE_FEATURE_SELECT => self.device_feature_select = value,
            offset::DRIVER_FEATURE_SELECT => self.driver_feature_select = value,
            offset::DRIVER_FEATURE => self.write_features(shape, value),
            _ => {
                let half = at & 4;
                if let Some(area) = self.area(at - half) {
                    let shift = half * 8;
                    let kept = *area & !(u64::from(u32::MAX) << shift);
                    *area = kept | (u64::from(value) << shift);
                }
            }
        }
        Effect::None
    }

    fn write_u64(&mut self, at: u64, value: u64) -> Effect {
        if let Some(area) = self.area(at) {
            *area = value;
        }
        Effect::None
    }

    /// Keeps the offered bits of what the driver accepts, and remembers whether
    /// there were others: FEATURES_OK is refused then.
    fn write_features(&mut self, shape: &Shape, value: u32) {
        if self.status & STATUS_FEATURES_OK != 0 {
            return;
        }
        let shift = match self.driver_feature_select {
            0 => 0,
            1 => 32,
            _ => {
                self.excess_features[2] |= value != 0;
                return;
            }
        };
        let wanted = u64::from(value) << shift;
        let window = u64::from(u32::MAX) << shift;
        self.driver_features = self.driver_features & !window | wanted & shape.offered;
        self.excess_features[shift / 32] = wanted & !shape.offered != 0;
    }

    /// The queue area register at `at`, if it is one and may be written.
    fn area(&mut self, at: u64) -> Option<&mut u64> {
        let queue = self.queues.get_mut(usize::from(self.queue_select))?;
        match at {
            _ if queue.enabled => None,
            offset::QUEUE_DESC => Some(&mut queue.desc),
            offset::QUEUE_DRIVER => Some(&mut queue.driver),
            offset::QUEUE_DEVICE => Some(&mut queue.device),
            _ => None,
        }
    }
}
