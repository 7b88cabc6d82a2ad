// SPDX-License-Identifier: GPL-2.0
//! The IVRS ACPI table: tells the guest where the unit is and whom it serves.

use super::registers::FEATURES_2;

/// What the table announces.
#[derive(Clone, Copy, Debug)]
pub struct Ivrs {
    /// Requester id of the IOMMU's PCI function.
    pub function: u16,
    /// Offset of the IOMMU capability in its configuration space.
    pub capability: u16,
    /// Physical address of the registers.
    pub registers: u64,
    /// What the unit offers.
    pub features: u64,
    /// First and last requester id that it translates.
    pub requesters: (u16, u16),
}

impl Ivrs {
    /// The table, ready for QEMU's `-acpitable file=`.
    pub fn table(&self) -> Vec<u8> {
        let ivhd = self.ivhd();
        let length = 36 + 12 + ivhd.len();
        let mut table = Vec::with_capacity(length);
        table.extend(b"IVRS");
        table.extend((length as u32).to_le_bytes());
        // Revision, then the checksum, which is filled in last.
        table.extend([2, 0]);
        table.extend(b"VFIOBN");
        table.extend(b"VFIOBNCH");
        table.extend(1_u32.to_le_bytes());
        table.extend(b"BNCH");
        table.extend(1_u32.to_le_bytes());
        // IVinfo: virtual addresses of 64 bits, physical ones of 48, feature words valid.
        table.extend(((64_u32 << 15) | (48 << 8) | 1).to_le_bytes());
        table.extend([0; 8]);
        table.extend(ivhd);
        let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        table[9] = sum.wrapping_neg();
        table
    }

    /// An I/O virtualization hardware definition of type 0x11, with one range.
    fn ivhd(&self) -> Vec<u8> {
        let (first, last) = self.requesters;
        let mut entries = Vec::new();
        for (kind, requester) in [(3_u8, first), (4, last)] {
            entries.push(kind);
            entries.extend(requester.to_le_bytes());
            entries.push(0);
        }
        let mut ivhd = Vec::new();
        ivhd.extend([0x11, 0]);
        ivhd.extend((40 + entries.len() as u16).to_le_bytes());
        ivhd.extend(self.function.to_le_bytes());
        ivhd.extend(self.capability.to_le_bytes());
        ivhd.extend(self.registers.to_le_bytes());
        // PCI segment, IOMMU info, feature attributes.
        ivhd.extend([0; 8]);
        ivhd.extend(self.features.to_le_bytes());
        ivhd.extend(FEATURES_2.to_le_bytes());
        ivhd.extend(entries);
        ivhd
    }
}
