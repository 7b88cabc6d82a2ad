// SPDX-License-Identifier: GPL-2.0

//! Decisions of DMA logging: where what is reported comes from, and in pages of
//! which size.

use super::span::Span;

/// What the administrator wants, see parameter `dma_logging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The IOMMU's dirty bits where they can be had, else everything.
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

    /// Is DMA logging a feature of the device?
    ///
    /// `readable` says that dirty bits of the IOMMU can be read, if it has any.
    /// If they cannot, and `iommu_tracks`, then userspace that asks iommufd for
    /// them is served better than it would be by us, and it would ask us first.
    pub fn offers_logging(self, readable: bool, iommu_tracks: bool) -> bool {
        match self {
            Self::Auto => readable || !iommu_tracks,
            Self::Iommu => readable && iommu_tracks,
            Self::Conservative => true,
            Self::Off => false,
        }
    }

    /// Where reports come from when logging starts; `None` if it cannot.
    pub fn source(self, domain_tracks: bool) -> Option<Source> {
        match (self, domain_tracks) {
            (Self::Auto | Self::Iommu, true) => Some(Source::Iommu),
            (Self::Auto, false) | (Self::Conservative, _) => Some(Source::Everything),
            (Self::Iommu, false) | (Self::Off, _) => None,
        }
    }
}

/// Where reports come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the dirty bits of the domain that the device was attached to when
    /// logging started.
    Iommu,
    /// All that may have been written: all pages.
    Everything,
    /// From nowhere. What was written is not known, and `Everything` is not
    /// wanted.
    Lost,
}

impl Source {
    /// The device is attached to another domain, or none: bits that nobody read
    /// are in the old one, and what was written until the new one could track
    /// is in none.
    pub fn after_change(self, policy: Policy) -> Self {
        match (self, policy) {
            (Self::Iommu, Policy::Iommu) | (Self::Lost, _) => Self::Lost,
            _ => Self::Everything,
        }
    }
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
