// SPDX-License-Identifier: GPL-2.0

//! Counts a stream as it moves between us and userspace.

use super::Observer;
use crate::logic::{
    frames::Frames,
    stats::Phase, //
};
use kernel::sync::Arc;

/// One stream.
pub(crate) struct Traffic {
    observer: Arc<Observer>,
    frames: Frames,
}

impl Traffic {
    /// A stream of which nothing has moved.
    pub(crate) fn new(observer: &Arc<Observer>) -> Self {
        Self {
            observer: observer.clone(),
            frames: Frames::new(),
        }
    }

    /// Userspace has read, or has written and not been refused, the next bytes.
    pub(crate) fn pass(&mut self, phase: Phase, bytes: &[u8]) {
        let mut records = 0;
        self.frames.pass(bytes, |header| {
            records += 1;
            self.observer.record(phase, &header);
        });
        self.observer.moved(phase, bytes.len() as u64, records);
    }
}
