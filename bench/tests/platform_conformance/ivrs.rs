// SPDX-License-Identifier: GPL-2.0
//! The IVRS table, byte by byte.

use crate::wire::feature;
use vfio_bench::iommu::registers::{FEATURES, HOST_ACCESSED, HOST_DIRTY};

fn u16_at(table: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(table[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(table: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(table[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(table: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(table[at..at + 8].try_into().expect("eight bytes"))
}

#[test]
fn header() {
    let table = vfio_bench::assembly::ivrs(1, FEATURES);
    assert_eq!(&table[..4], b"IVRS");
    assert_eq!(u32_at(&table, 4) as usize, table.len());
    assert_eq!(table[8], 2, "revision");
    let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    assert_eq!(sum, 0, "checksum");
    assert_ne!(u32_at(&table, 36) & 1, 0, "IVinfo: EFRSup");
}

#[test]
fn hardware_definition() {
    let table = vfio_bench::assembly::ivrs(1, FEATURES);
    let ivhd = &table[48..];
    assert_eq!(ivhd[0], 0x11, "type");
    assert_eq!(
        usize::from(u16_at(ivhd, 2)),
        ivhd.len(),
        "length, with the entries"
    );
    assert_eq!(u16_at(ivhd, 4), 0x1e << 3, "device id");
    assert_eq!(u16_at(ivhd, 6), 0x40, "capability offset");
    assert_eq!(u64_at(ivhd, 8), 0xf800_0000, "register base");
    assert_eq!(u16_at(ivhd, 16), 0, "segment");
    let features = feature::PREF_SUP
        | feature::NX_SUP
        | feature::IA_SUP
        | feature::GA_SUP
        | feature::HA_SUP
        | feature::HD_SUP;
    assert_eq!(u64_at(ivhd, 24), features, "as the register says");
    assert_eq!(u64_at(ivhd, 32), 0);
}

#[test]
fn without_dirty_bits() {
    let bits = HOST_ACCESSED | HOST_DIRTY;
    let table = vfio_bench::assembly::ivrs(1, FEATURES & !bits);
    let offered = u64_at(&table[48..], 24);
    assert_eq!(offered & (feature::HA_SUP | feature::HD_SUP), 0);
    assert_eq!(offered | bits, FEATURES);
}

#[test]
fn devices() {
    let table = vfio_bench::assembly::ivrs(1, FEATURES);
    let entries = &table[48 + 40..];
    // Start of range 01:00.0, end of range 01:00.7.
    assert_eq!(entries, [3, 0x00, 0x01, 0, 4, 0x07, 0x01, 0]);
}
