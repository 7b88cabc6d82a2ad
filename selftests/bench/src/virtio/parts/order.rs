// SPDX-License-Identifier: GPL-2.0
//! Which parts must precede others (virtio 1.4, "Device parts order").
//!
//! The standard leaves open whether its table is about each command or about all
//! that a device is given: against the former stands that "the same or different
//! device parts" may be set several times. Here it is about each command, since a
//! driver that is right on such a device is right on the other kind, too.

use super::{
    DEV_FEATURES, DEVICE_STATUS, DRV_FEATURES, PCI_COMMON_CFG, Part, Refusal, VQ_CFG, VQ_NOTIFY_CFG,
};

/// Checks that each of `parts`, which are in order, comes behind those that must
/// precede it. Notifications of a queue want the configuration of that queue.
pub fn check_preceding(parts: &[Part]) -> Result<(), Refusal> {
    for (at, part) in parts.iter().enumerate() {
        let preceding = &parts[..at];
        let has = |kind| preceding.iter().any(|other| other.kind == kind);
        let complete = match part.kind {
            DEV_FEATURES => true,
            DRV_FEATURES => has(DEV_FEATURES),
            PCI_COMMON_CFG => has(DEV_FEATURES) && has(DRV_FEATURES),
            DEVICE_STATUS => has(DEV_FEATURES) && has(DRV_FEATURES) && has(PCI_COMMON_CFG),
            VQ_NOTIFY_CFG => preceding
                .iter()
                .any(|other| other.kind == VQ_CFG && other.selector == part.selector),
            // Queues, and what belongs to a device type. One DEVICE_STATUS implies what precedes it.
            _ => has(DEVICE_STATUS),
        };
        if !complete {
            return Err(part.refuse("not preceded by the parts that it needs"));
        }
    }
    Ok(())
}
