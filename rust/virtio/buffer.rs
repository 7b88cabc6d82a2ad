// SPDX-License-Identifier: GPL-2.0

//! Memory for device parts that the device can read and write.

use crate::abi;
use kernel::{
    bindings,
    prelude::*, //
};

/// Size of the first piece in bytes: the parts of a small device fit.
const MIN_PIECE: usize = 4096;

/// Size of the largest piece in bytes. Allocations up to this order are
/// expected to succeed; larger ones are not worth trying for.
const MAX_PIECE: usize = 32768;

/// Bytes in a list of physically contiguous, initially zeroed pieces.
///
/// Pieces, not one allocation, since a context may have megabytes; and few
/// large ones rather than pages, since each takes a descriptor on the admin
/// virtqueue. The space grows with what is put in.
///
/// # Invariants
///
/// `len` is at most the sum of the pieces' lengths; all pieces but the last are
/// full of data.
pub(crate) struct Buffer {
    pieces: KVec<KVec<u8>>,
    len: usize,
}

impl Buffer {
    /// An empty buffer, without memory.
    pub(crate) const fn new() -> Self {
        // INVARIANT: Nothing is at most nothing.
        Self {
            pieces: KVec::new(),
            len: 0,
        }
    }

    /// A buffer of `len` zero bytes.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        let mut buffer = Self::new();
        let mut left = len;
        while left > 0 {
            let size = left.min(MAX_PIECE);
            buffer.add_piece(size)?;
            left -= size;
        }
        // INVARIANT: The pieces' lengths sum up to `len`.
        buffer.len = len;
        Ok(buffer)
    }

    fn add_piece(&mut self, size: usize) -> Result {
        let piece = KVec::zeroed(size, GFP_KERNEL_ACCOUNT)?;
        self.pieces.push(piece, GFP_KERNEL_ACCOUNT)?;
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.pieces.iter().map(KVec::len).sum()
    }

    /// Number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Makes the buffer empty; it keeps its first piece.
    pub(crate) fn clear(&mut self) {
        self.pieces.truncate(1);
        // INVARIANT: An empty buffer is within any pieces.
        self.len = 0;
    }

    /// Shortens the buffer to `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        let mut before = 0;
        self.pieces.retain(|piece| {
            let keep = before < self.len;
            before += piece.len();
            keep
        });
        // INVARIANT: The pieces kept hold `len` bytes, all but the last full.
    }

    /// Appends `bytes`. Memory doubles with what arrives, piece by piece, so that
    /// what is allocated stays in proportion to it.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn extend(&mut self, mut bytes: &[u8]) -> Result {
        while !bytes.is_empty() {
            if self.len == self.capacity() {
                self.add_piece(self.len.clamp(MIN_PIECE, MAX_PIECE))?;
            }
            let used = self.len - self.before_last();
            let piece = self.pieces.last_mut().ok_or(EINVAL)?;
            let space = piece.get_mut(used..).ok_or(EINVAL)?;
            let count = space.len().min(bytes.len());
            let (head, rest) = bytes.split_at(count);
            space[..count].copy_from_slice(head);
            // INVARIANT: `count` bytes of the last piece were free.
            self.len += count;
            bytes = rest;
        }
        Ok(())
    }

    /// Sum of the lengths of all pieces but the last.
    fn before_last(&self) -> usize {
        self.capacity() - self.pieces.last().map_or(0, KVec::len)
    }

    /// The bytes, in pieces.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let mut left = self.len;
        self.pieces.iter().map_while(move |piece| {
            let count = piece.len().min(left);
            left -= count;
            piece.get(..count).filter(|bytes| !bytes.is_empty())
        })
    }

    /// Scatter list of `prefix`, if any, and the buffer's bytes.
    ///
    /// The prefix must live in an allocation of its own, from kmalloc.
    fn scatter(&self, prefix: Option<&KBox<[u8; 8]>>) -> Result<ScatterList> {
        let mut list = ScatterList {
            entries: KVec::with_capacity(self.pieces.len() + 1, GFP_KERNEL)?,
        };
        if let Some(prefix) = prefix {
            list.add(&prefix[..])?;
        }
        for piece in self.pieces() {
            list.add(piece)?;
        }
        Ok(list)
    }

    /// Runs `command` with the scatter list of the whole buffer, for the device
    /// to write to.
    ///
    /// # Errors
    ///
    /// ENOMEM, or what `command` gives.
    pub(super) fn with_writable<R>(
        &mut self,
        command: impl FnOnce(*mut bindings::scatterlist) -> Result<R>,
    ) -> Result<R> {
        self.scatter(None)?.finish(command)
    }

    /// Runs `command` with the scatter list of `prefix` and the buffer, for the
    /// device to read from.
    ///
    /// # Errors
    ///
    /// ENOMEM, or what `command` gives.
    pub(super) fn with_readable<R>(
        &self,
        prefix: [u8; 8],
        command: impl FnOnce(*mut bindings::scatterlist) -> Result<R>,
    ) -> Result<R> {
        let prefix = KBox::new(prefix, GFP_KERNEL)?;
        self.scatter(Some(&prefix))?.finish(command)
    }
}

/// Scatter list under construction.
struct ScatterList {
    entries: KVec<bindings::scatterlist>,
}

impl ScatterList {
    /// Adds bytes that lie in one kmalloc allocation.
    fn add(&mut self, bytes: &[u8]) -> Result {
        let len = u32::try_from(bytes.len())?;
        let mut entry = pin_init::zeroed::<bindings::scatterlist>();
        // Initialised as a table of one, the entry ends the list; `finish` moves the end.
        // SAFETY: `entry` is valid for writes, and kmalloc memory is physically contiguous and in
        // the linear map, as `sg_set_buf` wants it.
        unsafe {
            bindings::sg_init_table(&mut entry, 1);
            abi::vvp_sg_set_buf(&mut entry, bytes.as_ptr().cast(), len);
        }
        self.entries.push(entry, GFP_KERNEL)?;
        Ok(())
    }

    /// Runs `command` with the list.
    ///
    /// # Errors
    ///
    /// EINVAL if the list is empty, or what `command` gives.
    fn finish<R>(
        mut self,
        command: impl FnOnce(*mut bindings::scatterlist) -> Result<R>,
    ) -> Result<R> {
        let count = self.entries.len();
        if count == 0 {
            return Err(EINVAL);
        }
        for entry in self.entries.iter_mut().take(count - 1) {
            // SAFETY: `entry` is an initialised entry with another behind it.
            unsafe { abi::vvp_sg_unmark_end(entry) };
        }
        command(self.entries.as_mut_ptr())
    }
}
