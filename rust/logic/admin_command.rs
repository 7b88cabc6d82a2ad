// SPDX-License-Identifier: GPL-2.0

//! Admin commands by name (virtio 1.4, 2.13 and its subsections).

/// Number of opcodes that are counted: those up to the device parts commands.
pub const OPCODES: usize = 0x12;

/// Command opcode: write legacy common configuration.
pub const LEGACY_COMMON_CFG_WRITE: u16 = 0x02;
/// Command opcode: read legacy common configuration.
pub const LEGACY_COMMON_CFG_READ: u16 = 0x03;
/// Command opcode: write legacy device configuration.
pub const LEGACY_DEV_CFG_WRITE: u16 = 0x04;
/// Command opcode: read legacy device configuration.
pub const LEGACY_DEV_CFG_READ: u16 = 0x05;
/// Command opcode: where to notify a legacy device.
pub const LEGACY_NOTIFY_INFO: u16 = 0x06;
/// Command opcode: create a resource object.
pub const RESOURCE_OBJ_CREATE: u16 = 0x0a;
/// Command opcode: destroy a resource object.
pub const RESOURCE_OBJ_DESTROY: u16 = 0x0d;
/// Command opcode: ask about device parts.
pub const DEV_PARTS_METADATA_GET: u16 = 0x0e;
/// Command opcode: read device parts.
pub const DEV_PARTS_GET: u16 = 0x0f;
/// Command opcode: write device parts.
pub const DEV_PARTS_SET: u16 = 0x10;
/// Command opcode: stop a device, or let it go on.
pub const DEV_MODE_SET: u16 = 0x11;

/// The name of the command with `opcode`.
pub const fn name(opcode: u16) -> &'static str {
    match opcode {
        0x00 => "LIST_QUERY",
        0x01 => "LIST_USE",
        LEGACY_COMMON_CFG_WRITE => "LEGACY_COMMON_CFG_WRITE",
        LEGACY_COMMON_CFG_READ => "LEGACY_COMMON_CFG_READ",
        LEGACY_DEV_CFG_WRITE => "LEGACY_DEV_CFG_WRITE",
        LEGACY_DEV_CFG_READ => "LEGACY_DEV_CFG_READ",
        LEGACY_NOTIFY_INFO => "LEGACY_NOTIFY_INFO",
        0x07 => "CAP_ID_LIST_QUERY",
        0x08 => "DEVICE_CAP_GET",
        0x09 => "DRIVER_CAP_SET",
        RESOURCE_OBJ_CREATE => "RESOURCE_OBJ_CREATE",
        0x0b => "RESOURCE_OBJ_MODIFY",
        0x0c => "RESOURCE_OBJ_QUERY",
        RESOURCE_OBJ_DESTROY => "RESOURCE_OBJ_DESTROY",
        DEV_PARTS_METADATA_GET => "DEV_PARTS_METADATA_GET",
        DEV_PARTS_GET => "DEV_PARTS_GET",
        DEV_PARTS_SET => "DEV_PARTS_SET",
        DEV_MODE_SET => "DEV_MODE_SET",
        _ => "unknown",
    }
}
