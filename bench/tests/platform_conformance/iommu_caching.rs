// SPDX-License-Identifier: GPL-2.0
//! What is remembered, and what makes it forgotten.

use crate::guest::{DATA, Guest, PF, VF1};
use crate::wire::{dte, opcode, pte};

const OLD: u64 = DATA;
const NEW: u64 = DATA + 0x10_0000;

/// Address that invalidates everything, with S set.
const ALL: u64 = 0x7fff_ffff_ffff_f001;

/// A guest whose PF, in domain 3, has used the page at 0x1000. Its entry has
/// then been changed from OLD to NEW behind the IOMMU's back.
fn stale() -> Guest {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, 0);
    let entry = guest.map(root, 4, 0x1000, OLD);
    assert!(guest.store(0, 0x1000, 1));
    guest.write64(entry, NEW | pte::RW);
    guest
}

/// Where the PF's writes to `iova` go.
fn is_new(guest: &mut Guest, iova: u64) -> bool {
    guest.write32(OLD, 0);
    guest.write32(NEW, 0);
    assert!(guest.store(0, iova, 0xabcd));
    let (old, new) = (guest.read32(OLD), guest.read32(NEW));
    assert_eq!(old ^ new, 0xabcd, "one of them was written");
    new != 0
}

#[test]
fn changes_are_not_seen_without_a_command() {
    let mut guest = stale();
    let walks = guest.counter("walks");
    assert!(!is_new(&mut guest, 0x1000));
    assert_eq!(guest.counter("walks"), walks);
    assert_ne!(guest.counter("iotlb_hits"), 0);
}

#[test]
fn removed_pages_stay_usable_until_invalidated() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, 0);
    let entry = guest.map(root, 4, 0x1000, OLD);
    assert!(guest.store(0, 0x1000, 1));
    guest.write64(entry, 0);
    assert!(guest.store(0, 0x1000, 2));
    guest.run([opcode::INVALIDATE_IOMMU_PAGES | (3 << 32), 0x1000]);
    assert!(!guest.store(0, 0x1000, 3));
    assert_eq!(guest.read32(OLD), 2);
}

#[test]
fn pages_are_invalidated_by_domain_and_address() {
    for (low, high, new) in [
        (3 << 32, 0x1000, true),
        (3 << 32, 0x1002, true),
        (4 << 32, 0x1000, false),
        (3 << 32, 0x2000, false),
        (3 << 32, 0x0000, false),
        // Two pages from 0x0000, four from 0x0000, two from 0x2000.
        (3 << 32, 0x0001, true),
        (3 << 32, 0x1001, true),
        (3 << 32, 0x2001, false),
        // 64 KiB from 0 and from 0x10000.
        (3 << 32, 0x7001, true),
        (3 << 32, 0x1_7001, false),
        (3 << 32, ALL, true),
        (4 << 32, ALL, false),
    ] {
        let mut guest = stale();
        guest.run([opcode::INVALIDATE_IOMMU_PAGES | low, high]);
        assert_eq!(is_new(&mut guest, 0x1000), new, "{low:#x} {high:#x}");
    }
}

#[test]
fn invalidate_all_forgets_pages_and_entries() {
    let mut guest = stale();
    guest.run([opcode::INVALIDATE_IOMMU_ALL, 0]);
    assert!(is_new(&mut guest, 0x1000));
    guest.attach(PF, 4, 0);
    assert!(guest.store(0, 0x1000, 1));
    guest.run([opcode::INVALIDATE_IOMMU_ALL, 0]);
    assert!(!guest.store(0, 0x1000, 1), "the new domain is empty");
}

#[test]
fn other_commands_invalidate_no_pages() {
    for command in [
        [opcode::INVALIDATE_DEVTAB_ENTRY | 0x0100, 0],
        [
            opcode::INVALIDATE_IOTLB_PAGES | 0x0100 | (0x0100 << 32),
            ALL,
        ],
        [opcode::INVALIDATE_INTERRUPT_TABLE | 0x0100, 0],
    ] {
        let mut guest = stale();
        guest.run(command);
        assert!(!is_new(&mut guest, 0x1000), "{command:x?}");
    }
}

#[test]
fn device_table_entries_are_invalidated_by_requester() {
    for (requester, forgotten) in [(PF, true), (VF1, false)] {
        let mut guest = Guest::with_iommu(1);
        let root = guest.attach(PF, 3, 0);
        guest.map(root, 4, 0x1000, OLD);
        assert!(guest.store(0, 0x1000, 1));
        let other = guest.attach(PF, 4, 0);
        guest.map(other, 4, 0x1000, NEW);
        assert!(!is_new(&mut guest, 0x1000), "not yet");
        guest.run([opcode::INVALIDATE_DEVTAB_ENTRY | u64::from(requester), 0]);
        assert_eq!(is_new(&mut guest, 0x1000), forgotten, "{requester:#x}");
    }
}

#[test]
fn pages_of_a_domain_are_shared_by_its_devices() {
    let mut guest = Guest::with_iommu(1);
    guest.enable_vfs(1);
    let root = guest.attach(PF, 3, 0);
    let low = guest.read64(crate::guest::DEVICE_TABLE + u64::from(PF) * 32);
    guest.set_dte(VF1, low, 3);
    guest.map(root, 4, 0x1000, OLD);
    assert!(guest.store(0, 0x1000, 1));
    let walks = guest.counter("walks");
    assert!(guest.store(1, 0x1000, 2));
    assert_eq!(guest.counter("walks"), walks);
}

#[test]
fn absence_is_not_remembered() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, 0);
    assert!(!guest.store(0, 0x1000, 1));
    guest.map(root, 4, 0x1000, OLD);
    assert!(
        guest.store(0, 0x1000, 1),
        "no command is needed to add a page"
    );
}

#[test]
fn permissions_are_remembered() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, 0);
    let entry = guest.set_entry(root, 4, 0x1000, 1, OLD | pte::PR | pte::IR);
    assert!(guest.load(0, 0x1000).is_some());
    guest.write64(entry, OLD | pte::RW);
    assert!(!guest.store(0, 0x1000, 1));
    guest.run([opcode::INVALIDATE_IOMMU_PAGES | (3 << 32), 0x1000]);
    assert!(guest.store(0, 0x1000, 1));
}

#[test]
fn a_large_page_is_forgotten_as_a_whole() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, 0);
    let entry = guest.set_entry(root, 4, 0x20_0000, 2, DATA | pte::RW);
    assert!(guest.store(0, 0x20_0000, 1) && guest.store(0, 0x3f_f000, 1));
    guest.write64(entry, 0);
    assert!(guest.store(0, 0x20_0000, 1));
    guest.run([opcode::INVALIDATE_IOMMU_PAGES | (3 << 32), 0x3f_f000]);
    assert!(!guest.store(0, 0x20_0000, 1));
}

#[test]
fn prefetched_pages_are_remembered() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, 0);
    let first = guest.map(root, 4, 0x1000, OLD);
    let second = guest.map(root, 4, 0x2000, NEW);
    let count = 2 << 24;
    guest.run([
        opcode::PREFETCH_IOMMU_PAGES | (3 << 32) | count | u64::from(PF),
        0x1000,
    ]);
    assert_eq!(
        guest.read64(first) & (pte::A | pte::D),
        0,
        "a prefetch is no access"
    );
    guest.write64(first, 0);
    guest.write64(second, 0);
    assert!(guest.store(0, 0x1000, 1) && guest.store(0, 0x2000, 1));
    assert!(!guest.store(0, 0x3000, 1));
}

#[test]
fn a_prefetch_of_nothing_is_no_error() {
    let mut guest = Guest::with_iommu(1);
    guest.attach(PF, 3, 0);
    guest.run([
        opcode::PREFETCH_IOMMU_PAGES | (3 << 32) | (1 << 24) | u64::from(PF),
        0x1000,
    ]);
    assert_eq!(guest.events(), []);
    assert_eq!(guest.counter("faults"), 0);
}

#[test]
fn a_prefetch_may_invalidate_first() {
    let mut guest = stale();
    let prefetch = opcode::PREFETCH_IOMMU_PAGES | (3 << 32) | u64::from(PF);
    guest.run([prefetch, 0x1000]);
    assert!(
        !is_new(&mut guest, 0x1000),
        "without the bit, and without pages"
    );
    guest.run([prefetch | (1 << 24), 0x1010]);
    assert!(is_new(&mut guest, 0x1000));
}

/// Devices of a domain share translations, but IR and IW are each device's own.
#[test]
fn shared_translations_leave_permissions_to_each_device() {
    for (bit, write) in [(dte::IR, false), (dte::IW, true)] {
        // Who comes first must make no difference.
        for (first, second) in [(0, 1), (1, 0)] {
            let mut guest = Guest::with_iommu(1);
            guest.enable_vfs(1);
            let root = guest.attach(PF, 3, 0);
            guest.map(root, 4, 0x1000, DATA);
            let all = dte::V | dte::TV | dte::mode(4) | root | dte::IR | dte::IW;
            guest.set_dte(VF1, all & !bit, 3);
            for function in [first, second, first] {
                let mut access = |write| match write {
                    true => guest.store(function, 0x1000, 1),
                    false => guest.load(function, 0x1000).is_some(),
                };
                // What is permitted makes the page known to both.
                assert!(access(!write), "{function} of {first}, {second}");
                let done = access(write);
                assert_eq!(done, function == 0, "{function} of {first}, {second}");
            }
            let requesters: Vec<u16> = guest.events().iter().map(|e| e.requester).collect();
            assert!(!requesters.is_empty() && requesters.iter().all(|&id| id == VF1));
        }
    }
}
