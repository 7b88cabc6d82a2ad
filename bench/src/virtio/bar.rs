// SPDX-License-Identifier: GPL-2.0
//! What lies where in the BAR, and the capabilities that say so.

/// The BAR of a transitional VF. BAR 0 is where a legacy driver looks for its
/// registers, so that those of the VF must not be there (virtio 1.4, 2.12.1.2.5).
pub const TRANSITIONAL: u8 = 2;

/// Size of the model's part of the BAR.
pub const SIZE: u64 = 0x4000;

pub const COMMON: u64 = 0x0000;
pub const COMMON_LEN: u64 = 64;
pub const ISR: u64 = 0x1000;
pub const DEVICE: u64 = 0x1100;
pub const DEVICE_LEN: u64 = 0x100;
/// Where a legacy driver's notifications go: 16 bits, the number of the queue.
pub const LEGACY_NOTIFY: u64 = 0x1200;
pub const NOTIFY: u64 = 0x2000;
pub const NOTIFY_MULTIPLIER: u32 = 4;
/// The page writer (see [`super::page_writer`]).
pub const PAGE_WRITER: u64 = 0x3000;
pub const PAGE_WRITER_LEN: u64 = 0x10;

const CAP_COMMON_CFG: u8 = 1;
const CAP_NOTIFY_CFG: u8 = 2;
const CAP_ISR_CFG: u8 = 3;
const CAP_DEVICE_CFG: u8 = 4;
const CAP_PCI_CFG: u8 = 5;
const CAP_VENDOR_CFG: u8 = 9;

/// Owner of the vendor data capability: an identifier that nobody was assigned
/// and that emulators use for what is their own.
const VENDOR: u16 = 0x1234;
/// Revision of the page writer's register layout.
const PAGE_WRITER_REVISION: u8 = 1;

/// What an access to the BAR hits. Offsets are within the structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Common(u64),
    Isr,
    Device(u64),
    /// Notification of the queue with this `queue_notify_off`.
    Notify(u16),
    /// Notification of the queue with the number that is written.
    LegacyNotify,
    PageWriter(u64),
    Nothing,
}

/// Decodes an offset in the BAR.
pub fn decode(offset: u64) -> Place {
    match offset {
        o if o < COMMON + COMMON_LEN => Place::Common(o - COMMON),
        ISR => Place::Isr,
        o if (DEVICE..DEVICE + DEVICE_LEN).contains(&o) => Place::Device(o - DEVICE),
        LEGACY_NOTIFY => Place::LegacyNotify,
        o if (NOTIFY..PAGE_WRITER).contains(&o) => {
            // The area has 1024 slots, so the conversion cannot fail.
            let slot = (o - NOTIFY) / u64::from(NOTIFY_MULTIPLIER);
            u16::try_from(slot).map_or(Place::Nothing, Place::Notify)
        }
        o if (PAGE_WRITER..PAGE_WRITER + PAGE_WRITER_LEN).contains(&o) => {
            Place::PageWriter(o - PAGE_WRITER)
        }
        _ => Place::Nothing,
    }
}

/// The virtio capabilities of a function with `queues` queues and `config_len`
/// bytes of device configuration in BAR `bar`, each from `cap_len` on.
pub fn capabilities(bar: u8, queues: u16, config_len: u32) -> Vec<Vec<u8>> {
    let location = |kind, cap_len, offset, len| location(bar, kind, cap_len, offset, len);
    let notify_len = u32::from(queues) * NOTIFY_MULTIPLIER;
    let mut notify = location(CAP_NOTIFY_CFG, 20, NOTIFY, notify_len);
    notify.extend(NOTIFY_MULTIPLIER.to_le_bytes());
    vec![
        location(CAP_COMMON_CFG, 16, COMMON, COMMON_LEN as u32),
        notify,
        location(CAP_ISR_CFG, 16, ISR, 1),
        location(CAP_DEVICE_CFG, 16, DEVICE, config_len),
        window(),
        page_writer(bar),
    ]
}

/// A `struct virtio_pci_cap`.
fn location(bar: u8, kind: u8, cap_len: u8, offset: u64, len: u32) -> Vec<u8> {
    let mut cap = vec![cap_len, kind, bar, 0, 0, 0];
    cap.extend((offset as u32).to_le_bytes());
    cap.extend(len.to_le_bytes());
    cap
}

/// A `struct virtio_pci_cfg_cap`, which the driver fills in and which the PCI
/// side makes work: a window onto the BAR in configuration space.
fn window() -> Vec<u8> {
    let mut cap = location(0, CAP_PCI_CFG, 20, 0, 0);
    cap.extend([0; 4]);
    cap
}

/// A `struct virtio_pci_vndr_data`: BAR, revision, offset and length of the
/// page writer.
fn page_writer(bar: u8) -> Vec<u8> {
    let mut cap = vec![16, CAP_VENDOR_CFG];
    cap.extend(VENDOR.to_le_bytes());
    cap.extend([bar, PAGE_WRITER_REVISION]);
    cap.extend((PAGE_WRITER as u32).to_le_bytes());
    cap.extend((PAGE_WRITER_LEN as u32).to_le_bytes());
    cap
}
