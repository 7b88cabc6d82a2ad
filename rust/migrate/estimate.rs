// SPDX-License-Identifier: GPL-2.0

//! What `MIG_DATA_SIZE` answers without a session.
//!
//! VMMs ask in a loop, and each question costs the device three commands. What a
//! stream will have is an estimate anyway: the device goes on.
//!
//! Who asks is about to migrate. So memory for the context is made ready at this time, when
//! the guest runs, and not when it has been stopped; if it is easy to have, once in the
//! interval and once after a session has taken it. It waits for a session until the device is
//! reset, loaded or closed.

use super::{
    outgoing::OVERHEAD,
    params::PrecopyInterval, //
};
use crate::virtio::{
    ContextMemory,
    SharedSlot, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Mutex,
        UniqueArc, //
    },
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// What a device has said.
struct Answer {
    asked: Instant<Monotonic>,
    /// The most bytes that its context has.
    max_size: usize,
    /// Memory for as much, until a session takes it.
    memory: Option<UniqueArc<ContextMemory>>,
    /// A session has taken it: the next one is to have some, too.
    taken: bool,
}

/// What a session begins with.
#[derive(Default)]
pub(super) struct Prepared {
    /// The most bytes that the device's context has, as it has said since it was opened or
    /// reset, if it has.
    pub(super) max_size: Option<usize>,
    /// Memory for as much, if there is some.
    pub(super) memory: Option<UniqueArc<ContextMemory>>,
}

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

    /// The device is another now: its user, a reset, or a stream has made it so.
    pub(super) fn forget(&self) {
        *self.0.lock() = None;
    }

    /// What there is for a session that begins.
    pub(super) fn prepared(&self) -> Prepared {
        match &mut *self.0.lock() {
            Some(answer) => {
                answer.taken |= answer.memory.is_some();
                Prepared {
                    max_size: Some(answer.max_size),
                    memory: answer.memory.take(),
                }
            }
            None => Prepared::default(),
        }
    }

    /// The most bytes that a stream may have in STOP_COPY. The device is asked once
    /// in the interval; no object is kept.
    ///
    /// # Errors
    ///
    /// What the device answers.
    pub(super) fn bytes(&self, slot: &SharedSlot, interval: &PrecopyInterval) -> Result<u64> {
        let mut last = self.0.lock();
        let is_recent = |answer: &Answer| {
            let age = u64::try_from(answer.asked.elapsed().as_millis()).unwrap_or(u64::MAX);
            age < interval.ms()
        };
        let recent = Option::as_mut(&mut *last).filter(|answer| is_recent(answer));
        if let Some(answer) = recent {
            if core::mem::take(&mut answer.taken) {
                answer.memory = slot.member().spare_memory(answer.max_size);
            }
        } else {
            let max_size = slot.begin_use().get(|device| device.max_size())?;
            let memory = match last.take() {
                Some(answer) if answer.max_size == max_size => answer.memory,
                _ => None,
            };
            *last = Some(Answer {
                asked: Instant::now(),
                max_size,
                memory: memory.or_else(|| slot.member().spare_memory(max_size)),
                taken: false,
            });
        }
        let max_size = last.as_ref().map_or(0, |answer| answer.max_size);
        Ok(most_bytes(max_size))
    }
}

/// The most bytes that a stream has in STOP_COPY whose context has so many at most.
pub(super) fn most_bytes(max_size: usize) -> u64 {
    OVERHEAD + max_size as u64
}
