// SPDX-License-Identifier: GPL-2.0

//! The vtables through which VFIO calls a variant driver, and the functions in them.

mod device;
mod dma_log;
mod migration;
mod regions;

use super::{
    driver::Driver,
    migration::Migration,
    regions::Regions, //
};
use crate::abi;
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    str::as_char_ptr_in_const_context, //
};

/// Vtables of driver `D`.
pub(super) struct Ops<D>(PhantomData<D>);

impl<D: Driver> Ops<D> {
    /// Device operations: those of `vfio-pci-core`, but for opening and closing,
    /// for the lifetime of our part of the device, and for what the driver implements.
    pub(super) const DEVICE: &'static abi::vfio_device_ops = &abi::vfio_device_ops {
        name: as_char_ptr_in_const_context(D::NAME).cast_mut(),
        init: Some(device::init::<D>),
        release: Some(device::release::<D>),
        open_device: Some(device::open::<D>),
        close_device: Some(device::close::<D>),
        ioctl: if D::Regions::HAS_IOCTL {
            Some(regions::ioctl::<D>)
        } else {
            Some(abi::vfio_pci_core_ioctl)
        },
        get_region_info_caps: Some(regions::region_info::<D>),
        device_feature: if D::Regions::HAS_FEATURE {
            Some(regions::feature::<D>)
        } else {
            Some(abi::vfio_pci_core_ioctl_feature)
        },
        read: Some(regions::read::<D>),
        write: Some(regions::write::<D>),
        mmap: if D::Regions::HAS_MAP {
            Some(regions::map::<D>)
        } else {
            Some(abi::vfio_pci_core_mmap)
        },
        request: Some(abi::vfio_pci_core_request),
        match_: Some(abi::vfio_pci_core_match),
        match_token_uuid: Some(abi::vfio_pci_core_match_token_uuid),
        #[cfg(CONFIG_IOMMUFD)]
        bind_iommufd: Some(abi::vfio_iommufd_physical_bind),
        #[cfg(CONFIG_IOMMUFD)]
        unbind_iommufd: Some(abi::vfio_iommufd_physical_unbind),
        #[cfg(CONFIG_IOMMUFD)]
        attach_ioas: Some(dma_log::attach::<D>),
        #[cfg(CONFIG_IOMMUFD)]
        detach_ioas: Some(dma_log::detach::<D>),
        // No PASIDs: DMA with one goes through a page table of its own, of which no log would know.
        ..pin_init::zeroed()
    };

    /// What `vfio-pci-core` asks of its driver: where the BARs lie, for dma-buf
    /// export.
    #[allow(
        clippy::needless_update,
        reason = "which fields there are depends on the kernel"
    )]
    pub(super) const PCI: &'static abi::vfio_pci_device_ops = &abi::vfio_pci_device_ops {
        #[cfg(CONFIG_VFIO_PCI_DMABUF)]
        get_dmabuf_phys: Some(abi::vfio_pci_core_get_dmabuf_phys),
        ..pin_init::zeroed()
    };

    /// Migration operations, for devices with a `Migration`.
    pub(super) const MIGRATION: &'static abi::vfio_migration_ops = &abi::vfio_migration_ops {
        migration_set_state: Some(migration::set_state::<D>),
        migration_get_state: Some(migration::get_state::<D>),
        migration_get_data_size: Some(migration::get_data_size::<D>),
    };

    /// What devices with a `Migration` support.
    pub(super) const MIGRATION_FLAGS: u32 = abi::VFIO_MIGRATION_STOP_COPY
        | abi::VFIO_MIGRATION_P2P
        | if D::Migration::HAS_PRE_COPY {
            assert!(D::Migration::HAS_PRE_COPY_DONE, "pre-copy has to end");
            abi::VFIO_MIGRATION_PRE_COPY
        } else {
            0
        };
}
