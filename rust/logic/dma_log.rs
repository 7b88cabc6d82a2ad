// SPDX-License-Identifier: GPL-2.0

//! Decisions of DMA logging: where what is reported comes from, and in pages of
//! which size.

use crate::vfio::Span;

/// What the administrator wants, see parameter `dma_logging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// No DMA logging for users who can ask iommufd for dirty pages; everything
    /// is dirty for all others.
    Auto,
    /// The IOMMU's dirty bits or nothing.
    Iommu,
    /// Everything is dirty, always.
    Conservative,
    /// No DMA logging.
    Off,
}

impl Policy {
    /// In the order of their numbers.
    const ALL: [Self; 4] = [Self::Auto, Self::Iommu, Self::Conservative, Self::Off];

    /// By number.
    pub fn from_number(number: usize) -> Option<Self> {
        Self::ALL.get(number).copied()
    }

    /// Its number.
    pub fn number(self) -> usize {
        self as usize
    }

    /// By the name that administrators use.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.name().as_bytes() == name)
    }

    /// The name that administrators use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Iommu => "iommu",
            Self::Conservative => "conservative",
            Self::Off => "off",
        }
    }

    /// Where the answers come from for a device that is being opened; `None` if
    /// it is to have no DMA logging.
    ///
    /// VMMs ask the device before they ask iommufd, and QEMU takes it that a
    /// guest with a virtual IOMMU cannot be migrated if the device is to be asked.
    /// So `Auto` leaves to iommufd who can be served by it.
    pub fn source(self, user: User) -> Option<LogSource> {
        let tracked = user.has_page_tables && user.iommu_tracks;
        match self {
            Self::Auto => (!tracked).then_some(LogSource::Everything),
            Self::Iommu => tracked.then_some(LogSource::Iommu),
            Self::Conservative => Some(LogSource::Everything),
            Self::Off => None,
        }
    }
}

/// Whom a device is opened for, as far as dirty pages are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Can allocate page tables at iommufd and ask it for their dirty bits.
    pub has_page_tables: bool,
    /// The IOMMU in front of the device has page tables with dirty bits.
    pub iommu_tracks: bool,
}

/// Where reports come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSource {
    /// From the dirty bits of the page table that the device was attached to when
    /// logging started.
    Iommu,
    /// All that may have been written: all pages.
    Everything,
}

/// The page size to log in, given what userspace wants and a bitmap of what can
/// be done: the largest that is not larger than wanted, or else the smallest.
/// `None` if what is wanted is no page size, or nothing can be done.
pub fn page_size(wanted: u64, able: u64) -> Option<u64> {
    if !wanted.is_power_of_two() {
        return None;
    }
    let not_larger = able & (wanted | (wanted - 1));
    if not_larger != 0 {
        Some(1 << not_larger.ilog2())
    } else {
        able.checked_ilog2().map(|_| 1 << able.trailing_zeros())
    }
}

/// What of `range` a device can reach, `None` if that is nothing. Without a known
/// aperture it may be all of it.
pub fn reachable(range: Span, aperture: Option<Span>) -> Option<Span> {
    match aperture {
        Some(aperture) => range.intersection(aperture),
        None => Some(range),
    }
}
