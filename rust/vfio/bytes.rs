// SPDX-License-Identifier: GPL-2.0

//! Bytes that several can hold on to, and queues of them.

use core::ops::{
    Deref,
    Range, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Memory that bytes can be in: it always derefs to the same ones.
pub(crate) trait Memory: Deref<Target = [u8]> + Send + Sync {}

impl<M: Deref<Target = [u8]> + Send + Sync> Memory for M {}

/// A part of an allocation, all of which lives as long as somebody has a part of
/// it. Cloning copies no bytes.
///
/// # Invariants
///
/// `range` is within `memory`.
#[derive(Clone)]
pub(crate) struct Bytes {
    memory: Arc<dyn Memory>,
    range: Range<usize>,
}

impl Bytes {
    /// All of `memory`.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new(memory: impl Memory + 'static) -> Result<Self> {
        let memory = Arc::new(memory, GFP_KERNEL_ACCOUNT)?;
        let all = 0..memory.len();
        Ok(Self::part_of(memory, all))
    }

    /// The bytes of `memory` in `range`, or as many as there are.
    pub(crate) fn part_of(memory: Arc<impl Memory + 'static>, range: Range<usize>) -> Self {
        let end = range.end.min(memory.len());
        // INVARIANT: Both ends were made to lie within.
        Self {
            range: range.start.min(end)..end,
            memory,
        }
    }

    /// A copy of `bytes`.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn copy_of(bytes: &[u8]) -> Result<Self> {
        let mut memory = KVVec::with_capacity(bytes.len(), GFP_KERNEL_ACCOUNT)?;
        memory.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?;
        Self::new(memory)
    }

    /// Takes the first `count` bytes off this part, or all if there are less.
    pub(crate) fn advance(&mut self, count: usize) {
        // INVARIANT: The range only gets shorter.
        self.range.start += count.min(self.range.len());
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.get(self.range.clone()).unwrap_or_default()
    }
}

/// Bytes that wait to be read, in the order in which they were put here.
pub(crate) struct Queue {
    /// Those that were read are empty, the others are not.
    chunks: KVVec<Bytes>,
    /// How many of `chunks` were read.
    read: usize,
    /// Number of bytes that were not.
    len: u64,
}

impl Queue {
    /// An empty queue.
    pub(crate) const fn new() -> Self {
        Self {
            chunks: KVVec::new(),
            read: 0,
            len: 0,
        }
    }

    /// Number of bytes that wait.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The next bytes, as many as lie together.
    pub(crate) fn head(&self) -> Option<&Bytes> {
        self.chunks.get(self.read)
    }

    /// Takes `count` bytes, or all if there are less, off the [`head`](Self::head).
    pub(crate) fn consume(&mut self, count: usize) {
        let Some(head) = self.chunks.get_mut(self.read) else {
            return;
        };
        self.len -= count.min(head.len()) as u64;
        head.advance(count);
        if head.is_empty() {
            self.read += 1;
        }
        if self.read == self.chunks.len() {
            self.chunks.clear();
            self.read = 0;
        }
    }

    /// Makes room for `count` more chunks.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn reserve(&mut self, count: usize) -> Result {
        Ok(self.chunks.reserve(count, GFP_KERNEL_ACCOUNT)?)
    }

    /// Puts `bytes` behind the others.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn push(&mut self, bytes: Bytes) -> Result {
        // What was read has no reason to stay.
        if self.read > 0 {
            self.chunks.retain(|chunk| !chunk.is_empty());
            self.read = 0;
        }
        if !bytes.is_empty() {
            let len = bytes.len() as u64;
            self.chunks.push(bytes, GFP_KERNEL_ACCOUNT)?;
            self.len += len;
        }
        Ok(())
    }

    /// Puts `chunks` behind the others, all or none of them.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn push_all(&mut self, chunks: KVVec<Bytes>) -> Result {
        self.reserve(chunks.len())?;
        for chunk in chunks {
            // There is room, so that this does not fail.
            self.push(chunk)?;
        }
        Ok(())
    }
}
