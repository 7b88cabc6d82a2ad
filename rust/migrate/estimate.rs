// SPDX-License-Identifier: GPL-2.0

//! What `MIG_DATA_SIZE` answers without a session.
//!
//! VMMs ask in a loop, and each question costs the device three commands. What a
//! stream will have is an estimate anyway: the device goes on.

use super::{
    params::PrecopyInterval,
    saver, //
};
use crate::virtio::SharedSlot;
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex,
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// When the device was asked, and its answer in bytes.
type Answer = (Instant<Monotonic>, u64);

/// The last estimate of one device.
pub(super) struct Estimate(Pin<KBox<Mutex<Option<Answer>>>>);

impl Estimate {
    /// None yet.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(super) fn new() -> Result<Self> {
        let last = new_mutex!(None, "virtio_size_estimate");
        Ok(Self(KBox::pin_init(last, GFP_KERNEL)?))
    }

    /// The device is another now: its user or a reset has made it so.
    pub(super) fn forget(&self) {
        *self.0.lock() = None;
    }

    /// The most bytes that a stream may have in STOP_COPY. The device is asked once
    /// in the interval; no object is kept.
    ///
    /// # Errors
    ///
    /// What the device answers.
    pub(super) fn bytes(&self, slot: &SharedSlot, interval: &PrecopyInterval) -> Result<u64> {
        let mut last = self.0.lock();
        if let Some((asked, bytes)) = *last {
            let age = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
            if age < interval.ms() {
                return Ok(bytes);
            }
        }
        let bytes = slot.session().get(|device| saver::most_bytes(&device))?;
        *last = Some((Instant::now(), bytes));
        Ok(bytes)
    }
}
