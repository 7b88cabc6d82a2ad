// SPDX-License-Identifier: GPL-2.0

//! The context of a device: all its parts, as they are now.

use crate::{
    logic::{
        cause::Cause,
        identity::Identity,
        parts, //
    },
    virtio::GetParts, //
};
use kernel::prelude::*;

/// A device's parts, well formed.
pub(super) struct Context {
    pub(super) bytes: KVVec<u8>,
    pub(super) identity: Identity,
}

impl Context {
    /// Reads the context of a device.
    ///
    /// # Errors
    ///
    /// ENOMEM, what the device answers, or EIO if what it gives are no parts.
    pub(super) fn read(device: &GetParts) -> Result<Self> {
        Self::read_within(device, device.max_size()?)
    }

    /// Reads the context of a device that has no more than `max_size` bytes.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(super) fn read_within(device: &GetParts, max_size: u32) -> Result<Self> {
        let pieces = device.get(max_size)?;
        let Ok(checked) = parts::check(pieces.pieces()) else {
            return Err(device.observer().refuse(Cause::DeviceParts, EIO));
        };
        let mut bytes = KVVec::with_capacity(pieces.len(), GFP_KERNEL_ACCOUNT)?;
        for piece in pieces.pieces() {
            bytes.extend_from_slice(piece, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self {
            bytes,
            identity: Identity {
                device_type: device.device_type(),
                parts: checked.count(),
                features: checked.negotiated().unwrap_or_default(),
            },
        })
    }
}
