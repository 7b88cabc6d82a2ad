// SPDX-License-Identifier: GPL-2.0
//! Which parts must precede others (virtio 1.4, "Device parts order").
//!
//! The standard leaves open whether its table is about each command or about all
//! that a device is given: against the former stands that "the same or different
//! device parts" may be set several times. Here it is about each command, since a
//! driver that is right on such a device is right on the other kind, too.

use std::collections::BTreeSet;

use super::{
    DEV_FEATURES, DEVICE_STATUS, DRV_FEATURES, PCI_COMMON_CFG, Part, Refusal, Selection, VQ_CFG,
    VQ_NOTIFY_CFG,
};

/// The types of which parts must precede one of type `kind`, whatever their selectors.
fn preceding(kind: u16) -> &'static [u16] {
    const ORDER: [u16; 4] = [DEV_FEATURES, DRV_FEATURES, PCI_COMMON_CFG, DEVICE_STATUS];
    let place = ORDER.iter().position(|&first| first == kind);
    // Queues, and what belongs to a device type, come behind all of these.
    &ORDER[..place.unwrap_or(ORDER.len())]
}

/// The type that must precede one of type `kind` with the same selector:
/// notifications of a queue want the configuration of that queue.
fn preceding_of_queue(kind: u16) -> Option<u16> {
    (kind == VQ_NOTIFY_CFG).then_some(VQ_CFG)
}

/// Checks that each of `parts`, which are in order, comes behind those that must
/// precede it.
pub fn check_preceding(parts: &[Part]) -> Result<(), Refusal> {
    let mut kinds = Vec::new();
    let mut queues = BTreeSet::new();
    for alike in parts.chunk_by(|part, next| part.kind == next.kind) {
        let kind = alike[0].kind;
        let complete = preceding(kind).iter().all(|before| kinds.contains(before));
        let has_queue = |part: &Part| {
            preceding_of_queue(kind).is_none_or(|before| queues.contains(&(before, part.selector)))
        };
        if let Some(part) = alike.iter().find(|part| !complete || !has_queue(part)) {
            return Err(part.refuse("not preceded by the parts that it needs"));
        }
        kinds.push(kind);
        if kind == VQ_CFG {
            queues.extend(alike.iter().map(|part| (kind, part.selector)));
        }
    }
    Ok(())
}

/// Adds to a selection the parts that must precede those in it.
pub fn add_preceding(selection: &mut Selection) {
    let queues: Vec<_> = selection
        .parts
        .iter()
        .filter_map(|&(kind, selector)| Some((preceding_of_queue(kind)?, selector)))
        .collect();
    for &(kind, _) in &selection.parts {
        selection.kinds.extend(preceding(kind));
    }
    selection.parts.extend(queues);
}
