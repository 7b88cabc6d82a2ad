// SPDX-License-Identifier: GPL-2.0
//! Numbers of `include/uapi/linux/vfio.h` and `iommufd.h`, written from their text.
//!
//! They are here, and not taken from a crate of bindings, because the newest of them are in
//! none, and because a suite should not share a mistake with what it tests.

use nix::libc::c_ulong;

/// `_IO(VFIO_TYPE, VFIO_BASE + number)`; the type is ';' and the base 100.
pub const fn vfio(number: u32) -> c_ulong {
    (0x3b << 8 | (100 + number)) as c_ulong
}

/// `_IO(IOMMUFD_TYPE, number)`.
pub const fn iommufd(number: u32) -> c_ulong {
    (0x3b << 8 | number) as c_ulong
}

pub const GET_API_VERSION: c_ulong = vfio(0);
pub const SET_IOMMU: c_ulong = vfio(2);
pub const GROUP_GET_STATUS: c_ulong = vfio(3);
pub const GROUP_SET_CONTAINER: c_ulong = vfio(4);
pub const GROUP_GET_DEVICE_FD: c_ulong = vfio(6);
pub const DEVICE_GET_INFO: c_ulong = vfio(7);
pub const DEVICE_GET_REGION_INFO: c_ulong = vfio(8);
pub const DEVICE_GET_IRQ_INFO: c_ulong = vfio(9);
pub const DEVICE_RESET: c_ulong = vfio(11);
pub const IOMMU_MAP_DMA: c_ulong = vfio(13);
pub const IOMMU_UNMAP_DMA: c_ulong = vfio(14);
pub const DEVICE_FEATURE: c_ulong = vfio(17);
pub const DEVICE_BIND_IOMMUFD: c_ulong = vfio(18);
pub const DEVICE_ATTACH_IOMMUFD_PT: c_ulong = vfio(19);
pub const MIG_GET_PRECOPY_INFO: c_ulong = vfio(21);
pub const IOAS_ALLOC: c_ulong = iommufd(0x81);
pub const IOAS_MAP: c_ulong = iommufd(0x85);
pub const IOAS_UNMAP: c_ulong = iommufd(0x86);

/// What opens a device and says what it is.
pub const OPENING: [c_ulong; 13] = [
    GET_API_VERSION,
    SET_IOMMU,
    GROUP_GET_STATUS,
    GROUP_SET_CONTAINER,
    GROUP_GET_DEVICE_FD,
    DEVICE_GET_INFO,
    DEVICE_GET_REGION_INFO,
    DEVICE_BIND_IOMMUFD,
    DEVICE_ATTACH_IOMMUFD_PT,
    IOAS_ALLOC,
    IOAS_MAP,
    IOAS_UNMAP,
    DEVICE_GET_IRQ_INFO,
];

pub const TYPE1V2_IOMMU: u32 = 3;
pub const GROUP_FLAGS_VIABLE: u32 = 1;
pub const DEVICE_FLAGS_RESET: u32 = 1 << 0;
pub const DEVICE_FLAGS_PCI: u32 = 1 << 1;
pub const REGION_INFO_FLAG_READ: u32 = 1 << 0;
pub const PCI_BAR0_REGION: u32 = 0;
pub const PCI_CONFIG_REGION: u32 = 7;
pub const PCI_MSIX_IRQ: u32 = 2;

/// Flags of `struct vfio_device_feature`.
pub const FEATURE_GET: u32 = 1 << 16;
pub const FEATURE_SET: u32 = 1 << 17;
pub const FEATURE_PROBE: u32 = 1 << 18;
/// Bytes of it before the data.
pub const FEATURE_HEADER: usize = 8;

/// Features.
pub const MIGRATION: u32 = 1;
pub const MIG_DEVICE_STATE: u32 = 2;
pub const DMA_LOGGING_START: u32 = 6;
pub const DMA_LOGGING_STOP: u32 = 7;
pub const DMA_LOGGING_REPORT: u32 = 8;
pub const MIG_DATA_SIZE: u32 = 9;
pub const MIG_PRECOPY_INFO_V2: u32 = 12;

/// Flags of `struct vfio_device_feature_migration`.
pub const MIGRATION_STOP_COPY: u64 = 1 << 0;
pub const MIGRATION_P2P: u64 = 1 << 1;
pub const MIGRATION_PRE_COPY: u64 = 1 << 2;

/// Size and flags of `struct vfio_precopy_info`.
pub const PRECOPY_INFO: u32 = 24;
pub const PRECOPY_INFO_REINIT: u32 = 1 << 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        // As the C compiler evaluates the macros.
        assert_eq!(DEVICE_FEATURE, 0x3b75);
        assert_eq!(MIG_GET_PRECOPY_INFO, 0x3b79);
        assert_eq!(IOAS_ALLOC, 0x3b81);
    }
}
