// SPDX-License-Identifier: GPL-2.0

//! The outgoing stream of a driver that puts a device's state on it in few large
//! chunks.

use super::{
    bytes::{
        Bytes,
        Queue, //
    },
    open_device::OpenDevice,
    stream::{
        PrecopyInfo,
        SaveStream, //
    }, //
};
use kernel::prelude::*;

/// Bytes that are all there, but for changes that may come in pre-copy.
pub(crate) struct Buffered {
    queue: Queue,
    /// Initial bytes that were not read.
    initial: u64,
    complete: bool,
}

impl Buffered {
    /// A stream that begins with `initial`, and to which changes are added.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new(initial: Bytes) -> Result<Self> {
        let mut queue = Queue::new();
        queue.push(initial)?;
        Ok(Self {
            initial: queue.len(),
            queue,
            complete: false,
        })
    }

    /// Adds what has changed.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn add(&mut self, changes: Bytes) -> Result {
        self.queue.push(changes)
    }

    /// Says that no more changes come.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }

    /// Whether everything was read.
    pub(crate) fn is_drained(&self) -> bool {
        self.queue.len() == 0
    }
}

impl SaveStream for Buffered {
    type Chunk = Bytes;

    fn head(&self) -> Option<Bytes> {
        self.queue.head().cloned()
    }

    fn consume(&mut self, count: usize) {
        self.queue.consume(count);
        self.initial = self.initial.saturating_sub(count as u64);
    }

    fn is_complete(&self) -> bool {
        self.complete
    }

    fn precopy_info(&mut self, _device: &OpenDevice) -> Result<PrecopyInfo> {
        if self.complete {
            return Err(EINVAL);
        }
        Ok(PrecopyInfo {
            initial_bytes: self.initial,
            dirty_bytes: self.queue.len() - self.initial,
            reinit: false,
        })
    }
}
