// SPDX-License-Identifier: GPL-2.0

//! Resets, as those see them who must not be waited for.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full, //
        },
        Arc, //
    }, //
};

/// How often a device was reset since it was bound.
pub(super) struct ResetCount(Arc<Atomic<u32>>);

impl ResetCount {
    /// Not once.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Arc::new(Atomic::new(0), GFP_KERNEL)?))
    }

    /// Counts a reset. Never waits.
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Full);
    }

    /// The time until the next reset.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch {
            resets: self.0.clone(),
            begun_at: self.0.load(Acquire),
        }
    }
}

/// The time from one reset of a device to the next.
#[derive(Clone)]
pub(super) struct Epoch {
    resets: Arc<Atomic<u32>>,
    begun_at: u32,
}

impl Epoch {
    /// Whether the device was not reset since.
    pub(super) fn is_current(&self) -> bool {
        self.resets.load(Acquire) == self.begun_at
    }
}
