// SPDX-License-Identifier: GPL-2.0
//! Capabilities that every endpoint has: PCI Express, MSI-X, serial number.

use super::config_space::{ConfigSpace, NoRoom};

const PCI_EXPRESS: u8 = 0x10;
const MSIX: u8 = 0x11;
const SERIAL_NUMBER: u16 = 0x0003;

/// Initiate Function Level Reset, in Device Control; reads as zero.
pub const INITIATE_FLR: u16 = 1 << 15;

/// Adds a PCI Express capability (version 2, endpoint, with function level
/// reset) and returns the offset of Device Control.
pub fn add_pci_express(space: &mut ConfigSpace) -> Result<usize, NoRoom> {
    let mut body = [0; 0x3a];
    let mut put = |at: usize, value: u32| {
        body[at - 2..at + 2].copy_from_slice(&value.to_le_bytes());
    };
    // Device capabilities: role based error reporting, function level reset.
    put(0x04, (1 << 28) | (1 << 15));
    // Link capabilities and status: one lane of 2.5 GT/s.
    put(0x0c, 0x11);
    put(0x10, 0x11 << 16);
    body[0] = 0x02;
    let start = space.add_capability(PCI_EXPRESS, &body)?;
    let device_control = start + 8;
    space.allow_u16(device_control, 0x78ef | INITIATE_FLR);
    Ok(device_control)
}

/// Adds an MSI-X capability whose table and pending bits are at these offsets
/// in BAR `bar`, and returns the offset of Message Control.
pub fn add_msix(
    space: &mut ConfigSpace,
    vectors: u16,
    bar: u8,
    table: u32,
    pending: u32,
) -> Result<usize, NoRoom> {
    let mut body = Vec::with_capacity(10);
    body.extend(vectors.saturating_sub(1).to_le_bytes());
    // The BAR takes the place of the offsets' low bits.
    for offset in [table, pending] {
        body.extend((offset | u32::from(bar)).to_le_bytes());
    }
    let start = space.add_capability(MSIX, &body)?;
    space.allow_u16(start + 2, 0xc000);
    Ok(start + 2)
}

/// Adds a device serial number.
pub fn add_serial_number(space: &mut ConfigSpace, serial: u64) -> Result<usize, NoRoom> {
    space.add_extended(SERIAL_NUMBER, 1, &serial.to_le_bytes())
}
