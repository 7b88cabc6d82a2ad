// SPDX-License-Identifier: GPL-2.0
//! Opcodes of the admin commands that a test may want to interfere with (virtio 1.4, 2.12).

/// Sets the resources of a capability that the driver uses.
pub const DRIVER_CAP_SET: u16 = 0x09;
/// Makes a device parts object.
pub const RESOURCE_OBJ_CREATE: u16 = 0x0a;
/// Removes one.
pub const RESOURCE_OBJ_DESTROY: u16 = 0x0d;
/// Tells size or number of device parts.
pub const DEV_PARTS_METADATA_GET: u16 = 0x0e;
/// Gets device parts.
pub const DEV_PARTS_GET: u16 = 0x0f;
/// Sets device parts.
pub const DEV_PARTS_SET: u16 = 0x10;
/// Stops and resumes a function.
pub const DEV_MODE_SET: u16 = 0x11;

/// Those that migrate a function.
pub const MIGRATION: [u16; 6] = [
    RESOURCE_OBJ_CREATE,
    RESOURCE_OBJ_DESTROY,
    DEV_PARTS_METADATA_GET,
    DEV_PARTS_GET,
    DEV_PARTS_SET,
    DEV_MODE_SET,
];
