// SPDX-License-Identifier: GPL-2.0
//! Entries of the command buffer.

use super::cache::InvalidationRange;

/// A decoded command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    CompletionWait {
        store: Option<(u64, u64)>,
        interrupt: bool,
    },
    InvalidateDeviceTableEntry {
        requester: u16,
    },
    InvalidateIommuPages {
        domain: u16,
        range: InvalidationRange,
    },
    /// For the IOTLB of a device with ATS; nothing here has one.
    InvalidateIotlbPages,
    /// Interrupts are not remapped, so that there is nothing to drop.
    InvalidateInterruptTable,
    PrefetchIommuPages(Prefetch),
    InvalidateIommuAll,
}

/// A hint that pages will soon be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefetch {
    pub requester: u16,
    pub domain: u16,
    pub address: u64,
    pub count: u8,
    /// Drop what is remembered of these pages first.
    pub invalidate: Option<InvalidationRange>,
}

/// Unknown opcode, or reserved bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Illegal;

impl Command {
    /// Decodes the two quadwords of a command.
    pub fn decode(low: u64, high: u64) -> Result<Self, Illegal> {
        let decoded = match low >> 60 {
            0x1 => {
                reserved(low, 0x0ff0_0000_0000_0000)?;
                let address = low & 0x000f_ffff_ffff_fff8;
                Self::CompletionWait {
                    store: (low & 1 != 0).then_some((address, high)),
                    interrupt: low & 2 != 0,
                }
            }
            0x2 => {
                reserved(low, 0x0fff_ffff_ffff_0000)?;
                reserved(high, u64::MAX)?;
                Self::InvalidateDeviceTableEntry {
                    requester: low as u16,
                }
            }
            0x3 => {
                reserved(low, 0x0fff_0000_ffff_ffff)?;
                // Guest translations (GN) are not offered; PDE makes no
                // difference, as upper levels are not remembered.
                reserved(high, 0xffc)?;
                Self::InvalidateIommuPages {
                    domain: (low >> 32) as u16,
                    range: range(high),
                }
            }
            0x4 => {
                reserved(high, 0xffe)?;
                Self::InvalidateIotlbPages
            }
            0x5 => {
                reserved(low, 0x0fff_ffff_ffff_0000)?;
                reserved(high, u64::MAX)?;
                Self::InvalidateInterruptTable
            }
            0x6 => {
                reserved(low, 0x0fff_0000_00ff_0000)?;
                reserved(high, 0xfec)?;
                Self::PrefetchIommuPages(Prefetch {
                    requester: low as u16,
                    domain: (low >> 32) as u16,
                    address: high & !0xfff,
                    count: (low >> 24) as u8,
                    invalidate: (high & 0x10 != 0).then(|| range(high)),
                })
            }
            0x8 => {
                reserved(low, 0x0fff_ffff_ffff_ffff)?;
                reserved(high, u64::MAX)?;
                Self::InvalidateIommuAll
            }
            _ => return Err(Illegal),
        };
        Ok(decoded)
    }

    /// The specification's name, as counters go by it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CompletionWait { .. } => "COMPLETION_WAIT",
            Self::InvalidateDeviceTableEntry { .. } => "INVALIDATE_DEVTAB_ENTRY",
            Self::InvalidateIommuPages { .. } => "INVALIDATE_IOMMU_PAGES",
            Self::InvalidateIotlbPages => "INVALIDATE_IOTLB_PAGES",
            Self::InvalidateInterruptTable => "INVALIDATE_INTERRUPT_TABLE",
            Self::PrefetchIommuPages(_) => "PREFETCH_IOMMU_PAGES",
            Self::InvalidateIommuAll => "INVALIDATE_IOMMU_ALL",
        }
    }
}

fn range(high: u64) -> InvalidationRange {
    InvalidationRange::decode(high & !0xfff, high & 1 != 0)
}

fn reserved(word: u64, mask: u64) -> Result<(), Illegal> {
    if word & mask == 0 {
        Ok(())
    } else {
        Err(Illegal)
    }
}
