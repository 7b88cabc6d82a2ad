// SPDX-License-Identifier: GPL-2.0
//! Feature bits, as masks (virtio 1.4, sections 5.1.3, 5.2.3 and 6).

const fn bit(number: u32) -> u64 {
    1 << number
}

pub const NET_CSUM: u64 = bit(0);
pub const NET_MTU: u64 = bit(3);
pub const NET_MAC: u64 = bit(5);
pub const NET_MRG_RXBUF: u64 = bit(15);
pub const NET_STATUS: u64 = bit(16);
pub const NET_CTRL_VQ: u64 = bit(17);
pub const NET_CTRL_RX: u64 = bit(18);
pub const NET_CTRL_VLAN: u64 = bit(19);
pub const NET_GUEST_ANNOUNCE: u64 = bit(21);
pub const NET_MQ: u64 = bit(22);
pub const NET_CTRL_MAC_ADDR: u64 = bit(23);

pub const BLK_SEG_MAX: u64 = bit(2);
pub const BLK_RO: u64 = bit(5);
pub const BLK_BLK_SIZE: u64 = bit(6);
pub const BLK_FLUSH: u64 = bit(9);
pub const BLK_MQ: u64 = bit(12);
pub const BLK_DISCARD: u64 = bit(13);
pub const BLK_WRITE_ZEROES: u64 = bit(14);

/// A driver may lay out buffers as it likes. Offered by transitional devices; what
/// is modern only has it without saying so (virtio 1.4, 6.4).
pub const ANY_LAYOUT: u64 = bit(27);
pub const RING_INDIRECT_DESC: u64 = bit(28);
pub const RING_EVENT_IDX: u64 = bit(29);
pub const VERSION_1: u64 = bit(32);
pub const ACCESS_PLATFORM: u64 = bit(33);
pub const ORDER_PLATFORM: u64 = bit(36);
pub const SR_IOV: u64 = bit(37);
pub const NOTIFICATION_DATA: u64 = bit(38);
pub const RING_RESET: u64 = bit(40);
pub const ADMIN_VQ: u64 = bit(41);

/// Offered by every function, whatever its type.
pub const TRANSPORT: u64 = RING_INDIRECT_DESC | RING_EVENT_IDX | MANDATORY;

/// What a driver has to accept: there is no legacy interface, and the device is
/// behind an IOMMU, so that addresses must come from the platform's DMA API.
pub const MANDATORY: u64 = VERSION_1 | ACCESS_PLATFORM;
