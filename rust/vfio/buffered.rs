// SPDX-License-Identifier: GPL-2.0

//! The outgoing stream of a driver that reads all of a device's state at once.

use super::migration::SaveStream;
use kernel::prelude::*;

/// Bytes that are all there.
pub(crate) struct Buffered {
    bytes: KVec<u8>,
    position: usize,
}

impl Buffered {
    /// The stream of `bytes`.
    pub(crate) const fn new(bytes: KVec<u8>) -> Self {
        Self { bytes, position: 0 }
    }
}

impl SaveStream for Buffered {
    fn peek(&self, buf: &mut [u8]) -> usize {
        let ahead = self.bytes.get(self.position..).unwrap_or(&[]);
        let count = ahead.len().min(buf.len());
        buf[..count].copy_from_slice(&ahead[..count]);
        count
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }

    fn has_data(&self) -> bool {
        self.position < self.bytes.len()
    }

    fn is_complete(&self) -> bool {
        true
    }
}
