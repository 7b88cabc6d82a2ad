// SPDX-License-Identifier: GPL-2.0

//! The context of a device: all its parts, as they are now.

use crate::{
    logic::{
        cause::Cause,
        features::Features,
        identity::Identity,
        parts::{
            self,
            Checker, //
        }, //
    },
    virtio::{
        Buffer,
        GetParts, //
    }, //
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
    pub(super) fn read(device: &GetParts<'_>) -> Result<Self> {
        let pieces = device.read()?;
        let checked = check(device, &pieces)?;
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

/// The features that a device offers, `None` if its context does not say.
///
/// # Errors
///
/// As [`Context::read`].
pub(super) fn offered_features(device: &GetParts<'_>) -> Result<Option<Features>> {
    let pieces = device.read()?;
    Ok(check(device, &pieces)?.offered())
}

fn check(device: &GetParts<'_>, pieces: &Buffer) -> Result<Checker> {
    parts::check(pieces.pieces())
        .map_err(|_| device.observer().refuse(Cause::DeviceParts, EIO))
}
