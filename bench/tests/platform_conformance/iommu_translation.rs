// SPDX-License-Identifier: GPL-2.0
//! Device table entries and page tables.

use crate::guest::{DATA, DEVICE_TABLE, Event, Guest, PF, RAM, VF1, VF2};
use crate::wire::{dte, event, opcode, pte, register};

const PAGE: u64 = DATA + 0x3000;

fn page_fault(requester: u16, domain: u16, address: u64, flags: u64) -> Event {
    Event {
        code: event::IO_PAGE_FAULT,
        flags,
        domain,
        requester,
        address,
    }
}

#[test]
fn everything_passes_while_the_iommu_is_off() {
    let mut guest = Guest::new(1);
    assert!(guest.store(0, PAGE, 7));
    assert_eq!(guest.read32(PAGE), 7);
    assert_eq!(guest.load(0, PAGE), Some(7));
}

#[test]
fn entries_that_are_not_valid_pass_everything() {
    let mut guest = Guest::with_iommu(1);
    // All other bits of the entry are ignored.
    guest.set_dte(PF, dte::mode(7) | dte::HAD_RESERVED | (1 << 63), 0);
    assert!(guest.store(0, PAGE, 7));
    assert_eq!(guest.read32(PAGE), 7);
    assert_eq!(guest.events(), []);
}

#[test]
fn entries_without_translation_block_everything() {
    let mut guest = Guest::with_iommu(1);
    guest.set_dte(PF, dte::V | dte::IR | dte::IW, 9);
    assert!(!guest.store(0, PAGE, 7));
    assert_eq!(guest.load(0, PAGE), None);
    assert_eq!(guest.read32(PAGE), 0);
    let faults = [
        page_fault(PF, 9, PAGE, event::RW),
        page_fault(PF, 9, PAGE, 0),
    ];
    assert_eq!(guest.events(), faults);
}

#[test]
fn mode_zero_passes_what_it_permits() {
    for (bits, loads, stores) in [
        (0, false, false),
        (dte::IR, true, false),
        (dte::IW, false, true),
        (dte::IR | dte::IW, true, true),
    ] {
        let mut guest = Guest::with_iommu(1);
        guest.set_dte(PF, dte::V | dte::TV | bits, 9);
        assert_eq!(guest.load(0, PAGE).is_some(), loads, "{bits:#x}");
        assert_eq!(guest.store(0, PAGE, 7), stores, "{bits:#x}");
        let mut expected = Vec::new();
        if !loads {
            expected.push(page_fault(PF, 9, PAGE, event::PR | event::PE));
        }
        if !stores {
            expected.push(page_fault(PF, 9, PAGE, event::PR | event::PE | event::RW));
        }
        assert_eq!(guest.events(), expected, "{bits:#x}");
    }
}

#[test]
fn tables_of_one_to_six_levels() {
    for levels in 1..=6 {
        let mut guest = Guest::with_iommu(1);
        // An address that needs every level; a table of six covers 64 bits.
        let iova = match levels {
            6 => 0x8123_4567_89ab_c000,
            _ => ((1 << (9 * levels)) - 2) << 12,
        };
        let root = guest.new_table();
        guest.set_dte(
            PF,
            dte::V | dte::TV | dte::mode(levels) | root | dte::IR | dte::IW,
            3,
        );
        guest.map(root, levels, iova, PAGE);
        assert!(guest.store(0, iova + 0x10, 5), "{levels} levels");
        assert_eq!(guest.read32(PAGE + 0x10), 5, "{levels} levels");
        if levels < 6 {
            let beyond = iova | (1 << (12 + 9 * levels));
            assert!(!guest.store(0, beyond, 5), "{levels} levels");
            assert_eq!(guest.events(), [page_fault(PF, 3, beyond, event::RW)]);
        }
    }
}

#[test]
fn pages_that_are_not_present_fault() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, 0);
    guest.map(root, 4, 0x1000, PAGE);
    assert!(!guest.store(0, 0x2004, 1));
    assert_eq!(guest.load(0, 0x2004), None);
    let faults = [
        page_fault(PF, 3, 0x2004, event::RW),
        page_fault(PF, 3, 0x2004, 0),
    ];
    assert_eq!(guest.events(), faults);
    assert_eq!(guest.counter("faults"), 2);
}

#[test]
fn permissions_are_those_of_all_levels() {
    for (directory, leaf, loads, stores) in [
        (pte::RW, pte::RW, true, true),
        (pte::RW, pte::PR | pte::IR, true, false),
        (pte::RW, pte::PR | pte::IW, false, true),
        (pte::PR | pte::IR, pte::RW, true, false),
        (pte::PR | pte::IW, pte::RW, false, true),
        (pte::PR | pte::IW, pte::PR | pte::IR, false, false),
    ] {
        let mut guest = Guest::with_iommu(1);
        let root = guest.attach(PF, 3, 0);
        let table = guest.new_table();
        guest.set_entry(root, 4, 0x1000, 2, table | directory | pte::next_level(1));
        guest.write64(table + 8, PAGE | leaf);
        assert_eq!(
            guest.load(0, 0x1000).is_some(),
            loads,
            "{directory:#x} {leaf:#x}"
        );
        assert_eq!(
            guest.store(0, 0x1000, 1),
            stores,
            "{directory:#x} {leaf:#x}"
        );
        let mut expected = Vec::new();
        if !loads {
            expected.push(page_fault(PF, 3, 0x1000, event::PR | event::PE));
        }
        if !stores {
            expected.push(page_fault(PF, 3, 0x1000, event::PR | event::PE | event::RW));
        }
        assert_eq!(guest.events(), expected);
    }
}

#[test]
fn the_device_table_entry_limits_permissions_too() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.new_table();
    guest.set_dte(PF, dte::V | dte::TV | dte::mode(4) | root | dte::IR, 3);
    guest.map(root, 4, 0x1000, PAGE);
    assert!(guest.load(0, 0x1000).is_some());
    assert!(!guest.store(0, 0x1000, 1));
}

#[test]
fn large_pages() {
    for (level, size) in [(2, 1_u64 << 21), (3, 1 << 30)] {
        let mut guest = Guest::with_iommu(1);
        let root = guest.attach(PF, 3, 0);
        let iova = 5 * size;
        // The target of a page of 1 GiB can only be address 0 here.
        let target = if level == 2 { DATA } else { 0 };
        guest.set_entry(root, 4, iova, level, target | pte::RW);
        let offset = if level == 2 { 0x12_3450 } else { PAGE };
        assert!(guest.store(0, iova + offset, 6), "level {level}");
        assert_eq!(guest.read32(target + offset), 6, "level {level}");
    }
}

/// Writes a page of `bits` address bits as entries with next level 7 at `level`.
fn map_contiguous(guest: &mut Guest, root: u64, iova: u64, target: u64, level: u64, bits: u64) {
    let ones = ((1 << (bits - 13)) - 1) << 12;
    let leaf = target | ones | pte::RW | pte::next_level(7);
    let step = 1_u64 << (12 + 9 * (level - 1));
    for at in (iova..iova + (1 << bits)).step_by(step as usize) {
        guest.set_entry(root, 4, at, level, leaf);
    }
}

#[test]
fn contiguous_entries_make_pages_between_the_levels() {
    for (level, bits) in [(1, 13), (1, 14), (1, 16), (1, 20), (2, 22)] {
        let mut guest = Guest::with_iommu(1);
        let root = guest.attach(PF, 3, 0);
        let size = 1 << bits;
        let iova = 3 * size;
        map_contiguous(&mut guest, root, iova, DATA, level, bits);
        for offset in [0, size / 2 + 8, size - 4] {
            let value = offset as u32 ^ 0x5a5a;
            assert!(guest.store(0, iova + offset, value), "2^{bits}");
            assert_eq!(guest.read32(DATA + offset), value, "2^{bits}");
        }
        assert!(!guest.store(0, iova + size, 1));
        assert!(!guest.store(0, iova - 4, 1));
    }
}

#[test]
fn contiguous_sizes_must_lie_between_the_levels() {
    // Sizes that belong to the level above or below.
    for (level, ones) in [(1, 8), (1, 12), (2, 0), (2, 7), (2, 17)] {
        let mut guest = Guest::with_iommu(1);
        let root = guest.attach(PF, 3, 0);
        let run = ((1_u64 << ones) - 1) << 12;
        guest.set_entry(
            root,
            4,
            0x20_0000,
            level,
            run | pte::RW | pte::next_level(7),
        );
        assert!(!guest.store(0, 0x20_0000, 1), "level {level}, {ones} ones");
        let flags = event::PR | event::RZ | event::RW;
        assert_eq!(guest.events(), [page_fault(PF, 3, 0x20_0000, flags)]);
    }
}

#[test]
fn levels_can_be_skipped_where_the_address_has_zeros() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, 0);
    let table = guest.new_table();
    guest.set_entry(root, 4, 0, 4, table | pte::RW | pte::next_level(1));
    guest.write64(table + 2 * 8, PAGE | pte::RW);
    assert!(guest.store(0, 0x2000, 4));
    assert_eq!(guest.read32(PAGE), 4);
    // The same entry, reached by an address with bits set in a skipped level.
    for iova in [0x20_2000, 0x4000_2000] {
        assert!(!guest.store(0, iova, 4), "{iova:#x}");
        assert_eq!(guest.events(), [page_fault(PF, 3, iova, event::RW)]);
    }
}

#[test]
fn next_levels_must_descend() {
    for next in [3, 4, 5, 6] {
        let mut guest = Guest::with_iommu(1);
        let root = guest.attach(PF, 3, 0);
        let table = guest.new_table();
        guest.set_entry(root, 4, 0x1000, 3, table | pte::RW | pte::next_level(next));
        assert!(!guest.store(0, 0x1000, 1));
        let flags = event::PR | event::RZ | event::RW;
        assert_eq!(
            guest.events(),
            [page_fault(PF, 3, 0x1000, flags)],
            "next level {next}"
        );
    }
}

#[test]
fn reserved_bits_of_entries_fault() {
    for bit in 52..=58 {
        let mut guest = Guest::with_iommu(1);
        let root = guest.attach(PF, 3, 0);
        guest.set_entry(root, 4, 0x1000, 1, PAGE | pte::RW | (1 << bit));
        assert_eq!(guest.load(0, 0x1000), None, "bit {bit}");
        let flags = event::PR | event::RZ;
        assert_eq!(
            guest.events(),
            [page_fault(PF, 3, 0x1000, flags)],
            "bit {bit}"
        );
    }
}

#[test]
fn the_topmost_level_maps_no_pages() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.new_table();
    guest.set_dte(
        PF,
        dte::V | dte::TV | dte::mode(6) | root | dte::IR | dte::IW,
        3,
    );
    guest.write64(root, pte::RW);
    assert!(!guest.store(0, PAGE, 1));
    assert_eq!(
        guest.events(),
        [page_fault(PF, 3, PAGE, event::PR | event::RZ | event::RW)]
    );
}

#[test]
fn illegal_device_table_entries_are_reported() {
    for bits in [
        dte::mode(7),
        dte::HAD_RESERVED,
        1 << 2,
        1 << 6,
        1 << 54,
        1 << 55,
        1 << 63,
    ] {
        let mut guest = Guest::with_iommu(1);
        let root = guest.new_table();
        guest.map(root, 4, 0x1000, PAGE);
        let good = dte::V | dte::TV | root | dte::IR | dte::IW | dte::mode(4);
        guest.set_dte(PF, good | bits, 3);
        assert!(!guest.store(0, 0x1000, 1), "{bits:#x}");
        let expected = Event {
            code: event::ILLEGAL_DEV_TABLE_ENTRY,
            flags: event::RW | event::RZ,
            domain: 0,
            requester: PF,
            address: 0x1000,
        };
        assert_eq!(guest.events(), [expected], "{bits:#x}");
    }
}

#[test]
fn requesters_beyond_the_table_are_reported() {
    let mut guest = Guest::with_iommu(1);
    // 128 entries, fewer than the PF's routing id.
    guest.set_register(register::DEVICE_TABLE, DEVICE_TABLE);
    assert_eq!(guest.load(0, PAGE), None);
    let events = guest.events();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].code, events[0].flags),
        (event::ILLEGAL_DEV_TABLE_ENTRY, 0)
    );
    assert_eq!((events[0].requester, events[0].address), (PF, PAGE));
}

#[test]
fn a_device_table_outside_memory_is_reported() {
    let mut guest = Guest::with_iommu(1);
    guest.set_register(register::DEVICE_TABLE, RAM | 0x1ff);
    assert!(!guest.store(0, PAGE, 1));
    let events = guest.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].code, event::DEV_TAB_HARDWARE_ERROR);
    assert_eq!(events[0].address, RAM + u64::from(PF) * 32);
}

#[test]
fn page_tables_outside_memory_are_reported() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, 0);
    guest.set_entry(root, 4, 0x1000, 2, RAM | pte::RW | pte::next_level(1));
    assert!(!guest.store(0, 0x1000, 1));
    let expected = Event {
        code: event::PAGE_TAB_HARDWARE_ERROR,
        flags: 0,
        domain: 3,
        requester: PF,
        address: RAM + 8,
    };
    assert_eq!(guest.events(), [expected]);
}

#[test]
fn an_access_may_span_pages() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, 0);
    guest.map(root, 4, 0x1000, PAGE + 0x5000);
    guest.map(root, 4, 0x2000, PAGE);
    assert!(guest.store(0, 0x1ffe, 0x4433_2211));
    assert_eq!(guest.read32(PAGE + 0x5ffc) >> 16, 0x2211);
    assert_eq!(guest.read32(PAGE) & 0xffff, 0x4433);
    assert_eq!(guest.load(0, 0x1ffe), Some(0x4433_2211));
}

#[test]
fn an_access_that_faults_half_way_changes_nothing() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, 0);
    guest.map(root, 4, 0x1000, PAGE);
    assert!(!guest.store(0, 0x1ffe, !0));
    assert_eq!(guest.read64(PAGE + 0xff8), 0);
    assert_eq!(guest.events(), [page_fault(PF, 3, 0x2000, event::RW)]);
}

#[test]
fn each_requester_has_its_own_view() {
    let mut guest = Guest::with_iommu(2);
    guest.enable_vfs(2);
    for (requester, domain, target) in [(VF1, 1, PAGE), (VF2, 2, PAGE + 0x1000)] {
        let root = guest.attach(requester, domain, 0);
        guest.map(root, 4, 0x1000, target);
    }
    assert!(guest.store(1, 0x1000, 11));
    assert!(guest.store(2, 0x1000, 22));
    assert_eq!((guest.read32(PAGE), guest.read32(PAGE + 0x1000)), (11, 22));
    assert!(!guest.store(2, 0x2000, 1));
    assert_eq!(guest.events(), [page_fault(VF2, 2, 0x2000, event::RW)]);
}

#[test]
fn memory_that_is_not_there_is_not_written() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, 0);
    guest.map(root, 4, 0x1000, RAM);
    assert!(!guest.store(0, 0x1000, 1));
    assert_eq!(guest.load(0, 0x1000), None);
    assert_eq!(guest.events(), [], "the IOMMU has nothing against it");
    assert_eq!(guest.counter("outside"), 2);
}

#[test]
fn interrupt_addresses_are_not_memory() {
    let mut guest = Guest::with_iommu(1);
    let root = guest.attach(PF, 3, 0);
    for iova in [0xfedf_f000, 0xfee0_0000, 0xfeef_f000, 0xfef0_0000] {
        guest.map(root, 4, iova, PAGE);
    }
    assert!(guest.store(0, 0xfedf_f000, 1) && guest.store(0, 0xfef0_0000, 1));
    assert!(!guest.store(0, 0xfee0_0000, 2) && !guest.store(0, 0xfeef_f000, 2));
    assert_eq!(guest.read32(PAGE), 1);
}

#[test]
fn addresses_at_the_end_do_not_wrap() {
    let mut guest = Guest::with_iommu(1);
    assert!(!guest.store(0, u64::MAX - 1, 1));
    assert!(!guest.store(0, RAM - 2, 1));
}

#[test]
fn se_logs_the_first_fault_only() {
    let mut guest = Guest::with_iommu(1);
    guest.attach(PF, 3, 0);
    let low = guest.read64(DEVICE_TABLE + u64::from(PF) * 32);
    guest.set_dte(PF, low, 3 | dte::SE);
    assert!(!guest.store(0, 0x1000, 1) && !guest.store(0, 0x2000, 1));
    assert_eq!(guest.events(), [page_fault(PF, 3, 0x1000, event::RW)]);
    assert_eq!(guest.counter("faults"), 2);
    guest.run([opcode::INVALIDATE_DEVTAB_ENTRY | u64::from(PF), 0]);
    assert!(!guest.store(0, 0x3000, 1));
    assert_eq!(guest.events(), [page_fault(PF, 3, 0x3000, event::RW)]);
}

#[test]
fn sa_logs_no_fault() {
    let mut guest = Guest::with_iommu(1);
    guest.attach(PF, 3, 0);
    let low = guest.read64(DEVICE_TABLE + u64::from(PF) * 32);
    guest.set_dte(PF, low, 3 | dte::SA);
    assert!(!guest.store(0, 0x1000, 1));
    assert_eq!(guest.events(), []);
    assert_eq!(guest.counter("faults"), 1);
}
