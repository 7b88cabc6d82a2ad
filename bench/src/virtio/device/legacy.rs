// SPDX-License-Identifier: GPL-2.0
//! A transitional VF as a legacy driver sees it (virtio 1.4, 4.1.4.10): other
//! registers for the same features, queues and status. A VF has no I/O space for
//! them, so that they are reached by the owner's administration commands only.
//!
//! What differs from the modern registers beyond the layout:
//!
//! - features are the low 32 bits, and are settled when DRIVER_OK is set;
//! - a queue has its maximum size and lies in consecutive pages, of which the
//!   driver gives the first one's number; 0 takes the queue away;
//! - the MSI-X vectors are there whether MSI-X is enabled or not: the PF's driver
//!   knows, the model does not.
//!
//! Buffers are used after DRIVER_OK only.

use super::{Device, Request};
use crate::virtio::common::{STATUS_DRIVER_OK, STATUS_FAILED};
use crate::virtio::queue::QueueConfig;

/// Size of a page that a queue is placed in; so the used ring is aligned, too.
const PAGE_SHIFT: u32 = 12;

/// ACKNOWLEDGE, DRIVER, DRIVER_OK, FAILED.
const STATUS_DRIVER_BITS: u8 = 1 | 2 | STATUS_DRIVER_OK | STATUS_FAILED;

/// The access is not to a single field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misplaced;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    DeviceFeatures,
    DriverFeatures,
    QueueAddress,
    QueueSize,
    QueueSelect,
    QueueNotify,
    DeviceStatus,
    IsrStatus,
    ConfigVector,
    QueueVector,
}

/// The fields with their lengths, in order and without gaps.
const FIELDS: [(Field, usize); 10] = [
    (Field::DeviceFeatures, 4),
    (Field::DriverFeatures, 4),
    (Field::QueueAddress, 4),
    (Field::QueueSize, 2),
    (Field::QueueSelect, 2),
    (Field::QueueNotify, 2),
    (Field::DeviceStatus, 1),
    (Field::IsrStatus, 1),
    (Field::ConfigVector, 2),
    (Field::QueueVector, 2),
];

/// The one field that an access lies in: its place in the list, and the
/// access's offset in it.
fn find(
    lens: impl IntoIterator<Item = usize>,
    at: usize,
    len: usize,
) -> Result<(usize, usize), Misplaced> {
    let mut start = 0;
    for (index, field_len) in lens.into_iter().enumerate() {
        if (start..start + field_len).contains(&at) {
            let fits = len > 0 && at + len <= start + field_len;
            return fits.then_some((index, at - start)).ok_or(Misplaced);
        }
        start += field_len;
    }
    Err(Misplaced)
}

fn find_field(at: usize, len: usize) -> Result<(Field, usize), Misplaced> {
    let (index, within) = find(FIELDS.map(|(_, len)| len), at, len)?;
    Ok((FIELDS[index].0, within))
}

impl Device {
    /// Reads from the legacy common configuration.
    pub fn legacy_read(&mut self, at: usize, data: &mut [u8]) -> Result<(), Misplaced> {
        let (field, within) = find_field(at, data.len())?;
        let value = self.legacy_value(field).to_le_bytes();
        data.copy_from_slice(&value[within..within + data.len()]);
        if field == Field::IsrStatus {
            self.isr = 0;
        }
        Ok(())
    }

    /// Writes to the legacy common configuration. A write to a part of a field
    /// leaves the rest as it is; one to what the driver may only read is ignored.
    pub fn legacy_write(&mut self, at: usize, data: &[u8]) -> Result<Request, Misplaced> {
        let (field, within) = find_field(at, data.len())?;
        let mut value = self.legacy_value(field).to_le_bytes();
        value[within..within + data.len()].copy_from_slice(data);
        Ok(self.legacy_set(field, u32::from_le_bytes(value)))
    }

    /// Reads from the device configuration.
    pub fn legacy_read_config(&self, at: usize, data: &mut [u8]) -> Result<(), Misplaced> {
        find(self.kind.config_fields(), at, data.len())?;
        data.copy_from_slice(&self.kind.config()[at..at + data.len()]);
        Ok(())
    }

    /// Writes to the device configuration.
    pub fn legacy_write_config(&mut self, at: usize, data: &[u8]) -> Result<(), Misplaced> {
        find(self.kind.config_fields(), at, data.len())?;
        self.kind.write_legacy_config(at, data);
        Ok(())
    }

    fn selected(&mut self) -> Option<&mut QueueConfig> {
        let index = usize::from(self.common.queue_select);
        self.common.queues.get_mut(index)
    }

    fn legacy_value(&mut self, field: Field) -> u32 {
        let offered = self.shape.offered as u32;
        let common = &self.common;
        match field {
            Field::DeviceFeatures => offered,
            Field::DriverFeatures => common.driver_features as u32,
            Field::QueueSelect => common.queue_select.into(),
            // Nothing to be read, but for the rest of a partial write.
            Field::QueueNotify => 0,
            Field::DeviceStatus => common.status.into(),
            Field::IsrStatus => self.isr.into(),
            Field::ConfigVector => common.config_vector.into(),
            Field::QueueAddress | Field::QueueSize | Field::QueueVector => {
                let Some(queue) = self.selected() else {
                    return 0;
                };
                match field {
                    Field::QueueAddress if queue.enabled => (queue.desc >> PAGE_SHIFT) as u32,
                    Field::QueueAddress => 0,
                    Field::QueueSize => queue.size.into(),
                    _ => queue.vector.into(),
                }
            }
        }
    }

    fn legacy_set(&mut self, field: Field, value: u32) -> Request {
        match field {
            Field::DriverFeatures if self.common.status & STATUS_DRIVER_OK == 0 => {
                self.common.driver_features = u64::from(value) & self.shape.offered;
                self.common.excess_features = [false; 3];
            }
            Field::QueueAddress => return self.place_queue(value),
            Field::QueueSelect => self.common.queue_select = value as u16,
            Field::QueueNotify => return Request::Notify(value as u16),
            Field::DeviceStatus => return self.legacy_status(value as u8),
            Field::ConfigVector => self.common.config_vector = self.shape.vector(value as u16),
            Field::QueueVector => {
                let vector = self.shape.vector(value as u16);
                if let Some(queue) = self.selected() {
                    queue.vector = vector;
                }
            }
            // Not now, or never.
            Field::DriverFeatures | Field::DeviceFeatures | Field::QueueSize | Field::IsrStatus => {
            }
        }
        Request::Nothing
    }

    fn legacy_status(&mut self, value: u8) -> Request {
        if value == 0 {
            self.reset_virtio();
            return Request::Reset;
        }
        let new = value & STATUS_DRIVER_BITS & !self.common.status;
        self.common.status |= new;
        if new & STATUS_DRIVER_OK != 0 {
            Request::Start
        } else {
            Request::Nothing
        }
    }

    /// Puts the selected queue where the driver says, or takes it away.
    fn place_queue(&mut self, page: u32) -> Request {
        let index = usize::from(self.common.queue_select);
        let Some(queue) = self.common.queues.get_mut(index) else {
            return Request::Nothing;
        };
        // Descriptors; flags, index, entries and an event index of 2 bytes each;
        // on the next page boundary the used ring.
        let size = u64::from(queue.size);
        let page_size = 1 << PAGE_SHIFT;
        queue.enabled = page != 0;
        queue.desc = u64::from(page) << PAGE_SHIFT;
        queue.driver = queue.desc + 16 * size;
        queue.device = (queue.driver + 2 * (3 + size)).next_multiple_of(page_size);
        if page == 0 {
            (queue.driver, queue.device) = (0, 0);
        }
        self.rings[index] = None;
        self.continuing[index] = false;
        Request::Start
    }
}
