// SPDX-License-Identifier: GPL-2.0
//! SR-IOV: the capability in its disguise and without, VFs that come and go.

use vfio_bench::testing::scratch::register as scratch_register;

use crate::guest::{DATA, Guest};
use crate::wire::{pci, region, sriov};

#[test]
fn the_capability_is_disguised_until_the_first_reset() {
    let mut guest = Guest::new(2);
    let before = guest.extended(0);
    let ids: Vec<u16> = before.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [pci::EXT_SERIAL, pci::EXT_VENDOR]);
    let at = before[1].1;
    assert_eq!(guest.config32(0, at + 4), 0x0400_0001, "VSEC of 0x40 bytes");
    guest.functions[0].reset().expect("DEVICE_RESET");
    assert_eq!(
        guest.extended(0),
        [(pci::EXT_SERIAL, before[0].1), (pci::EXT_SRIOV, at)]
    );
    assert_eq!(guest.config32(0, at + 4), 0);
    guest.functions[0].reset().expect("DEVICE_RESET");
    assert_eq!(guest.sriov(), at, "and from then on");
}

#[test]
fn in_disguise_nothing_can_be_enabled() {
    let mut guest = Guest::new(2);
    let at = guest.extended(0)[1].1;
    guest.write_config(0, at + sriov::NUM_VFS, &[2, 0]);
    guest.write_config(0, at + sriov::CONTROL, &[9, 0]);
    assert_eq!(guest.config16(0, at + sriov::CONTROL), 0);
    assert_eq!(guest.config16(1, pci::VENDOR_ID), 0xffff);
}

#[test]
fn vfs_have_no_such_capability() {
    let mut guest = Guest::new(2);
    guest.enable_vfs(2);
    assert_eq!(guest.extended(1).len(), 1);
}

#[test]
fn what_the_capability_says() {
    let mut guest = Guest::new(3);
    guest.reset_machine();
    let at = guest.sriov();
    assert_eq!(guest.config16(0, at + sriov::INITIAL_VFS), 3);
    assert_eq!(guest.config16(0, at + sriov::TOTAL_VFS), 3);
    assert_eq!(guest.config16(0, at + sriov::FIRST_OFFSET), 1);
    assert_eq!(guest.config16(0, at + sriov::STRIDE), 1);
    assert_eq!(guest.config16(0, at + sriov::VF_DEVICE_ID), 0x5678);
    assert_eq!(guest.config32(0, at + sriov::PAGE_SIZES) & 1, 1, "4 KiB");
    assert_eq!(guest.config32(0, at + sriov::PAGE_SIZE), 1);
    let size = guest.functions[1].region(region::BAR0).expect("BAR 0").size;
    guest.write_config(0, at + sriov::VF_BAR0, &[0xff; 8]);
    assert_eq!(
        guest.config32(0, at + sriov::VF_BAR0),
        !(size as u32 - 1) | 0x4
    );
    assert_eq!(guest.config32(0, at + sriov::VF_BAR1), !0);
    guest.write_config(0, at + sriov::TOTAL_VFS, &[0xff; 2]);
    assert_eq!(guest.config16(0, at + sriov::TOTAL_VFS), 3, "read-only");
}

/// VFs whose BAR 0 is to be free for something else.
#[test]
fn vfs_with_another_bar() {
    let mut guest = Guest::with_vf_bar(1, 2);
    guest.enable_vfs(1);
    let at = guest.sriov();
    guest.write_config(0, at + sriov::VF_BAR0, &[0xff; 16]);
    assert_eq!(guest.config32(0, at + sriov::VF_BAR0), 0, "hardwired");
    assert_eq!(guest.config32(0, at + sriov::VF_BAR1), 0, "hardwired");
    let size = guest.functions[1].region(2).expect("BAR 2").size;
    assert_eq!(
        guest.config32(0, at + sriov::VF_BAR2),
        !(size as u32 - 1) | 0x4
    );
    assert_eq!(guest.config32(0, at + sriov::VF_BAR3), !0);

    assert_eq!(
        guest.functions[1].region(region::BAR0).map(|r| r.size),
        Some(0)
    );
    guest.write_config(1, pci::BAR0, &[0xff; 16]);
    assert_eq!(guest.config32(1, pci::BAR0), 0);
    assert_eq!(guest.config32(1, pci::BAR2), !(size as u32 - 1) | 0x4);
    let msix = guest.capability(1, pci::CAP_MSIX);
    assert_eq!(guest.config32(1, msix + 4) & 7, 2, "BAR of the MSI-X table");
    assert_eq!(
        guest.config32(1, msix + 8) & 7,
        2,
        "BAR of the pending bits"
    );

    let value = 0x1357_9bdf_u32;
    let function = &mut guest.functions[1];
    function
        .region_write(2, scratch_register::VALUE, &value.to_le_bytes())
        .expect("BAR 2");
    let mut data = [0; 4];
    function
        .region_read(2, scratch_register::VALUE, &mut data)
        .expect("BAR 2");
    assert_eq!(u32::from_le_bytes(data), value);
}

#[test]
fn only_enabled_vfs_exist() {
    let mut guest = Guest::new(3);
    guest.reset_machine();
    for function in 1..=3 {
        assert_eq!(guest.config32(function, pci::VENDOR_ID), !0);
        assert_eq!(guest.bar32(function, scratch_register::VALUE), !0);
    }
    guest.enable_vfs(2);
    assert_eq!(guest.state()["num_vfs"], 2);
    for function in 1..=2 {
        assert_eq!(guest.config32(function, pci::VENDOR_ID), 0x5678_1234);
        guest.set_bar32(function, scratch_register::VALUE, 5);
        assert_eq!(guest.bar32(function, scratch_register::VALUE), 5);
    }
    assert_eq!(guest.config32(3, pci::VENDOR_ID), !0);
    assert_eq!(guest.bar32(3, scratch_register::VALUE), !0);
}

#[test]
fn vfs_that_do_not_exist_ignore_writes() {
    let mut guest = Guest::new(1);
    guest.reset_machine();
    let at = guest.sriov();
    guest.write_config(0, at + sriov::NUM_VFS, &[1, 0]);
    guest.set_bar32(1, scratch_register::VALUE, 5);
    guest.set_command(1, pci::MEMORY | pci::BUS_MASTER);
    guest.write_config(1, pci::BAR0, &0xfe00_0000_u32.to_le_bytes());
    let enable = sriov::VF_ENABLE | sriov::VF_MSE;
    guest.write_config(0, at + sriov::CONTROL, &enable.to_le_bytes());
    assert_eq!(guest.bar32(1, scratch_register::VALUE), 0);
    assert_eq!(guest.config16(1, pci::COMMAND), 0);
    assert_eq!(guest.config32(1, pci::BAR0), 0x4);
    assert!(!guest.store(1, DATA, 1), "it is no bus master");
}

#[test]
fn vf_bars_answer_while_vf_memory_is_enabled() {
    let mut guest = Guest::new(1);
    guest.enable_vfs(1);
    guest.set_bar32(1, scratch_register::VALUE, 5);
    let at = guest.sriov();
    guest.write_config(0, at + sriov::CONTROL, &sriov::VF_ENABLE.to_le_bytes());
    assert_eq!(guest.config32(1, pci::VENDOR_ID), 0x5678_1234);
    assert_eq!(guest.bar32(1, scratch_register::VALUE), !0);
    guest.set_bar32(1, scratch_register::VALUE, 6);
    let enable = sriov::VF_ENABLE | sriov::VF_MSE;
    guest.write_config(0, at + sriov::CONTROL, &enable.to_le_bytes());
    assert_eq!(guest.bar32(1, scratch_register::VALUE), 5, "as it was");
    // The PF's own BAR is another matter.
    guest.write_config(0, at + sriov::CONTROL, &[0, 0]);
    guest.set_bar32(0, scratch_register::VALUE, 7);
    assert_eq!(guest.bar32(0, scratch_register::VALUE), 7);
}

#[test]
fn num_vfs_is_fixed_while_enabled() {
    let mut guest = Guest::new(3);
    guest.enable_vfs(1);
    let at = guest.sriov();
    guest.write_config(0, at + sriov::NUM_VFS, &[3, 0]);
    assert_eq!(guest.config16(0, at + sriov::NUM_VFS), 1);
    assert_eq!(guest.config32(2, pci::VENDOR_ID), !0);
    guest.write_config(0, at + sriov::CONTROL, &[0, 0]);
    guest.write_config(0, at + sriov::NUM_VFS, &[3, 0]);
    assert_eq!(guest.config16(0, at + sriov::NUM_VFS), 3);
}

#[test]
fn no_more_vfs_than_there_are() {
    let mut guest = Guest::new(2);
    guest.enable_vfs(2);
    let at = guest.sriov();
    guest.write_config(0, at + sriov::CONTROL, &[0, 0]);
    guest.write_config(0, at + sriov::NUM_VFS, &[200, 0]);
    guest.write_config(0, at + sriov::CONTROL, &[9, 0]);
    assert_eq!(guest.state()["num_vfs"], 2);
}

#[test]
fn clearing_vf_enable_resets_the_vfs() {
    let mut guest = Guest::new(3);
    guest.enable_vfs(2);
    let (pf, vf3) = (guest.resets(0), guest.resets(3));
    guest.write_config(1, pci::BAR0, &0xfe00_0000_u32.to_le_bytes());
    let at = guest.sriov();
    guest.write_config(0, at + sriov::CONTROL, &[0, 0]);
    for function in 1..=2 {
        assert_eq!(
            guest.resets(function).last().map(String::as_str),
            Some("VfDisable")
        );
        assert_eq!(guest.config32(function, pci::VENDOR_ID), !0);
        assert_eq!(guest.config16(function, pci::COMMAND), 0);
        assert!(!guest.store(function, DATA, 1));
    }
    assert_eq!(guest.read32(DATA), 0);
    assert_eq!(
        (guest.resets(0), guest.resets(3)),
        (pf, vf3),
        "nobody else is reset"
    );
    assert_eq!(guest.config32(1, pci::BAR0), 0x4);
    assert_eq!(guest.state()["num_vfs"], 0);
}

#[test]
fn flr_of_the_pf_ends_the_vfs() {
    let mut guest = Guest::new(2);
    guest.enable_vfs(2);
    guest.flr(0);
    let at = guest.sriov();
    assert_eq!(guest.config16(0, at + sriov::CONTROL), 0);
    assert_eq!(guest.config16(0, at + sriov::NUM_VFS), 0);
    for function in 1..=2 {
        assert_eq!(guest.config32(function, pci::VENDOR_ID), !0);
        assert_eq!(
            guest.resets(function).last().map(String::as_str),
            Some("VfDisable")
        );
    }
}

#[test]
fn flr_of_a_vf_is_its_own() {
    let mut guest = Guest::new(2);
    guest.enable_vfs(2);
    let (pf, other) = (guest.resets(0), guest.resets(2));
    guest.set_bar32(1, scratch_register::VALUE, 5);
    guest.set_bar32(2, scratch_register::VALUE, 6);
    guest.write_config(1, pci::BAR0, &0xfe00_0000_u32.to_le_bytes());
    guest.flr(1);
    assert_eq!(guest.resets(1).last().map(String::as_str), Some("Flr"));
    assert_eq!((guest.resets(0), guest.resets(2)), (pf, other));
    assert_eq!(guest.bar32(1, scratch_register::VALUE), 0);
    assert_eq!(guest.bar32(2, scratch_register::VALUE), 6);
    // Its memory is enabled by the PF, so it keeps that, but no bus mastering.
    assert_eq!(guest.config16(1, pci::COMMAND), pci::MEMORY);
    assert_eq!(guest.config32(1, pci::BAR0), 0xfe00_0004);
}

#[test]
fn vfs_do_dma_once_they_exist() {
    let mut guest = Guest::new(2);
    guest.enable_vfs(1);
    assert!(guest.store(1, DATA, 9));
    assert_eq!(guest.read32(DATA), 9);
    assert_eq!(guest.load(1, DATA), Some(9));
}

fn remove(guest: &Guest, function: &str, gone: bool) {
    let request = format!(r#"{{"cmd":"remove","function":"{function}","gone":{gone}}}"#);
    guest.control.answer(request.as_bytes()).expect("done");
}

#[test]
fn a_vf_that_is_pulled_out() {
    let mut guest = Guest::new(2);
    guest.enable_vfs(2);
    guest.set_bar32(1, scratch_register::VALUE, 7);
    remove(&guest, "vf1", true);
    for at in [pci::VENDOR_ID, pci::BAR0, 0x100] {
        assert_eq!(guest.config32(1, at), !0, "{at:#x}");
    }
    guest.set_bar32(1, scratch_register::VALUE, 8);
    assert_eq!(guest.bar32(1, scratch_register::VALUE), !0);
    assert!(!guest.store(1, DATA, 1), "no access to memory");
    assert_ne!(
        guest.config16(2, pci::VENDOR_ID),
        0xffff,
        "the other one stays"
    );
    // Back, as after power-on.
    remove(&guest, "vf1", false);
    assert_eq!(guest.config16(1, pci::VENDOR_ID), 0x1234);
    assert_eq!(guest.config16(1, pci::COMMAND), 0);
    assert_eq!(guest.bar32(1, scratch_register::VALUE), 0);
}

#[test]
fn a_pf_that_is_pulled_out_takes_its_vfs_along() {
    let mut guest = Guest::new(1);
    guest.enable_vfs(1);
    remove(&guest, "pf", true);
    assert_eq!(guest.config32(0, pci::VENDOR_ID), !0);
    assert_eq!(guest.config16(1, pci::VENDOR_ID), 0xffff);
    remove(&guest, "pf", false);
    assert_eq!(guest.config16(0, pci::VENDOR_ID), 0x1234);
    assert_eq!(guest.config16(1, pci::VENDOR_ID), 0xffff, "not enabled");
    guest.enable_vfs(1);
    assert_ne!(guest.config16(1, pci::VENDOR_ID), 0xffff);
    assert!(
        guest
            .control
            .answer(br#"{"cmd":"remove","function":"vf9","gone":true}"#)
            .is_err()
    );
}
