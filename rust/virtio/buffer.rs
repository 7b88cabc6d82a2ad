// SPDX-License-Identifier: GPL-2.0

//! Memory for device parts that the device can read and write.

use crate::{
    abi,
    logic::pieces::{
        self,
        Choice, //
    }, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    bindings,
    prelude::*, //
};

/// Bytes in a list of physically contiguous, initially zeroed pieces.
///
/// Pieces, not one allocation, since a context may have many megabytes; and few
/// large ones rather than pages, see [`logic::pieces`](pieces).
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
    /// ENOMEM, or EFBIG if one command cannot have as much.
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        let mut buffer = Self::new();
        let mut left = len;
        while left > 0 {
            let choice = pieces::next(buffer.pieces.len(), left).ok_or(EFBIG)?;
            left -= buffer.add_piece(choice)?;
        }
        // INVARIANT: The pieces' lengths sum up to `len`.
        buffer.len = len;
        Ok(buffer)
    }

    /// Adds a piece; gives its length. Larger sizes than the least are a wish,
    /// which memory may be too fragmented to grant.
    fn add_piece(&mut self, choice: Choice) -> Result<usize> {
        let flags = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
        let mut size = choice.wanted;
        let piece = loop {
            match KVec::zeroed(size, flags) {
                Ok(piece) => break piece,
                // From a power of two to the next, but for the last piece of a buffer.
                Err(_) if size > choice.least => {
                    size = (size.next_power_of_two() / 2).max(choice.least);
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.pieces.push(piece, GFP_KERNEL_ACCOUNT)?;
        Ok(size)
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

    /// Appends `bytes`, the first of `announced` bytes that may come. Memory
    /// doubles with what arrives, piece by piece, so that what is allocated stays
    /// in proportion to it.
    ///
    /// # Errors
    ///
    /// ENOMEM, or EFBIG if one command cannot have what was announced; some of the
    /// bytes may have been appended.
    pub(crate) fn extend(&mut self, mut bytes: &[u8], announced: usize) -> Result {
        let end = self.len.saturating_add(announced.max(bytes.len()));
        while !bytes.is_empty() {
            if self.len == self.capacity() {
                let choice = pieces::next_growing(self.pieces.len(), self.len, end - self.len);
                self.add_piece(choice.ok_or(EFBIG)?)?;
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
        let mut list = ScatterList::with_capacity(self.pieces.len())?;
        let mut left = self.len;
        for piece in &mut self.pieces {
            let count = piece.len().min(left);
            left -= count;
            list.add(piece.as_mut_ptr(), count)?;
        }
        list.finish(command)
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
        // In an allocation of its own, as the device wants it.
        let prefix = KBox::new(prefix, GFP_KERNEL_ACCOUNT)?;
        let mut list = ScatterList::with_capacity(self.pieces.len() + 1)?;
        list.add(prefix.as_ptr().cast_mut(), prefix.len())?;
        for piece in self.pieces() {
            list.add(piece.as_ptr().cast_mut(), piece.len())?;
        }
        list.finish(command)
    }
}

/// Scatter list under construction.
struct ScatterList {
    entries: KVec<bindings::scatterlist>,
}

impl ScatterList {
    /// A list without entries, of which there will be `count`.
    fn with_capacity(count: usize) -> Result<Self> {
        let entries = KVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
        Ok(Self { entries })
    }

    /// Adds `len` bytes, if not zero, that lie in one kmalloc allocation. Nothing is
    /// read or written here: that is up to whom `finish` gives the list.
    fn add(&mut self, bytes: *mut u8, len: usize) -> Result {
        if len == 0 {
            return Ok(());
        }
        let mut entry = pin_init::zeroed::<bindings::scatterlist>();
        // Initialised as a table of one, the entry ends the list; `finish` moves the end.
        // SAFETY: `entry` is valid for writes, and kmalloc memory is physically contiguous and in
        // the linear map, as `sg_set_buf` wants it.
        unsafe {
            bindings::sg_init_table(&mut entry, 1);
            abi::vvp_sg_set_buf(&mut entry, bytes.cast(), u32::try_from(len)?);
        }
        self.entries.push(entry, GFP_KERNEL_ACCOUNT)?;
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
