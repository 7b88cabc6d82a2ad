// SPDX-License-Identifier: GPL-2.0

//! What IOMMUs can do.

use crate::{
    abi,
    compat::DIRTY_BITS_ARE_LOST, //
};
use core::ptr::{
    self,
    addr_of_mut, //
};
use kernel::{
    bindings,
    device::Core,
    pci, //
};

/// Can dirty bits of an IOMMU be read, where an IOMMU has any? See `domain.c`.
pub(crate) fn dirty_bits_readable() -> bool {
    // SAFETY: The function has no requirements.
    !DIRTY_BITS_ARE_LOST && unsafe { abi::vvp_domain_readable() }
}

/// Does the IOMMU in front of the device set dirty bits, in domains made for it, and does the
/// kernel give them to who asks?
pub(crate) fn iommu_tracks(pdev: &pci::Device<Core<'_>>) -> bool {
    if DIRTY_BITS_ARE_LOST {
        return false;
    }
    let pdev = ptr::from_ref(pdev).cast::<bindings::pci_dev>().cast_mut();
    // SAFETY: `pci::Device` is a transparent wrapper of `pci_dev`, and the device is valid.
    unsafe {
        bindings::device_iommu_capable(
            addr_of_mut!((*pdev).dev),
            bindings::iommu_cap_IOMMU_CAP_DIRTY_TRACKING,
        )
    }
}
