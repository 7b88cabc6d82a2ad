// SPDX-License-Identifier: GPL-2.0

//! Device parts as they arrive, for the device to read.

use super::{
    piece::{
        Contents,
        Piece, //
    },
    scatter_list::ScatterList, //
};
use crate::logic::pieces::Capacity;
use core::ops::{
    Deref,
    DerefMut,
    Range, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Bytes in a growing list of physically contiguous pieces.
///
/// # Invariants
///
/// `len` is at most the sum of the pieces' lengths; all pieces but the last are
/// full of data.
pub(crate) struct Buffer {
    pieces: KVec<Piece>,
    len: usize,
    /// What the command that is to have the bytes carries.
    capacity: Capacity,
    /// Pieces of before, the first at the end: allocating and freeing them takes time.
    unused: KVec<Piece>,
}

impl Buffer {
    /// An empty buffer, without memory, of what a command with this capacity can carry.
    pub(crate) const fn new(capacity: Capacity) -> Self {
        // INVARIANT: Nothing is at most nothing.
        Self {
            pieces: KVec::new(),
            len: 0,
            capacity,
            unused: KVec::new(),
        }
    }

    fn allocated(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }

    /// Makes the buffer empty; it keeps its memory.
    pub(crate) fn clear(&mut self) {
        // INVARIANT: An empty buffer is within any pieces, and of none.
        self.len = 0;
        while let Some(piece) = self.pieces.pop() {
            // One for which there is no room goes.
            let _ = self.unused.push(piece, GFP_KERNEL_ACCOUNT);
        }
    }

    /// Lends a place behind the bytes that are there, for the first of `announced` bytes, not
    /// zero, that may come. Memory doubles with what arrives, piece by piece, so that what is
    /// allocated stays in proportion to the most that there was. [`put`](Self::put) takes it
    /// back, before anything else is done with the buffer.
    ///
    /// # Errors
    ///
    /// ENOMEM, or EFBIG if one command cannot have what was announced; the buffer is as before.
    pub(crate) fn lend(&mut self, announced: usize) -> Result<Lent> {
        if self.len == self.allocated() {
            let count = self.pieces.len();
            let choice = self.capacity.next_growing(count, self.len, announced);
            let choice = choice.ok_or(EFBIG)?;
            let piece = match self.unused.pop() {
                Some(piece) if piece.len() >= choice.least => piece,
                _ => Piece::choose(choice, Contents::Any, false)?,
            };
            self.pieces.push(piece, GFP_KERNEL_ACCOUNT)?;
        }
        let last = self.pieces.pop().ok_or(EINVAL)?;
        let used = self.len - self.allocated();
        Ok(Lent {
            place: used..last.len().min(used.saturating_add(announced)),
            piece: last,
        })
    }

    /// Takes back what was lent, of which `count` bytes are filled now.
    ///
    /// # Errors
    ///
    /// EINVAL if it is no place of this buffer's, or has less bytes; ENOMEM.
    pub(crate) fn put(&mut self, lent: Lent, count: usize) -> Result {
        if self.allocated() + lent.place.start != self.len || count > lent.len() {
            return Err(EINVAL);
        }
        self.pieces.push(lent.piece, GFP_KERNEL_ACCOUNT)?;
        // INVARIANT: `count` bytes of the last piece were free.
        self.len += count;
        Ok(())
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
        // SAFETY: A small kmalloc allocation, which outlives the list.
        unsafe { list.add(prefix.as_ptr().cast_mut(), prefix.len())? };
        for piece in self.pieces() {
            // SAFETY: Of a piece, which is physically contiguous, in the linear map, and borrowed.
            unsafe { list.add(piece.as_ptr().cast_mut(), piece.len())? };
        }
        list.finish(command)
    }
}

/// A place in a [`Buffer`], in what is free of its last piece.
pub(crate) struct Lent {
    piece: Piece,
    place: Range<usize>,
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.piece.get(self.place.clone()).unwrap_or_default()
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.piece.get_mut(self.place.clone()).unwrap_or_default()
    }
}
