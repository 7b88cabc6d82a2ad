// SPDX-License-Identifier: GPL-2.0
//! Configuration space, BAR 0 and interrupts of an endpoint.

use std::os::fd::AsRawFd;

use vfio_bench::testing::scratch;
use vfio_bench::testing::scratch::register as scratch_register;

use crate::guest::{DATA, Guest, fired};
use crate::wire::{irq, pci, region};

#[test]
fn identity() {
    let mut guest = Guest::new(1);
    assert_eq!(guest.config32(0, pci::VENDOR_ID), 0x5678_1234);
    assert_eq!(guest.config32(0, pci::CLASS), 0xff00_0001);
    assert_eq!(guest.config32(0, pci::SUBSYSTEM), 0x0001_1234);
    assert_eq!(
        guest.config16(0, pci::STATUS) & 0x10,
        0x10,
        "has capabilities"
    );
    assert_eq!(guest.read_config::<1>(0, 0x0e), [0], "type 0 header");
}

#[test]
fn identity_is_read_only() {
    let mut guest = Guest::new(1);
    let before: [u8; 12] = guest.read_config(0, pci::VENDOR_ID);
    guest.write_config(0, pci::VENDOR_ID, &[0; 4]);
    guest.write_config(0, pci::STATUS, &[0xff; 6]);
    assert_eq!(guest.read_config(0, pci::VENDOR_ID), before);
}

#[test]
fn capabilities_are_chained() {
    let mut guest = Guest::new(1);
    let ids: Vec<u8> = guest
        .capabilities(0)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    let expected = [
        pci::CAP_EXPRESS,
        pci::CAP_MSIX,
        pci::CAP_VENDOR,
        pci::CAP_VENDOR,
        pci::CAP_VENDOR,
    ];
    assert_eq!(ids, expected);
    for (_, offset) in guest.capabilities(0) {
        assert_eq!(offset % 4, 0);
    }
}

#[test]
fn vendor_capabilities_are_those_of_the_model() {
    let mut guest = Guest::new(1);
    let vendor: Vec<u64> = guest
        .capabilities(0)
        .into_iter()
        .filter(|(id, _)| *id == pci::CAP_VENDOR)
        .map(|(_, offset)| offset)
        .collect();
    assert_eq!(guest.read_config(0, vendor[0] + 2), [8, 0xaa, 1, 2, 3, 4]);
    assert_eq!(guest.read_config(0, vendor[1] + 2), [6, 0xbb, 5, 6]);
}

/// Offsets in struct virtio_pci_cfg_cap.
mod window {
    pub const BAR: u64 = 4;
    pub const OFFSET: u64 = 8;
    pub const LENGTH: u64 = 12;
    pub const DATA: u64 = 16;
}

#[test]
fn the_virtio_window_reaches_bar_0() {
    let mut guest = Guest::new(1);
    let at = guest.capabilities(0).last().expect("the window").1;
    let target = scratch_register::VALUE as u32;
    guest.write_config(0, at + window::OFFSET, &target.to_le_bytes());
    guest.write_config(0, at + window::LENGTH, &4_u32.to_le_bytes());
    guest.write_config(0, at + window::DATA, &0x1234_5678_u32.to_le_bytes());
    assert_eq!(guest.bar32(0, scratch_register::VALUE), 0x1234_5678);
    guest.set_bar32(0, scratch_register::VALUE, 0x9abc_def0);
    assert_eq!(guest.config32(0, at + window::DATA), 0x9abc_def0);
    guest.write_config(0, at + window::LENGTH, &2_u32.to_le_bytes());
    assert_eq!(guest.config32(0, at + window::DATA) & 0xffff, 0xdef0);
}

#[test]
fn a_window_that_makes_no_sense_reaches_nothing() {
    for (bar, offset, length) in [
        (1, 0, 4),
        (0, 2, 4),
        (0, 0, 3),
        (0, 0, 0),
        (0, 0xffff_fffc, 4),
    ] {
        let mut guest = Guest::new(1);
        let at = guest.capabilities(0).last().expect("the window").1;
        guest.set_bar32(0, scratch_register::VALUE, 7);
        guest.write_config(0, at + window::BAR, &[bar]);
        guest.write_config(0, at + window::OFFSET, &u32::to_le_bytes(offset));
        guest.write_config(0, at + window::LENGTH, &u32::to_le_bytes(length));
        guest.write_config(0, at + window::DATA, &[0xff; 4]);
        assert_eq!(
            guest.bar32(0, scratch_register::VALUE),
            7,
            "{bar} {offset:#x} {length}"
        );
    }
}

#[test]
fn pci_express_endpoint_with_flr() {
    let mut guest = Guest::new(1);
    let express = guest.capability(0, pci::CAP_EXPRESS);
    assert_eq!(
        guest.config16(0, express + 2),
        0x0002,
        "version 2, endpoint"
    );
    let device = guest.config32(0, express + 4);
    assert_ne!(device & (1 << 28), 0, "function level reset");
}

#[test]
fn the_bar_can_be_sized() {
    let mut guest = Guest::new(1);
    let size = guest.functions[0].region(region::BAR0).expect("BAR 0").size;
    assert!(size.is_power_of_two() && size >= scratch::BAR_SIZE + 0x2000);
    guest.write_config(0, pci::BAR0, &[0xff; 8]);
    assert_eq!(
        guest.config32(0, pci::BAR0),
        !(size as u32 - 1) | 0x4,
        "64 bits"
    );
    assert_eq!(guest.config32(0, pci::BAR1), !0);
}

#[test]
fn msix_table_is_behind_the_model() {
    let mut guest = Guest::new(1);
    let msix = guest.capability(0, pci::CAP_MSIX);
    assert_eq!(guest.config16(0, msix + 2), scratch::VECTORS - 1);
    let table = u64::from(guest.config32(0, msix + 4));
    let pending = u64::from(guest.config32(0, msix + 8));
    assert_eq!((table & 7, pending & 7), (0, 0), "both in BAR 0");
    assert!(table >= scratch::BAR_SIZE && pending >= table + 0x1000);
    let size = guest.functions[0].region(region::BAR0).expect("BAR 0").size;
    assert!(pending + 0x1000 <= size);

    assert_eq!(guest.bar32(0, table + 12), 1, "masked");
    guest.set_bar32(0, table, 0xfee0_0000);
    guest.set_bar32(0, table + 12, 0);
    assert_eq!(
        (guest.bar32(0, table), guest.bar32(0, table + 12)),
        (0xfee0_0000, 0)
    );
    assert_eq!(guest.bar32(0, table + 0x800), 0, "no entry");
    assert_eq!(guest.bar32(0, pending), 0);

    guest.flr(0);
    assert_eq!((guest.bar32(0, table), guest.bar32(0, table + 12)), (0, 1));
}

#[test]
fn msix_control_keeps_enable_and_mask_only() {
    let mut guest = Guest::new(1);
    let control = guest.capability(0, pci::CAP_MSIX) + 2;
    guest.write_config(0, control, &[0xff; 2]);
    assert_eq!(guest.config16(0, control), 0xc000 | (scratch::VECTORS - 1));
    guest.flr(0);
    assert_eq!(guest.config16(0, control), scratch::VECTORS - 1);
}

#[test]
fn interrupt_counts() {
    let mut guest = Guest::new(1);
    let mut count = |index| {
        guest.functions[0]
            .get_irq_info(index)
            .expect("IRQ info")
            .count
    };
    let counts = [irq::INTX, irq::MSI, irq::MSIX, irq::ERR, irq::REQ].map(&mut count);
    assert_eq!(counts, [0, 0, u32::from(scratch::VECTORS), 1, 1]);
}

#[test]
fn vectors_reach_their_own_listener() {
    let mut guest = Guest::new(1);
    let events = guest.listen(0, 3);
    for vector in 0..3 {
        guest.set_bar32(0, scratch_register::INTERRUPT, vector);
        // A read on the same function comes after the write.
        guest.bar32(0, scratch_register::VALUE);
        let heard: Vec<bool> = events.iter().map(fired).collect();
        let expected: Vec<bool> = (0..3).map(|other| other == vector).collect();
        assert_eq!(heard, expected);
    }
    for vector in [3, 4, 0xffff] {
        guest.set_bar32(0, scratch_register::INTERRUPT, vector);
    }
    guest.bar32(0, scratch_register::VALUE);
    assert!(!events.iter().any(fired), "nobody listens there");
}

#[test]
fn listeners_can_be_replaced_and_removed() {
    let mut guest = Guest::new(1);
    let old = guest.listen(0, 2);
    let new = guest.listen(0, 1);
    guest.set_bar32(0, scratch_register::INTERRUPT, 0);
    guest.set_bar32(0, scratch_register::INTERRUPT, 1);
    guest.bar32(0, scratch_register::VALUE);
    assert!(!fired(&old[0]) && fired(&old[1]) && fired(&new[0]));

    // DATA_EVENTFD without a file takes the listener of one vector away.
    guest.functions[0]
        .set_irqs(irq::MSIX, irq::SET_EVENTFD, 1, 1, &[])
        .expect("SET_IRQS");
    guest.set_bar32(0, scratch_register::INTERRUPT, 1);
    guest.bar32(0, scratch_register::VALUE);
    assert!(!fired(&old[1]));

    guest.functions[0]
        .set_irqs(irq::MSIX, irq::SET_NONE, 0, 0, &[])
        .expect("SET_IRQS");
    guest.set_bar32(0, scratch_register::INTERRUPT, 0);
    guest.bar32(0, scratch_register::VALUE);
    assert!(!fired(&new[0]));
}

#[test]
fn vectors_out_of_range_are_refused() {
    let mut guest = Guest::new(1);
    let events = guest.listen(0, 4);
    let fd = events[0].as_raw_fd();
    // The client drops the error reply; what counts is that nothing changed.
    guest.functions[0]
        .set_irqs(irq::MSIX, irq::SET_EVENTFD, 3, 2, &[fd, fd])
        .expect("reply");
    guest.functions[0]
        .set_irqs(irq::MSIX, irq::SET_EVENTFD, !0, 2, &[fd, fd])
        .expect("reply");
    guest.set_bar32(0, scratch_register::INTERRUPT, 3);
    guest.bar32(0, scratch_register::VALUE);
    assert!(fired(&events[3]) && !fired(&events[0]));
}

#[test]
fn loopback_triggers_vectors() {
    let mut guest = Guest::new(1);
    let events = guest.listen(0, 3);
    guest.functions[0]
        .set_irqs(irq::MSIX, irq::SET_NONE, 1, 1, &[])
        .expect("SET_IRQS");
    let heard: Vec<bool> = events.iter().map(fired).collect();
    assert_eq!(heard, [false, true, false]);
}

#[test]
fn bus_master_gates_dma_and_interrupts() {
    let mut guest = Guest::new(1);
    let events = guest.listen(0, 1);
    guest.set_command(0, pci::MEMORY);
    assert!(!guest.store(0, DATA, 7));
    assert_eq!(guest.load(0, DATA), None);
    guest.set_bar32(0, scratch_register::INTERRUPT, 0);
    guest.bar32(0, scratch_register::VALUE);
    assert!(!fired(&events[0]));
    assert_eq!(guest.read32(DATA), 0);

    guest.set_command(0, pci::MEMORY | pci::BUS_MASTER);
    assert!(guest.store(0, DATA, 7));
    guest.set_bar32(0, scratch_register::INTERRUPT, 0);
    guest.bar32(0, scratch_register::VALUE);
    assert!(fired(&events[0]));
}

#[test]
fn flr_resets_model_and_configuration() {
    let mut guest = Guest::new(1);
    guest.set_bar32(0, scratch_register::VALUE, 0x1234);
    guest.write_config(0, pci::BAR0, &0xfe00_0000_u32.to_le_bytes());
    guest.flr(0);
    let device_control = guest.capability(0, pci::CAP_EXPRESS) + 8;
    assert_eq!(guest.config16(0, device_control), 0, "reads as zero");
    assert_eq!(guest.resets(0), ["Flr"]);
    assert_eq!(guest.config16(0, pci::COMMAND), 0);
    assert_eq!(guest.config32(0, pci::BAR0), 0x4);
    guest.set_command(0, pci::MEMORY | pci::BUS_MASTER);
    assert_eq!(guest.bar32(0, scratch_register::VALUE), 0);
}

#[test]
fn device_control_without_the_bit_resets_nothing() {
    let mut guest = Guest::new(1);
    let device_control = guest.capability(0, pci::CAP_EXPRESS) + 8;
    guest.write_config(0, device_control, &0x281f_u16.to_le_bytes());
    assert_eq!(
        guest.config16(0, device_control),
        0x280f,
        "bit 4 is not writable"
    );
    assert!(guest.resets(0).is_empty());
}

#[test]
fn device_reset_is_a_bus_reset() {
    let mut guest = Guest::new(1);
    guest.set_bar32(0, scratch_register::VALUE, 0x1234);
    guest.functions[0].reset().expect("DEVICE_RESET");
    assert_eq!(guest.resets(0), ["Bus"]);
    assert!(guest.resets(1).is_empty());
    assert_eq!(guest.bar32(0, scratch_register::VALUE), 0);
}
