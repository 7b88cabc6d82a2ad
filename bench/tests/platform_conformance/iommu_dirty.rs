// SPDX-License-Identifier: GPL-2.0
//! Accessed and dirty bits.

use std::sync::atomic::{AtomicBool, Ordering};

use vfio_bench::iommu::registers::{FEATURES, HOST_ACCESSED, HOST_DIRTY};

use crate::guest::{DATA, DEVICE_TABLE, Guest, PF, entry_address};
use crate::wire::{dte, event, opcode, pte};

const BITS: u64 = pte::A | pte::D;
const INVALIDATE: [u64; 2] = [opcode::INVALIDATE_IOMMU_PAGES | (3 << 32), 0x1000];

/// A guest whose PF, in domain 3, has a page at 0x1000, and the address of its
/// entry.
fn guest_with(had: u64) -> (Guest, u64) {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, had);
    let entry = guest.map(root, 4, 0x1000, DATA);
    (guest, entry)
}

#[test]
fn bits_are_set_as_the_device_table_says() {
    for (had, after_load, after_store) in [
        (0, 0, 0),
        (dte::HAD_A, pte::A, pte::A),
        (dte::HAD_AD, pte::A, pte::A | pte::D),
    ] {
        let (mut guest, entry) = guest_with(had);
        assert!(guest.load(0, 0x1000).is_some());
        assert_eq!(guest.read64(entry) & BITS, after_load, "{had:#x}");
        assert!(guest.store(0, 0x1000, 1));
        assert_eq!(guest.read64(entry) & BITS, after_store, "{had:#x}");
        assert_eq!(
            guest.read64(entry) & !BITS,
            DATA | pte::RW,
            "nothing else changes"
        );
        assert_eq!(
            guest.counter("dirty_bits_set"),
            u64::from(after_store & pte::D != 0)
        );
    }
}

/// A unit that does not offer the bits sets none, whatever the device table asks
/// for: that is an illegal entry then, and nothing passes.
#[test]
fn bits_that_are_not_offered_are_not_set() {
    for (features, had, legal) in [
        (FEATURES & !HOST_DIRTY, dte::HAD_A, true),
        (FEATURES & !HOST_DIRTY, dte::HAD_AD, false),
        (FEATURES & !(HOST_ACCESSED | HOST_DIRTY), 0, true),
        (FEATURES & !(HOST_ACCESSED | HOST_DIRTY), dte::HAD_A, false),
        (FEATURES & !(HOST_ACCESSED | HOST_DIRTY), dte::HAD_AD, false),
    ] {
        let mut guest = Guest::with_iommu_features(1, features);
        let root = guest.attach(PF, 3, had);
        let entry = guest.map(root, 4, 0x1000, DATA);
        assert_eq!(guest.store(0, 0x1000, 1), legal, "{had:#x}");
        assert_eq!(guest.read64(entry) & pte::D, 0, "{had:#x}");
        let illegal = guest
            .events()
            .iter()
            .any(|event| event.code == event::ILLEGAL_DEV_TABLE_ENTRY);
        assert_eq!(illegal, !legal, "{had:#x}");
    }
}

#[test]
fn refused_accesses_set_no_bits() {
    let (mut guest, entry) = guest_with(dte::HAD_AD);
    guest.write64(entry, DATA | pte::PR | pte::IR);
    assert!(!guest.store(0, 0x1000, 1));
    assert_eq!(guest.read64(entry) & BITS, 0);
}

#[test]
fn only_the_page_written_is_marked() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, dte::HAD_AD);
    let entries =
        [0x1000, 0x2000, 0x3000, 0x4000].map(|iova| guest.map(root, 4, iova, DATA + iova));
    assert!(guest.store(0, 0x2ffe, 1), "spans two pages");
    let dirty = entries.map(|entry| guest.read64(entry) & pte::D != 0);
    assert_eq!(dirty, [false, true, true, false]);
}

#[test]
fn upper_levels_are_not_marked() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, dte::HAD_AD);
    guest.map(root, 4, 0x1000, DATA);
    assert!(guest.store(0, 0x1000, 1));
    assert_eq!(guest.read64(entry_address(root, 4, 0x1000)) & BITS, 0);
}

#[test]
fn a_bit_cleared_without_a_command_is_not_set_again() {
    let (mut guest, entry) = guest_with(dte::HAD_AD);
    assert!(guest.store(0, 0x1000, 1));
    guest.write64(entry, DATA | pte::RW);
    assert!(guest.store(0, 0x1000, 2));
    assert_eq!(
        guest.read64(entry) & pte::D,
        0,
        "the IOMMU believes that it is set"
    );
    guest.run(INVALIDATE);
    assert!(guest.store(0, 0x1000, 3));
    assert_ne!(guest.read64(entry) & pte::D, 0);
}

#[test]
fn reads_after_an_invalidation_mark_nothing_dirty() {
    let (mut guest, entry) = guest_with(dte::HAD_AD);
    assert!(guest.store(0, 0x1000, 1));
    guest.write64(entry, DATA | pte::RW);
    guest.run(INVALIDATE);
    assert_eq!(guest.load(0, 0x1000), Some(1));
    assert_eq!(guest.read64(entry) & BITS, pte::A);
}

#[test]
fn contiguous_entries_are_marked_where_they_were_used() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, dte::HAD_AD);
    // 16 KiB: one 1 in the address.
    let leaf = DATA | 0x1000 | pte::RW | pte::next_level(7);
    let entries =
        [0x4000, 0x5000, 0x6000, 0x7000].map(|iova| guest.set_entry(root, 4, iova, 1, leaf));
    assert!(guest.store(0, 0x6000, 1));
    let dirty = entries.map(|entry| guest.read64(entry) & pte::D != 0);
    assert_eq!(dirty.iter().filter(|&&dirty| dirty).count(), 1);
    assert_eq!(guest.read32(DATA + 0x2000), 1);
}

#[test]
fn tracking_can_be_switched_on_later() {
    let (mut guest, entry) = guest_with(0);
    assert!(guest.store(0, 0x1000, 1));
    let low = guest.read64(DEVICE_TABLE + u64::from(PF) * 32);
    guest.set_dte(PF, low | dte::HAD_AD, 3);
    assert!(guest.store(0, 0x1000, 2));
    assert_eq!(
        guest.read64(entry) & pte::D,
        0,
        "the old entry is still in use"
    );
    guest.run([opcode::INVALIDATE_DEVTAB_ENTRY | u64::from(PF), 0]);
    assert!(guest.store(0, 0x1000, 3));
    assert_ne!(guest.read64(entry) & pte::D, 0);
}

#[test]
fn the_bench_can_be_told_not_to_set_them() {
    let (mut guest, entry) = guest_with(dte::HAD_AD);
    guest
        .control
        .answer(br#"{"cmd":"dirty-bits","enabled":false}"#)
        .expect("accepted");
    assert!(guest.store(0, 0x1000, 1));
    assert_eq!(guest.read64(entry) & BITS, pte::A);
    guest
        .control
        .answer(br#"{"cmd":"dirty-bits","enabled":true}"#)
        .expect("accepted");
    assert!(guest.store(0, 0x1000, 2));
    assert_ne!(guest.read64(entry) & pte::D, 0);
}

/// Software changes other bits of the entry while the device writes: no change
/// of either side may be lost.
#[test]
fn bits_are_set_without_losing_changes_by_software() {
    // Bits 4:1 are ignored by the IOMMU and free for software.
    const SOFTWARE: u64 = 1 << 1;
    let (mut guest, entry) = guest_with(dte::HAD_AD);
    let memory = guest.memory.clone();
    let done = AtomicBool::new(false);
    let flips = std::thread::scope(|scope| {
        let flipper = scope.spawn(|| {
            let mut flips = 0_u64;
            while !done.load(Ordering::SeqCst) {
                Guest::flip(&memory, entry, SOFTWARE);
                flips += 1;
            }
            flips
        });
        for round in 0..500 {
            if guest.read64(entry) & pte::D != 0 {
                Guest::flip(&guest.memory, entry, pte::D);
            }
            guest.run(INVALIDATE);
            assert!(guest.store(0, 0x1000, round));
            assert_ne!(guest.read64(entry) & pte::D, 0, "round {round}");
        }
        done.store(true, Ordering::SeqCst);
        flipper.join().expect("flipper")
    });
    let odd = guest.read64(entry) & SOFTWARE != 0;
    assert_eq!(odd, flips % 2 == 1, "{flips} flips");
}
