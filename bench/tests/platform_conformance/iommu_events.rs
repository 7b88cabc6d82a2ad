// SPDX-License-Identifier: GPL-2.0
//! The event log.

use crate::guest::{ENABLED, EVENT_LOG, Guest, PF, RAM, RING_ENTRIES, fired};
use crate::wire::{control, event, register, status};

/// A guest whose PF can reach nothing.
fn blocked() -> Guest {
    let mut guest = Guest::with_iommu(1);
    guest.attach(PF, 3, 0);
    guest
}

fn fault(guest: &mut Guest, number: u64) {
    assert!(!guest.store(0, number << 12, 1));
}

#[test]
fn events_interrupt_once_until_acknowledged() {
    let mut guest = blocked();
    let interrupt = guest.listen_iommu();
    guest.set_register(register::CONTROL, ENABLED | control::EVENT_INT_EN);
    fault(&mut guest, 1);
    assert_ne!(guest.register(register::STATUS) & status::EVENT_LOG_INT, 0);
    assert!(fired(&interrupt));
    fault(&mut guest, 2);
    assert!(!fired(&interrupt), "the status bit was still set");
    guest.set_register(register::STATUS, status::EVENT_LOG_INT);
    assert_eq!(guest.register(register::STATUS) & status::EVENT_LOG_INT, 0);
    fault(&mut guest, 3);
    assert!(fired(&interrupt));
    assert_eq!(guest.events().len(), 3);
}

#[test]
fn events_interrupt_only_if_enabled() {
    let mut guest = blocked();
    let interrupt = guest.listen_iommu();
    fault(&mut guest, 1);
    assert_ne!(guest.register(register::STATUS) & status::EVENT_LOG_INT, 0);
    assert!(!fired(&interrupt));
}

#[test]
fn a_log_that_is_off_stays_empty() {
    let mut guest = blocked();
    guest.set_register(register::CONTROL, ENABLED & !control::EVENT_LOG_EN);
    fault(&mut guest, 1);
    assert_eq!(guest.register(register::EVENT_TAIL), 0);
    assert_eq!(guest.read64(EVENT_LOG), 0);
    assert_eq!(guest.counter("faults"), 1);
}

#[test]
fn the_log_wraps() {
    let mut guest = blocked();
    for number in 1..=RING_ENTRIES + 5 {
        fault(&mut guest, number);
        let events = guest.events();
        assert_eq!(events.len(), 1);
        assert_eq!(
            (events[0].code, events[0].address),
            (event::IO_PAGE_FAULT, number << 12)
        );
    }
    assert_eq!(guest.register(register::EVENT_TAIL), 5 * 16);
}

#[test]
fn a_full_log_overflows_and_restarts() {
    let mut guest = blocked();
    let interrupt = guest.listen_iommu();
    guest.set_register(register::CONTROL, ENABLED | control::EVENT_INT_EN);
    for number in 1..RING_ENTRIES {
        fault(&mut guest, number);
    }
    assert_eq!(guest.register(register::STATUS) & status::EVENT_OVERFLOW, 0);
    assert!(fired(&interrupt));
    fault(&mut guest, 0x1000);
    let after = guest.register(register::STATUS);
    assert_ne!(after & status::EVENT_OVERFLOW, 0);
    assert_eq!(after & status::EVENT_LOG_RUN, 0);
    assert!(fired(&interrupt), "an overflow interrupts too");

    let events = guest.events();
    assert_eq!(events.len() as u64, RING_ENTRIES - 1);
    fault(&mut guest, 0x1001);
    assert_eq!(guest.events(), [], "room alone does not restart the log");

    guest.set_register(register::CONTROL, ENABLED & !control::EVENT_LOG_EN);
    guest.set_register(register::STATUS, status::EVENT_OVERFLOW);
    guest.set_register(register::CONTROL, ENABLED);
    assert_ne!(guest.register(register::STATUS) & status::EVENT_LOG_RUN, 0);
    fault(&mut guest, 0x1002);
    assert_eq!(guest.events().len(), 1);
}

#[test]
fn a_log_outside_memory_loses_events_only() {
    let mut guest = blocked();
    guest.set_register(register::EVENT_LOG, RAM | (8 << 56));
    fault(&mut guest, 1);
    assert_eq!(guest.register(register::EVENT_TAIL), 0);
    assert_eq!(guest.counter("faults"), 1);
}
