// SPDX-License-Identifier: GPL-2.0
//! The parts of the transport: features, common configuration, status, queues.

use super::codec::{HEADER, Part, PartWriter, Refusal};
use super::{DEV_FEATURES, DEVICE_STATUS, DRV_FEATURES, PCI_COMMON_CFG, VQ_CFG, VQ_NOTIFY_CFG};
use crate::virtio::bytes::{u16_at, u64_at};
use crate::virtio::common::{Common, STATUS_DRIVER_OK, STATUS_FEATURES_OK, Shape, offset};
use crate::virtio::features;
use crate::virtio::queue::{NO_VECTOR, QueueConfig};

/// ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, DEVICE_NEEDS_RESET, FAILED.
const STATUS_BITS: u8 = 1 | 2 | 4 | 8 | 64 | 128;

/// The common configuration registers that are parts: those that belong to no
/// queue, have no part type of their own, and are not windows on other state.
const FIELDS: [(u64, usize); 6] = [
    (offset::DEVICE_FEATURE_SELECT, 4),
    (offset::DRIVER_FEATURE_SELECT, 4),
    (offset::CONFIG_VECTOR, 2),
    (offset::NUM_QUEUES, 2),
    (offset::GENERATION, 1),
    (offset::QUEUE_SELECT, 2),
];

const VQ_CFG_LEN: usize = 32;
const VQ_NOTIFY_CFG_LEN: usize = 8;

/// Appends the transport's parts.
pub fn save(common: &Common, shape: &Shape, parts: &mut PartWriter) {
    let selector = |low: u64| low.to_le_bytes();
    parts.push(DEV_FEATURES, selector(0), &shape.offered.to_le_bytes());
    parts.push(
        DRV_FEATURES,
        selector(0),
        &common.driver_features.to_le_bytes(),
    );
    for (at, width) in FIELDS {
        let mut value = [0; 4];
        common.read(shape, at, &mut value[..width]);
        parts.push(PCI_COMMON_CFG, selector(at), &value[..width]);
    }
    parts.push(DEVICE_STATUS, selector(0), &[common.status]);
    for (index, queue) in (0..).zip(&common.queues) {
        parts.push(VQ_CFG, selector(index), &vq_cfg(queue));
    }
    for (index, _) in (0u16..).zip(&common.queues) {
        parts.push(VQ_NOTIFY_CFG, selector(index.into()), &vq_notify_cfg(index));
    }
}

/// Bytes that [`save`] appends.
pub fn saved(shape: &Shape) -> usize {
    let fields: usize = FIELDS.iter().map(|(_, width)| HEADER + width).sum();
    let queues = shape.queue_sizes.len() * (2 * HEADER + VQ_CFG_LEN + VQ_NOTIFY_CFG_LEN);
    2 * (HEADER + 8) + fields + HEADER + 1 + queues
}

/// Takes over one part, or only verifies it if it is of the common configuration and
/// that is to be so. `common` is a copy that is dropped if anything is refused.
pub fn load(
    common: &mut Common,
    shape: &Shape,
    verify_common_cfg: bool,
    part: &Part,
) -> Result<(), Refusal> {
    match part.kind {
        DEV_FEATURES => {
            part.unselected()?;
            if u64::from_le_bytes(part.exactly()?) != shape.offered {
                return Err(part.refuse("the device offers other features"));
            }
        }
        DRV_FEATURES => {
            part.unselected()?;
            let features = u64::from_le_bytes(part.exactly()?);
            if features & !shape.offered != 0 {
                return Err(part.refuse("feature that the device lacks"));
            }
            common.driver_features = features;
            common.excess_features = [false; 3];
        }
        PCI_COMMON_CFG if verify_common_cfg => load_field(&mut common.clone(), shape, part)?,
        PCI_COMMON_CFG => load_field(common, shape, part)?,
        DEVICE_STATUS => {
            part.unselected()?;
            let [status] = part.exactly()?;
            if status & !STATUS_BITS != 0 {
                return Err(part.refuse("no such status"));
            }
            common.status = status;
        }
        VQ_CFG => load_queue(common, shape, part)?,
        VQ_NOTIFY_CFG => {
            let index = part.queue()?;
            if usize::from(index) >= common.queues.len() {
                return Err(part.refuse("no such queue"));
            }
            if part.exactly::<VQ_NOTIFY_CFG_LEN>()? != vq_notify_cfg(index) {
                return Err(part.refuse("the device notifies elsewhere"));
            }
        }
        _ => return Err(part.refuse("not a part of the transport")),
    }
    Ok(())
}

/// Checks what no single part shows, once all are taken over.
pub fn check(
    common: &Common,
    shape: &Shape,
    acceptable: impl FnOnce(u64) -> bool,
) -> Result<(), Refusal> {
    let fail = |kind, reason| {
        Err(Refusal {
            kind,
            selector: 0,
            reason,
        })
    };
    let settled = common.status & STATUS_FEATURES_OK != 0;
    if settled && !common.features_ok(shape, acceptable) {
        return fail(DRV_FEATURES, "features that do not go together");
    }
    // A legacy driver knows no FEATURES_OK, and no VERSION_1.
    let legacy = shape.transitional && common.driver_features & features::VERSION_1 == 0;
    if !settled && !legacy && common.status & STATUS_DRIVER_OK != 0 {
        return fail(DEVICE_STATUS, "DRIVER_OK without FEATURES_OK");
    }
    Ok(())
}

fn load_field(common: &mut Common, shape: &Shape, part: &Part) -> Result<(), Refusal> {
    let at = u64::from_le_bytes(part.selector);
    match at {
        offset::DEVICE_FEATURE_SELECT => {
            common.device_feature_select = u32::from_le_bytes(part.exactly()?);
        }
        offset::DRIVER_FEATURE_SELECT => {
            common.driver_feature_select = u32::from_le_bytes(part.exactly()?);
        }
        offset::CONFIG_VECTOR => {
            common.config_vector = vector(shape, part, u16::from_le_bytes(part.exactly()?))?;
        }
        offset::NUM_QUEUES => {
            if u16::from_le_bytes(part.exactly()?) != shape.num_queues {
                return Err(part.refuse("the device has another number of queues"));
            }
        }
        offset::GENERATION => [common.generation] = part.exactly()?,
        offset::QUEUE_SELECT => common.queue_select = u16::from_le_bytes(part.exactly()?),
        _ => return Err(part.refuse("not a register that is a part")),
    }
    Ok(())
}

fn load_queue(common: &mut Common, shape: &Shape, part: &Part) -> Result<(), Refusal> {
    let index = usize::from(part.queue()?);
    let value: [u8; VQ_CFG_LEN] = part.exactly()?;
    let (Some(queue), Some(&max_size)) =
        (common.queues.get_mut(index), shape.queue_sizes.get(index))
    else {
        return Err(part.refuse("no such queue"));
    };
    let enabled = match u16_at(&value, 4) {
        0 => false,
        1 => true,
        _ => return Err(part.refuse("enabled is neither 0 nor 1")),
    };
    if u16_at(&value, 6) != 0 {
        return Err(part.refuse("reserved field is set"));
    }
    let config = QueueConfig {
        size: u16_at(&value, 0),
        vector: vector(shape, part, u16_at(&value, 2))?,
        enabled,
        desc: u64_at(&value, 8),
        driver: u64_at(&value, 16),
        device: u64_at(&value, 24),
    };
    config
        .check(max_size)
        .map_err(|reason| part.refuse(reason))?;
    *queue = config;
    Ok(())
}

fn vector(shape: &Shape, part: &Part, vector: u16) -> Result<u16, Refusal> {
    match vector == NO_VECTOR || vector < shape.vectors {
        true => Ok(vector),
        false => Err(part.refuse("vector that the device lacks")),
    }
}

fn vq_cfg(queue: &QueueConfig) -> [u8; VQ_CFG_LEN] {
    let mut value = [0; VQ_CFG_LEN];
    value[..2].copy_from_slice(&queue.size.to_le_bytes());
    value[2..4].copy_from_slice(&queue.vector.to_le_bytes());
    value[4..6].copy_from_slice(&u16::from(queue.enabled).to_le_bytes());
    value[8..16].copy_from_slice(&queue.desc.to_le_bytes());
    value[16..24].copy_from_slice(&queue.driver.to_le_bytes());
    value[24..].copy_from_slice(&queue.device.to_le_bytes());
    value
}

fn vq_notify_cfg(index: u16) -> [u8; VQ_NOTIFY_CFG_LEN] {
    let mut value = [0; VQ_NOTIFY_CFG_LEN];
    value[..2].copy_from_slice(&index.to_le_bytes());
    value
}
