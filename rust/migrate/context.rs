// SPDX-License-Identifier: GPL-2.0

//! The context of a device: all its parts, as they are now.

use crate::{
    logic::{
        cause::Cause,
        delta::{
            self,
            Change,
            Span, //
        },
        features::Features,
        identity::Identity,
        parts::{
            self,
            Checker,
            PartsError, //
        }, //
    },
    vfio,
    virtio::{
        ContextMemory,
        GetParts,
        PartsRead, //
    }, //
};
use core::ops::Range;
use kernel::{
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    }, //
};

/// A device's parts, well formed.
pub(super) struct Context {
    memory: Arc<ContextMemory>,
    len: usize,
    identity: Identity,
    max_size: usize,
}

impl Context {
    /// Reads the context of a device, of which `max_size` says how much it is, if that is
    /// known; into `spare`, if that has as much room.
    ///
    /// # Errors
    ///
    /// ENOMEM, what the device answers, or EIO if what it gives are no parts.
    pub(super) fn read(
        device: &GetParts<'_>,
        max_size: Option<usize>,
        spare: Option<UniqueArc<ContextMemory>>,
    ) -> Result<Self> {
        let read = device.read(max_size, spare)?;
        let parts = well_formed(device, parts::check(bytes(&read)))?;
        Ok(Self::new(device, read, &parts))
    }

    /// Reads the context again, into `spare`, if that has as much room, and compares it
    /// with this one; where they differ is in `notes` then. `ask` the device first how
    /// much it is, or take it to be as much as before.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(super) fn read_again(
        &self,
        device: &GetParts<'_>,
        ask: bool,
        spare: Option<UniqueArc<ContextMemory>>,
        notes: &mut [Span],
    ) -> Result<(Self, Change)> {
        let read = device.read((!ask).then_some(self.max_size), spare)?;
        let compared = delta::compare(self.bytes(), bytes(&read), notes);
        let compared = well_formed(device, compared)?;
        Ok((Self::new(device, read, &compared.parts), compared.change))
    }

    fn new(device: &GetParts<'_>, read: PartsRead, parts: &Checker) -> Self {
        Self {
            memory: read.memory.into(),
            len: read.len,
            identity: Identity {
                device_type: device.device_type(),
                parts: parts.count(),
                features: parts.negotiated().unwrap_or_default(),
                checksum: true,
            },
            max_size: read.max_size,
        }
    }

    /// All parts.
    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or_default()
    }

    /// Those of the [`bytes`](Self::bytes) that are at `place`, kept alive by a reference
    /// of their own.
    pub(super) fn part(&self, place: Range<usize>) -> vfio::Bytes {
        let end = place.end.min(self.len);
        vfio::Bytes::part_of(self.memory.clone(), place.start..end)
    }

    /// What a stream with a checksum says of it in advance.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Bytes that a context of this device takes at most, as far as it has said.
    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// The memory, if nobody has a reference to it any more.
    pub(super) fn into_memory(self) -> Option<UniqueArc<ContextMemory>> {
        Arc::into_unique_or_drop(self.memory).map(Pin::into_inner)
    }
}

fn bytes(read: &PartsRead) -> &[u8] {
    read.memory.get(..read.len).unwrap_or_default()
}

fn well_formed<T>(device: &GetParts<'_>, found: Result<T, PartsError>) -> Result<T> {
    found.map_err(|_| device.observer().refuse(Cause::DeviceParts, EIO))
}

/// The features that a device offers, `None` if its context does not say.
///
/// # Errors
///
/// As [`Context::read`].
pub(super) fn offered_features(device: &GetParts<'_>) -> Result<Option<Features>> {
    let read = device.read(None, None)?;
    Ok(well_formed(device, parts::check(bytes(&read)))?.offered())
}
