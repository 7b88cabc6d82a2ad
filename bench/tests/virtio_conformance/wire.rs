// SPDX-License-Identifier: GPL-2.0
//! Constants of virtio 1.4, transcribed from the specification.

// 4.1.4.3 Common configuration structure
pub const DEVICE_FEATURE_SELECT: u64 = 0x00;
pub const DEVICE_FEATURE: u64 = 0x04;
pub const DRIVER_FEATURE_SELECT: u64 = 0x08;
pub const DRIVER_FEATURE: u64 = 0x0c;
pub const CONFIG_MSIX_VECTOR: u64 = 0x10;
pub const NUM_QUEUES: u64 = 0x12;
pub const DEVICE_STATUS: u64 = 0x14;
pub const CONFIG_GENERATION: u64 = 0x15;
pub const QUEUE_SELECT: u64 = 0x16;
pub const QUEUE_SIZE: u64 = 0x18;
pub const QUEUE_MSIX_VECTOR: u64 = 0x1a;
pub const QUEUE_ENABLE: u64 = 0x1c;
pub const QUEUE_NOTIFY_OFF: u64 = 0x1e;
pub const QUEUE_DESC: u64 = 0x20;
pub const QUEUE_DRIVER: u64 = 0x28;
pub const QUEUE_DEVICE: u64 = 0x30;
pub const QUEUE_RESET: u64 = 58;
/// VIRTIO_MSI_NO_VECTOR
pub const NO_VECTOR: u16 = 0xffff;
pub const ADMIN_QUEUE_INDEX: u64 = 0x3c;
pub const ADMIN_QUEUE_NUM: u64 = 0x3e;

// 4.1.4.10 Legacy interface: common configuration
pub const LEGACY_DEVICE_FEATURES: u8 = 0;
pub const LEGACY_DRIVER_FEATURES: u8 = 4;
pub const LEGACY_QUEUE_ADDRESS: u8 = 8;
pub const LEGACY_QUEUE_SIZE: u8 = 12;
pub const LEGACY_QUEUE_SELECT: u8 = 14;
pub const LEGACY_QUEUE_NOTIFY: u8 = 16;
pub const LEGACY_DEVICE_STATUS: u8 = 18;
pub const LEGACY_ISR_STATUS: u8 = 19;
pub const LEGACY_CONFIG_VECTOR: u8 = 20;
pub const LEGACY_QUEUE_VECTOR: u8 = 22;

// 2.1 Device status field
pub const ACKNOWLEDGE: u8 = 1;
pub const DRIVER: u8 = 2;
pub const DRIVER_OK: u8 = 4;
pub const FEATURES_OK: u8 = 8;
pub const NEEDS_RESET: u8 = 64;

// 6 Reserved feature bits, 5.1.3 network feature bits
pub const F_MTU: u64 = 1 << 3;
pub const F_GUEST_ANNOUNCE: u64 = 1 << 21;
pub const F_RING_PACKED: u64 = 1 << 34;
pub const F_ORDER_PLATFORM: u64 = 1 << 36;
pub const F_NOTIFICATION_DATA: u64 = 1 << 38;
pub const F_RING_RESET: u64 = 1 << 40;
pub const F_MAC: u64 = 1 << 5;
pub const F_MRG_RXBUF: u64 = 1 << 15;
pub const F_STATUS: u64 = 1 << 16;
pub const F_CTRL_VQ: u64 = 1 << 17;
pub const F_CTRL_RX: u64 = 1 << 18;
pub const F_CTRL_VLAN: u64 = 1 << 19;
pub const F_MQ: u64 = 1 << 22;
pub const F_CTRL_MAC_ADDR: u64 = 1 << 23;
pub const F_INDIRECT_DESC: u64 = 1 << 28;
pub const F_ANY_LAYOUT: u64 = 1 << 27;
pub const F_EVENT_IDX: u64 = 1 << 29;
pub const F_VERSION_1: u64 = 1 << 32;
pub const F_ACCESS_PLATFORM: u64 = 1 << 33;
pub const F_SR_IOV: u64 = 1 << 37;
pub const F_ADMIN_VQ: u64 = 1 << 41;

// 2.7 Split virtqueues
pub const DESC_NEXT: u16 = 1;
pub const DESC_WRITE: u16 = 2;
pub const DESC_INDIRECT: u16 = 4;
pub const AVAIL_NO_INTERRUPT: u16 = 1;

// 4.1.4 Capabilities
pub const CAP_COMMON: u8 = 1;
pub const CAP_NOTIFY: u8 = 2;
pub const CAP_ISR: u8 = 3;
pub const CAP_DEVICE: u8 = 4;
pub const CAP_PCI_CFG: u8 = 5;
pub const CAP_VENDOR: u8 = 9;

// 5.1.6 Network device
pub const NET_HEADER: usize = 12;
pub const NET_NUM_BUFFERS: usize = 10;
pub const NET_OK: u8 = 0;
pub const NET_ERR: u8 = 1;
pub const CTRL_RX: u8 = 0;
pub const CTRL_RX_PROMISC: u8 = 0;
pub const CTRL_RX_ALLMULTI: u8 = 1;
pub const CTRL_RX_ALLUNI: u8 = 2;
pub const CTRL_MAC: u8 = 1;
pub const CTRL_MAC_TABLE_SET: u8 = 0;
pub const CTRL_MAC_ADDR_SET: u8 = 1;
pub const CTRL_VLAN: u8 = 2;
pub const CTRL_VLAN_ADD: u8 = 0;
pub const CTRL_VLAN_DEL: u8 = 1;
pub const CTRL_ANNOUNCE: u8 = 3;
pub const CTRL_MQ: u8 = 4;
pub const CTRL_MQ_VQ_PAIRS_SET: u8 = 0;

// 5.2.3 Block feature bits, 5.2.6 requests
pub const F_BLK_SEG_MAX: u64 = 1 << 2;
pub const F_BLK_RO: u64 = 1 << 5;
pub const F_BLK_BLK_SIZE: u64 = 1 << 6;
pub const F_BLK_FLUSH: u64 = 1 << 9;
pub const F_BLK_MQ: u64 = 1 << 12;
pub const F_BLK_DISCARD: u64 = 1 << 13;
pub const F_BLK_WRITE_ZEROES: u64 = 1 << 14;
pub const BLK_T_IN: u32 = 0;
pub const BLK_T_OUT: u32 = 1;
pub const BLK_T_FLUSH: u32 = 4;
pub const BLK_T_GET_ID: u32 = 8;
pub const BLK_T_DISCARD: u32 = 11;
pub const BLK_T_WRITE_ZEROES: u32 = 13;
pub const BLK_S_OK: u8 = 0;
pub const BLK_S_IOERR: u8 = 1;
pub const BLK_S_UNSUPP: u8 = 2;
pub const BLK_ID_BYTES: u32 = 20;
pub const BLK_UNMAP: u32 = 1;
pub const SECTOR: usize = 512;

// 2.12 Group administration commands
pub const GROUP_SELF: u16 = 0;
pub const GROUP_SRIOV: u16 = 1;
pub const CMD_LIST_QUERY: u16 = 0x0;
pub const CMD_LIST_USE: u16 = 0x1;
pub const CMD_LEGACY_COMMON_CFG_WRITE: u16 = 0x2;
pub const CMD_LEGACY_COMMON_CFG_READ: u16 = 0x3;
pub const CMD_LEGACY_DEV_CFG_WRITE: u16 = 0x4;
pub const CMD_LEGACY_DEV_CFG_READ: u16 = 0x5;
pub const CMD_LEGACY_NOTIFY_INFO: u16 = 0x6;
pub const CMD_CAP_ID_LIST_QUERY: u16 = 0x7;
pub const CMD_DEVICE_CAP_GET: u16 = 0x8;
pub const CMD_DRIVER_CAP_SET: u16 = 0x9;
pub const CMD_OBJ_CREATE: u16 = 0xa;
pub const CMD_OBJ_MODIFY: u16 = 0xb;
pub const CMD_OBJ_QUERY: u16 = 0xc;
pub const CMD_OBJ_DESTROY: u16 = 0xd;
pub const CMD_METADATA_GET: u16 = 0xe;
pub const CMD_PARTS_GET: u16 = 0xf;
pub const CMD_PARTS_SET: u16 = 0x10;
pub const CMD_MODE_SET: u16 = 0x11;

/// What Linux 7.3 asks to use: LIST_*, CAP_*, CREATE, DESTROY, parts, mode.
pub const LINUX_LIST: u64 = 0x3e783;
/// The same where there are transitional VFs.
pub const LINUX_TRANSITIONAL_LIST: u64 = 0x3e7ff;

pub const S_OK: (u16, u16) = (0, 0);
pub const ENXIO: u16 = 6;
pub const ENOMEM: u16 = 12;
pub const EBUSY: u16 = 16;
pub const EEXIST: u16 = 17;
pub const EINVAL: u16 = 22;
pub const ENOSPC: u16 = 28;
pub const Q_INVALID_COMMAND: u16 = 1;
pub const Q_INVALID_OPCODE: u16 = 2;
pub const Q_INVALID_FIELD: u16 = 3;
pub const Q_INVALID_GROUP: u16 = 4;
pub const Q_INVALID_MEMBER: u16 = 5;
pub const Q_NORESOURCE: u16 = 6;

pub const OBJ_GET: u8 = 0;
pub const OBJ_SET: u8 = 1;
pub const METADATA_SIZE: u8 = 0;
pub const METADATA_COUNT: u8 = 1;
pub const METADATA_LIST: u8 = 2;
pub const GET_SELECTED: u8 = 0;
pub const GET_ALL: u8 = 1;
pub const STOPPED: u8 = 1;

// 2.14 Device parts, 5.1.5.2
pub const PART_HEADER: usize = 16;
pub const PART_OPTIONAL: u8 = 1;
pub const PART_DEV_FEATURES: u16 = 0x100;
pub const PART_DRV_FEATURES: u16 = 0x101;
pub const PART_PCI_COMMON_CFG: u16 = 0x102;
pub const PART_DEVICE_STATUS: u16 = 0x103;
pub const PART_VQ_CFG: u16 = 0x104;
pub const PART_VQ_NOTIFY_CFG: u16 = 0x105;
pub const PART_NET_CVQ_CFG: u16 = 0x200;
/// The bench's ballast, see its documentation.
pub const PART_EXTRA: u16 = 0x5ff;
