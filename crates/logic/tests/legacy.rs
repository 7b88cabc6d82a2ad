// SPDX-License-Identifier: GPL-2.0
//! Any access to the I/O BAR is refused or covered by its pieces, each of which
//! is to a single field.

use logic::legacy::{pieces, ConfigHeader, Register};
use proptest::prelude::*;

/// Registers of the I/O BAR as virtio 1.4, 4.1.4.10 and 5.1.4 have them: offset
/// and width of each, without and with MSI-X.
const PLAIN: [(usize, usize); 12] = [
    (0, 4),
    (4, 4),
    (8, 4),
    (12, 2),
    (14, 2),
    (16, 2),
    (18, 1),
    (19, 1),
    (20, 6),
    (26, 2),
    (28, 2),
    (30, 2),
];
const MSIX: [(usize, usize); 12] = [
    (0, 4),
    (4, 4),
    (8, 4),
    (12, 2),
    (14, 2),
    (16, 2),
    (18, 1),
    (19, 1),
    (20, 2),
    (22, 2),
    (24, 6),
    (30, 2),
];

proptest! {
    #[test]
    fn pieces_cover_the_access(msix: bool, offset in 0_u64..40, len in 0_usize..40) {
        let (fields, config) = if msix { (MSIX, 24) } else { (PLAIN, 20) };
        let (start, end) = (offset as usize, offset as usize + len);
        let half = (17..18).contains(&start) || end == 17;
        let Some(found) = pieces(msix, offset, len) else {
            prop_assert!(len == 0 || end > 32 || half, "{len} bytes at {offset} are refused");
            return Ok(());
        };
        prop_assert!(len > 0 && end <= 32 && !half);
        let mut next = start;
        for piece in found {
            let at = match piece.target {
                Register::Common(at) => at.into(),
                Register::Device(at) => config + usize::from(at),
                Register::Notify => 16,
            };
            prop_assert_eq!(at, next);
            prop_assert_eq!(piece.start, next - start);
            next += piece.len;
            let single = fields
                .iter()
                .any(|&(field, width)| at >= field && next <= field + width);
            prop_assert!(single && piece.len > 0);
            prop_assert_eq!(at == 16, piece.target == Register::Notify);
        }
        prop_assert_eq!(next, end);
    }

    /// However the registers are written, a read in one piece and byte by byte
    /// shows the same.
    #[test]
    fn the_header_is_consistent(
        writes in prop::collection::vec((0_usize..80, prop::collection::vec(any::<u8>(), 0..8)), 0..20),
        below in prop::collection::vec(any::<u8>(), 80..=80),
    ) {
        let mut header = ConfigHeader::new();
        let mut bar = [0; 4];
        let mut io = false;
        for (at, bytes) in &writes {
            header.written(*at, bytes);
            for (at, byte) in (*at..).zip(bytes) {
                match at {
                    4 => io = byte & 1 != 0,
                    0x10..0x14 => bar[at - 0x10] = *byte,
                    _ => {}
                }
            }
        }
        let mut whole = below.clone();
        header.show(0, &mut whole);
        for (at, &byte) in whole.iter().enumerate() {
            let mut one = [below[at]];
            header.show(at, &mut one);
            prop_assert_eq!(one[0], byte, "at {:#x}", at);
        }
        prop_assert_eq!(header.io_enabled(), io);
        prop_assert_eq!(whole[4] & 1 != 0, io);
        prop_assert_eq!(&whole[0x11..0x14], &bar[1..]);
        prop_assert_eq!(whole[0x10], bar[0] & 0xe0 | 1);
    }
}
