// SPDX-License-Identifier: GPL-2.0

//! Physically contiguous memory.

use crate::{
    abi,
    logic::pieces::Choice, //
};
use core::{
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::NonNull,
    slice, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// What memory has in it at first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    /// Zeroes: the device is to fill it, and others may see what it did not.
    Zeroes,
    /// Whatever was there: we fill it, and nobody sees more than that.
    Any,
}

/// Whole pages, one behind the other in physical memory.
///
/// # Invariants
///
/// `start` is what `vvp_alloc_piece()` gave for `len` bytes, a multiple of the page size.
/// All of them have a value. That holds for any pages, as long as the compiler cannot look into
/// the function: to it that is foreign code, which may have written them.
pub(super) struct Piece {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: The memory is owned, and nothing in it belongs to a thread.
unsafe impl Send for Piece {}
// SAFETY: By a shared reference the memory is only read.
unsafe impl Sync for Piece {}

impl Piece {
    /// A piece of at least `len` bytes.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    fn new(len: usize, contents: Contents, optional: bool) -> Result<Self> {
        let len = len.checked_next_multiple_of(PAGE_SIZE).ok_or(ENOMEM)?;
        // SAFETY: The function has no requirements.
        let start = unsafe { abi::vvp_alloc_piece(len, contents == Contents::Zeroes, optional) };
        // INVARIANT: So many bytes, if any.
        Ok(Self {
            start: NonNull::new(start.cast()).ok_or(ENOMEM)?,
            len,
        })
    }

    /// Where it is. Valid for reads and writes of its bytes as long as it is there, and no
    /// reference to them is in use meanwhile.
    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// A piece of a buffer. A size larger than the least is a wish, which memory may
    /// be too fragmented to grant; one that is `optional` is a wish of any size.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(super) fn choose(choice: Choice, contents: Contents, optional: bool) -> Result<Self> {
        let mut size = choice.wanted;
        loop {
            match Self::new(size, contents, optional || size > choice.least) {
                // From a power of two to the next, but for the last piece of a buffer.
                Err(_) if size > choice.least => {
                    size = (size.next_power_of_two() / 2).max(choice.least);
                }
                piece => return piece,
            }
        }
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: By the type invariant.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Piece {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: By the type invariant.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; nobody has it any more.
        unsafe { abi::vvp_free_piece(self.start.as_ptr().cast(), self.len) };
    }
}
