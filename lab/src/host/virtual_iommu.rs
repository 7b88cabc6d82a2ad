// SPDX-License-Identifier: GPL-2.0
//! An IOMMU of the guest's own.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::trace;

/// What the guest does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VirtualIommu {
    /// Devices have all of memory, each byte at its own address.
    Identity,
    /// Devices have what drivers map, when they do.
    Translating,
}

impl VirtualIommu {
    /// Word for the guest's kernel.
    pub fn word(self) -> &'static str {
        match self {
            Self::Identity => "iommu=pt",
            Self::Translating => "iommu=nopt",
        }
    }

    /// QEMU's trace event by which it is known that the guest does so.
    pub fn event(self) -> &'static str {
        match self {
            Self::Identity => "vtd_dmar_enable",
            Self::Translating => "vfio_listener_region_add_iommu",
        }
    }

    /// Whether the guest has done so, by what QEMU printed.
    pub fn is_used(self, log: &str) -> Result<bool> {
        trace::ensure_known(log, &[self.event()])?;
        Ok(match self {
            Self::Identity => trace::events(log, self.event()).any(|what| what == "enable 1"),
            Self::Translating => trace::has_event(log, self.event()),
        })
    }

    /// Whether a device can write pages at their addresses in the guest's memory.
    pub fn is_transparent(self) -> bool {
        self == Self::Identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_is_seen_in_the_trace() {
        let enabled = "1@2.5:vtd_dmar_enable enable 1\n";
        let mapped = "1@2.5:vfio_listener_region_add_iommu region_add [iommu] vtd 0x0 - 0xfff\n";
        let neither = "1@2.5:vtd_dmar_enable enable 0\n";
        assert!(VirtualIommu::Identity.is_used(enabled).unwrap());
        assert!(VirtualIommu::Translating.is_used(mapped).unwrap());
        for kind in [VirtualIommu::Identity, VirtualIommu::Translating] {
            assert!(!kind.is_used(neither).unwrap());
        }
        assert!(!VirtualIommu::Translating.is_used(enabled).unwrap());
    }
}
