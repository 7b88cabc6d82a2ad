// SPDX-License-Identifier: GPL-2.0
//! Registers of the IOMMU.

use crate::guest::{COMMAND_BUFFER, DEVICE_TABLE, ENABLED, EVENT_LOG, Guest};
use crate::wire::{control, feature, region, register, status};

#[test]
fn features_are_announced_and_read_only() {
    let mut guest = Guest::new(1);
    let expected = feature::PREF_SUP
        | feature::NX_SUP
        | feature::IA_SUP
        | feature::GA_SUP
        | feature::HA_SUP
        | feature::HD_SUP;
    assert_eq!(guest.register(register::EXTENDED_FEATURE), expected);
    guest.set_register(register::EXTENDED_FEATURE, !0);
    assert_eq!(guest.register(register::EXTENDED_FEATURE), expected);
}

#[test]
fn base_registers_keep_address_and_length_only() {
    let mut guest = Guest::new(1);
    guest.set_register(register::COMMAND_BUFFER, !0);
    assert_eq!(
        guest.register(register::COMMAND_BUFFER),
        0x0f0f_ffff_ffff_f000
    );
    guest.set_register(register::EVENT_LOG, !0);
    assert_eq!(guest.register(register::EVENT_LOG), 0x0f0f_ffff_ffff_f000);
    guest.set_register(register::DEVICE_TABLE, !0);
    assert_eq!(
        guest.register(register::DEVICE_TABLE),
        0x000f_ffff_ffff_f1ff
    );
}

#[test]
fn halves_of_a_register_can_be_accessed() {
    let mut guest = Guest::new(1);
    let base = register::EVENT_LOG;
    guest
        .iommu
        .region_write(region::BAR0, base, &0x1234_5000_u32.to_le_bytes())
        .expect("low");
    guest
        .iommu
        .region_write(region::BAR0, base + 4, &0x0900_0001_u32.to_le_bytes())
        .expect("high");
    assert_eq!(guest.register(base), 0x0900_0001_1234_5000);
    let mut high = [0; 4];
    guest
        .iommu
        .region_read(region::BAR0, base + 4, &mut high)
        .expect("high");
    assert_eq!(u32::from_le_bytes(high), 0x0900_0001);
}

#[test]
fn pointers_are_aligned_to_entries() {
    let mut guest = Guest::new(1);
    for pointer in [
        register::COMMAND_HEAD,
        register::EVENT_HEAD,
        register::EVENT_TAIL,
    ] {
        guest.set_register(pointer, 0xffff_ffff);
        assert_eq!(guest.register(pointer), 0x7_fff0);
    }
}

/// Also if a half of the register is written; each ring's own pointers only.
#[test]
fn writing_a_base_resets_the_pointers() {
    let rings = [
        (
            register::COMMAND_BUFFER,
            [register::COMMAND_HEAD, register::COMMAND_TAIL],
        ),
        (
            register::EVENT_LOG,
            [register::EVENT_HEAD, register::EVENT_TAIL],
        ),
    ];
    for ((base, own), (_, other)) in [(rings[0], rings[1]), (rings[1], rings[0])] {
        for half in [0, 4] {
            let mut guest = Guest::new(1);
            guest.set_register(base, COMMAND_BUFFER | (8 << 56));
            for pointer in own.into_iter().chain(other) {
                guest.set_register(pointer, 0x40);
            }
            guest
                .iommu
                .region_write(region::BAR0, base + half, &[0; 4])
                .expect("half of a base register");
            assert_eq!(own.map(|pointer| guest.register(pointer)), [0, 0]);
            assert_eq!(other.map(|pointer| guest.register(pointer)), [0x40, 0x40]);
        }
    }
}

#[test]
fn running_bits_follow_the_enables() {
    let mut guest = Guest::with_iommu(1);
    let both = status::EVENT_LOG_RUN | status::CMD_BUF_RUN;
    assert_eq!(guest.register(register::STATUS), both);
    guest.set_register(register::CONTROL, ENABLED & !control::CMD_BUF_EN);
    assert_eq!(guest.register(register::STATUS), status::EVENT_LOG_RUN);
    guest.set_register(register::CONTROL, ENABLED & !control::EVENT_LOG_EN);
    assert_eq!(guest.register(register::STATUS), status::CMD_BUF_RUN);
    guest.set_register(register::CONTROL, ENABLED & !control::IOMMU_EN);
    assert_eq!(guest.register(register::STATUS), 0);
}

#[test]
fn running_bits_cannot_be_written() {
    let mut guest = Guest::with_iommu(1);
    guest.set_register(register::STATUS, !0);
    assert_eq!(
        guest.register(register::STATUS),
        status::EVENT_LOG_RUN | status::CMD_BUF_RUN
    );
}

#[test]
fn rings_shorter_than_256_entries_do_not_run() {
    let mut guest = Guest::with_iommu(1);
    guest.set_register(register::COMMAND_BUFFER, COMMAND_BUFFER | (7 << 56));
    guest.set_register(register::EVENT_LOG, EVENT_LOG | (7 << 56));
    assert_eq!(guest.register(register::STATUS), 0);
}

#[test]
fn reset_returns_to_power_on() {
    let mut guest = Guest::with_iommu(1);
    guest.iommu.reset().expect("DEVICE_RESET");
    for offset in [
        register::DEVICE_TABLE,
        register::COMMAND_BUFFER,
        register::EVENT_LOG,
        register::CONTROL,
        register::STATUS,
    ] {
        assert_eq!(guest.register(offset), 0, "register {offset:#x}");
    }
    assert_ne!(DEVICE_TABLE, 0);
}

#[test]
fn beyond_the_registers_there_is_nothing() {
    let mut guest = Guest::new(1);
    for offset in [0x3000, 0x7_fff8, 0x8_0000, (64 << 20) - 8] {
        guest.set_register(offset, !0);
        assert_eq!(guest.register(offset), 0, "offset {offset:#x}");
    }
}
