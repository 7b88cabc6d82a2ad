// SPDX-License-Identifier: GPL-2.0
//! The vendor capability by which a function of the bench says that it is one, and where
//! its page writer is.

/// Offset of the pointer to the first capability.
const CAPABILITIES: usize = 0x34;
/// PCI capability id of vendor-specific capabilities, virtio's among them.
const VENDOR_SPECIFIC: u8 = 0x09;
/// virtio_pci_cap type of vendor data.
const VENDOR_CFG: u8 = 9;
/// Owner of the page writer's vendor data.
const BENCH_VENDOR: u16 = 0x1234;

/// Where a function has its page writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub bar: u8,
    pub offset: u32,
}

/// Looks for the page writer's capability in an image of configuration space.
pub fn page_writer(config: &[u8]) -> Option<Place> {
    let byte = |at: usize| config.get(at).copied();
    let mut at = usize::from(byte(CAPABILITIES)? & 0xfc);
    // 48 capabilities are all that fit: a longer chain is a loop.
    for _ in 0..48 {
        if at == 0 {
            return None;
        }
        let vendor = u16::from_le_bytes([byte(at + 4)?, byte(at + 5)?]);
        if byte(at)? == VENDOR_SPECIFIC && byte(at + 3)? == VENDOR_CFG && vendor == BENCH_VENDOR {
            let offset = config.get(at + 8..at + 12)?.try_into().ok()?;
            return Some(Place {
                bar: byte(at + 6)?,
                offset: u32::from_le_bytes(offset),
            });
        }
        at = usize::from(byte(at + 1)? & 0xfc);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Vec<u8> {
        let mut config = vec![0; 256];
        config[CAPABILITIES] = 0x40;
        config[0x40..0x44].copy_from_slice(&[0x11, 0x50, 0, 0]);
        config[0x50..0x54].copy_from_slice(&[VENDOR_SPECIFIC, 0x60, 16, 1]);
        config[0x60..0x70].copy_from_slice(&[
            VENDOR_SPECIFIC,
            0,
            16,
            9,
            0x34,
            0x12,
            2,
            1,
            0,
            0x30,
            0,
            0,
            0x10,
            0,
            0,
            0,
        ]);
        config
    }

    #[test]
    fn found_behind_other_capabilities() {
        let place = Place {
            bar: 2,
            offset: 0x3000,
        };
        assert_eq!(page_writer(&config()), Some(place));
    }

    #[test]
    fn others_have_none() {
        let mut foreign = config();
        foreign[0x64] = 0;
        assert_eq!(page_writer(&foreign), None);
        assert_eq!(page_writer(&[]), None);
        let mut endless = config();
        endless[0x51] = 0x40;
        assert_eq!(page_writer(&endless), None);
    }
}
