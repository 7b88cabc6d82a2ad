// SPDX-License-Identifier: GPL-2.0

//! The transitional PCI device that a VF is made to look like: what its
//! configuration header shows, and what an access to its I/O BAR refers to.
//!
//! The registers are those of virtio 1.4, 4.1.4.10, little-endian. The network
//! device is the only one known here.

/// Bytes of the I/O BAR: the common configuration with its MSI-X vectors, and as
/// much of the device configuration as any legacy driver of a network device uses.
pub const BAR_LEN: usize = 32;

/// Offset of the queue notification register.
pub const NOTIFY: usize = 16;

/// Widths of the registers of the common configuration, which are adjacent:
/// device features, driver features, queue address, queue size, queue select,
/// queue notify, device status, ISR status.
const COMMON: [usize; 8] = [4, 4, 4, 2, 2, 2, 1, 1];

/// What follows while MSI-X is enabled: configuration vector, queue vector.
const VECTORS: [usize; 2] = [2, 2];

/// Widths of the first fields of a network device's configuration: MAC address,
/// status, number of queue pairs, MTU.
const NET_CONFIG: [usize; 4] = [6, 2, 2, 2];

/// Where an access goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// The common configuration, at this offset.
    Common(u8),
    /// The device configuration, at this offset.
    Device(u8),
    /// The queue notification register, all of it.
    Notify,
}

/// Part of an access, which refers to a single field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it goes.
    pub target: Register,
    /// Where its bytes are in those of the access.
    pub start: usize,
    /// Number of its bytes.
    pub len: usize,
}

/// Takes an access of `len` bytes at `offset` of the I/O BAR apart. I/O ports
/// take any width and alignment, commands for a VF only a single field.
///
/// `None` if there is nothing in the access, it goes beyond the BAR, or it is to
/// half of the notification register.
pub fn pieces(msix: bool, offset: u64, len: usize) -> Option<impl Iterator<Item = Piece>> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(len).filter(|&end| end <= BAR_LEN)?;
    if len == 0 {
        return None;
    }
    let notify_end = NOTIFY + 2;
    let touches = start < notify_end && end > NOTIFY;
    if touches && (start > NOTIFY || end < notify_end) {
        return None;
    }
    let vectors = if msix { &VECTORS[..] } else { &[] };
    let common_len = COMMON.iter().chain(vectors).sum::<usize>();
    let widths = COMMON.iter().chain(vectors).chain(&NET_CONFIG);
    let fields = widths.scan(0, |next, width| {
        let field = *next..*next + width;
        *next += width;
        Some(field)
    });
    Some(fields.filter_map(move |field| {
        let from = field.start.max(start);
        let to = field.end.min(end);
        let len = to.checked_sub(from).filter(|&len| len > 0)?;
        let target = match from {
            NOTIFY => Register::Notify,
            // No offset is above BAR_LEN, so that the conversions are exact.
            _ if from < common_len => Register::Common(from as u8),
            _ => Register::Device((from - common_len) as u8),
        };
        Some(Piece {
            target,
            start: from - start,
            len,
        })
    }))
}

/// Bytes of the configuration header.
pub const HEADER_LEN: usize = 64;

const DEVICE_ID: usize = 0x02;
const COMMAND: usize = 0x04;
const REVISION: usize = 0x08;
const BAR0: usize = 0x10;
const SUBSYSTEM_VENDOR: usize = 0x2c;
const SUBSYSTEM: usize = 0x2e;

const COMMAND_IO: u8 = 1;
const BAR_IO: u8 = 1;

const VENDOR_VIRTIO: u16 = 0x1af4;
/// Transitional network device.
const TRANSITIONAL_NET: u16 = 0x1000;
/// A transitional device has its virtio device type here.
const TYPE_NET: u16 = 1;

/// What the configuration header of the device shows, and the registers in it
/// that the VF does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigHeader {
    io_enabled: bool,
    bar0: [u8; 4],
}

impl ConfigHeader {
    /// The header after power-on.
    pub const fn new() -> Self {
        Self {
            io_enabled: false,
            bar0: [0; 4],
        }
    }

    /// Whether the I/O BAR answers (COMMAND.IO).
    pub fn io_enabled(&self) -> bool {
        self.io_enabled
    }

    /// The function was reset: the BAR answers no more. Its address stays, as
    /// VFIO keeps those of the others.
    pub fn reset(&mut self) {
        self.io_enabled = false;
    }

    /// Makes `bytes`, which were read from offset `at` of the VF's configuration
    /// space, those of the device.
    pub fn show(&self, at: usize, bytes: &mut [u8]) {
        for (at, byte) in (at..HEADER_LEN).zip(bytes) {
            if let Some((mask, value)) = self.register(at) {
                *byte = *byte & !mask | value & mask;
            }
        }
    }

    /// `bytes` were written at offset `at` of configuration space.
    pub fn written(&mut self, at: usize, bytes: &[u8]) {
        for (at, &byte) in (at..HEADER_LEN).zip(bytes) {
            if at == COMMAND {
                self.io_enabled = byte & COMMAND_IO != 0;
            }
            if let Some(slot) = at
                .checked_sub(BAR0)
                .and_then(|index| self.bar0.get_mut(index))
            {
                *slot = byte;
            }
        }
    }

    /// Which bits of the byte at `at` are ours, and what they are.
    fn register(&self, at: usize) -> Option<(u8, u8)> {
        let word = |start: usize, value: u16| Some((0xff, value.to_le_bytes()[at - start]));
        match at {
            COMMAND => Some((COMMAND_IO, if self.io_enabled { COMMAND_IO } else { 0 })),
            REVISION => Some((0xff, 0)),
            _ if (DEVICE_ID..DEVICE_ID + 2).contains(&at) => word(DEVICE_ID, TRANSITIONAL_NET),
            _ if (SUBSYSTEM_VENDOR..SUBSYSTEM_VENDOR + 2).contains(&at) => {
                word(SUBSYSTEM_VENDOR, VENDOR_VIRTIO)
            }
            _ if (SUBSYSTEM..SUBSYSTEM + 2).contains(&at) => word(SUBSYSTEM, TYPE_NET),
            _ => {
                let index = at.checked_sub(BAR0)?;
                let raw = *self.bar0.get(index)?;
                // The low bits say the size when all were written, and the kind always.
                let value = match index {
                    0 => raw & !(BAR_LEN as u8 - 1) | BAR_IO,
                    _ => raw,
                };
                Some((0xff, value))
            }
        }
    }
}

/// Whether a place for notifications that the device named can be one: in a
/// BAR other than 0 that has `bar_len` bytes (0 if it is none), and aligned.
pub fn notify_place_is_valid(bar: u8, offset: u64, bar_len: u64) -> bool {
    (1..=5).contains(&bar)
        && offset % 2 == 0
        && offset.checked_add(2).is_some_and(|end| end <= bar_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken_apart(msix: bool, offset: u64, len: usize) -> Vec<(Register, usize, usize)> {
        pieces(msix, offset, len)
            .map(|pieces| pieces.map(|p| (p.target, p.start, p.len)).collect())
            .unwrap_or_default()
    }

    #[test]
    fn registers_are_themselves() {
        for (offset, len) in [(0, 4), (4, 4), (8, 4), (12, 2), (14, 2), (18, 1), (19, 1)] {
            for msix in [false, true] {
                let expected = (Register::Common(offset), 0, len);
                assert_eq!(taken_apart(msix, offset.into(), len), [expected]);
            }
        }
        assert_eq!(taken_apart(true, 16, 2), [(Register::Notify, 0, 2)]);
        assert_eq!(taken_apart(true, 20, 2), [(Register::Common(20), 0, 2)]);
        assert_eq!(taken_apart(true, 22, 2), [(Register::Common(22), 0, 2)]);
        // The device configuration moves with MSI-X.
        assert_eq!(taken_apart(false, 20, 1), [(Register::Device(0), 0, 1)]);
        assert_eq!(taken_apart(true, 24, 1), [(Register::Device(0), 0, 1)]);
        assert_eq!(taken_apart(true, 30, 2), [(Register::Device(6), 0, 2)]);
        assert_eq!(taken_apart(false, 26, 2), [(Register::Device(6), 0, 2)]);
    }

    #[test]
    fn wide_accesses_are_taken_apart() {
        assert_eq!(
            taken_apart(true, 16, 4),
            [
                (Register::Notify, 0, 2),
                (Register::Common(18), 2, 1),
                (Register::Common(19), 3, 1)
            ]
        );
        assert_eq!(
            taken_apart(true, 28, 4),
            [(Register::Device(4), 0, 2), (Register::Device(6), 2, 2)]
        );
        assert_eq!(
            taken_apart(false, 19, 2),
            [(Register::Common(19), 0, 1), (Register::Device(0), 1, 1)]
        );
    }

    #[test]
    fn impossible_accesses() {
        for (offset, len) in [
            (0, 0),
            (31, 2),
            (32, 1),
            (16, 1),
            (17, 1),
            (17, 4),
            (14, 3),
            (u64::MAX, 1),
            (1, usize::MAX),
        ] {
            assert!(pieces(true, offset, len).is_none(), "{len} at {offset}");
        }
    }

    #[test]
    fn the_header_shows_a_transitional_device() {
        let header = ConfigHeader::new();
        let mut bytes = [0xa5; 70];
        header.show(0, &mut bytes);
        assert_eq!(bytes[2..4], [0x00, 0x10]);
        assert_eq!(bytes[4], 0xa4, "COMMAND.IO only");
        assert_eq!(bytes[8], 0);
        assert_eq!(bytes[0x10..0x14], [1, 0, 0, 0]);
        assert_eq!(bytes[0x2c..0x30], [0xf4, 0x1a, 0x01, 0x00]);
        let ours = [2, 3, 4, 8, 0x10, 0x11, 0x12, 0x13, 0x2c, 0x2d, 0x2e, 0x2f];
        for (at, &byte) in bytes.iter().enumerate() {
            assert!(byte == 0xa5 || ours.contains(&at), "{at:#x}");
        }
    }

    #[test]
    fn bar_0_can_be_sized_and_placed() {
        let mut header = ConfigHeader::new();
        header.written(0x10, &[0xff; 4]);
        let mut bar = [0; 4];
        header.show(0x10, &mut bar);
        assert_eq!(u32::from_le_bytes(bar), !31 | 1);
        header.written(0x11, &[0xc0]);
        header.show(0x10, &mut bar);
        assert_eq!(u32::from_le_bytes(bar), 0xffff_c0e1);
        header.reset();
        header.show(0x10, &mut bar);
        assert_eq!(u32::from_le_bytes(bar), 0xffff_c0e1);
    }

    #[test]
    fn command_io() {
        let mut header = ConfigHeader::new();
        assert!(!header.io_enabled());
        header.written(3, &[0xff, 0x07, 0x00]);
        assert!(header.io_enabled());
        let mut command = [0x06, 0];
        header.show(4, &mut command);
        assert_eq!(command, [0x07, 0]);
        header.written(5, &[0]);
        assert!(header.io_enabled(), "the other byte");
        header.reset();
        assert!(!header.io_enabled());
        header.show(4, &mut command);
        assert_eq!(command, [0x06, 0]);
    }

    #[test]
    fn places_for_notifications() {
        assert!(notify_place_is_valid(2, 0, 2));
        assert!(notify_place_is_valid(5, 0xffe, 0x1000));
        assert!(!notify_place_is_valid(0, 0, 0x1000), "BAR 0");
        assert!(!notify_place_is_valid(6, 0, 0x1000), "no such BAR");
        assert!(!notify_place_is_valid(2, 0, 0), "not there");
        assert!(!notify_place_is_valid(2, 1, 0x1000), "odd");
        assert!(!notify_place_is_valid(2, 0x1000, 0x1000), "beyond");
        assert!(!notify_place_is_valid(2, u64::MAX - 1, 0x1000), "wraps");
    }
}
