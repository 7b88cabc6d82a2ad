// SPDX-License-Identifier: GPL-2.0

//! Memory for a device's context.

use super::{
    piece::{
        Contents,
        Piece, //
    },
    scatter_list::ScatterList, //
};
use crate::{
    abi,
    logic::pieces::Capacity, //
};
use core::{
    ops::Deref,
    ptr::NonNull,
    slice, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Memory that the device writes to, in physically contiguous pieces, and that we read, in
/// one range of virtual addresses. Initially zero.
///
/// Pieces, not one allocation, since a context may have many megabytes; and few large ones
/// rather than pages, see [`logic::pieces`](crate::logic::pieces).
///
/// # Invariants
///
/// `start` are `len` bytes, initialised: the only piece's own pointer, or a mapping of all
/// pieces, which `is_mapping` says. No references to bytes of the pieces are made.
pub(crate) struct ContextMemory {
    start: NonNull<u8>,
    len: usize,
    is_mapping: bool,
    pieces: KVec<Piece>,
}

// SAFETY: The memory is owned, and nothing in it belongs to a thread.
unsafe impl Send for ContextMemory {}
// SAFETY: By a shared reference the memory is only read.
unsafe impl Sync for ContextMemory {}

impl ContextMemory {
    /// Memory of `len` bytes, not zero, for a command with this capacity. If it is `optional`,
    /// nobody suffers for it.
    ///
    /// # Errors
    ///
    /// ENOMEM, EFBIG if one command cannot have as much, or EINVAL if it is nothing.
    pub(super) fn new(len: usize, capacity: Capacity, optional: bool) -> Result<Self> {
        let mut pieces = KVec::new();
        let mut left = len;
        while left > 0 {
            let choice = capacity.next(pieces.len(), left).ok_or(EFBIG)?;
            let piece = Piece::choose(choice, Contents::Zeroes, optional)?;
            left = left.saturating_sub(piece.len());
            pieces.push(piece, GFP_KERNEL_ACCOUNT)?;
        }
        let (start, is_mapping) = match &pieces[..] {
            [] => return Err(EINVAL),
            [piece] => (piece.start(), false),
            all => (map(all)?, true),
        };
        // INVARIANT: The piece, or the mapping of all, which has as many bytes and less than a
        // page more.
        Ok(Self {
            start,
            len,
            is_mapping,
            pieces,
        })
    }

    /// Runs `command` with the scatter list of the memory, for the device to write to.
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
        for piece in &self.pieces {
            let count = piece.len().min(left);
            left -= count;
            // SAFETY: A piece is physically contiguous and in the linear map; it is owned, and
            // borrowed exclusively for as long as `command` runs.
            unsafe { list.add(piece.start().as_ptr(), count)? };
        }
        let result = list.finish(command)?;
        if self.is_mapping {
            // SAFETY: By the type invariant this is a mapping of so many bytes.
            unsafe { abi::vvp_pieces_written(self.start.as_ptr().cast(), self.len) };
        }
        Ok(result)
    }
}

/// Maps `pieces`, to be read only.
fn map(pieces: &[Piece]) -> Result<NonNull<u8>> {
    let mut list = KVec::with_capacity(pieces.len(), GFP_KERNEL_ACCOUNT)?;
    for piece in pieces {
        let entry = abi::vvp_piece {
            start: piece.start().as_ptr().cast(),
            length: piece.len(),
        };
        list.push(entry, GFP_KERNEL_ACCOUNT)?;
    }
    let count = u32::try_from(list.len())?;
    // SAFETY: These are pieces as wanted, `count` of them. Their owner unmaps them before they
    // are dropped.
    let start = unsafe { abi::vvp_map_pieces(list.as_ptr(), count) };
    NonNull::new(start.cast()).ok_or(ENOMEM)
}

impl Deref for ContextMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: By the type invariant. Nobody writes to the memory while it is borrowed: the
        // device only does during a command that was given the list of `with_writable`, which has
        // `self` borrowed exclusively, and `virtio_pci` returns from a command when the device
        // has used its buffers, or cannot access them any more.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for ContextMemory {
    fn drop(&mut self) {
        if self.is_mapping {
            // SAFETY: By the type invariant this is a mapping of pieces.
            unsafe { abi::vvp_unmap_pieces(self.start.as_ptr().cast()) };
        }
    }
}
