// SPDX-License-Identifier: GPL-2.0

//! DMA logging: what a driver implements.
//!
//! A log is independent of the migration state and of resets of the device: it is
//! about memory. It begins with `VFIO_DEVICE_FEATURE_DMA_LOGGING_START` and ends
//! with `STOP`, or when the device is closed.

use super::{
    attachment::Attachment,
    bitmap::Bitmap,
    span::Span, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    prelude::*, //
};

/// How userspace reaches a device that it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// By a container of VFIO's own, of type1 or without IOMMU.
    Vfio,
    /// By iommufd in the place of such a container. Userspace sees no difference,
    /// and has no page tables to ask for dirty bits.
    Emulated,
    /// By iommufd.
    Iommufd,
}

/// DMA logging of one device.
///
/// The methods may be called in parallel. User memory may be accessed, and is
/// when a [`Bitmap`] is written to, so no lock may be held that a page fault
/// takes: above all not VFIO's `memory_lock`, under which resets are reported.
pub(crate) trait DmaLog: Send + Sync + 'static {
    /// The device is being opened. Gives whether it has DMA logging this time; if
    /// not, no other method but [`attached`](Self::attached) and
    /// [`detached`](Self::detached) is called until it is opened anew.
    ///
    /// May be called again with another `container`, before userspace has the
    /// device.
    fn opened(&self, container: Container) -> bool;

    /// Starts to log writes to `ranges`, which do not overlap, in pages of
    /// `page_size` if possible. Gives the size of the pages it will be.
    ///
    /// # Errors
    ///
    /// EINVAL if there is a log already. Nothing has changed.
    fn start(&self, at: &Attachment<'_>, ranges: Ranges<'_>, page_size: u64) -> Result<u64>;

    /// Ends the log.
    ///
    /// # Errors
    ///
    /// EINVAL if there is none.
    fn stop(&self) -> Result;

    /// Moves what the log has of `window` to `bitmap`.
    ///
    /// # Errors
    ///
    /// EINVAL if there is no log, EFAULT if the bitmap cannot be written. After any
    /// error userspace takes all memory as written, or asks again: nothing that was
    /// not delivered may be forgotten.
    fn read_and_clear(&self, at: &Attachment<'_>, window: Span, bitmap: &mut Bitmap<'_>) -> Result;

    /// The device was attached to an address space, maybe in place of another.
    fn attached(&self, at: &Attachment<'_>);

    /// The device was detached from its address space.
    fn detached(&self);
}

/// For drivers whose devices have no [`DmaLog`]: there are no values of it.
pub(crate) enum NoDmaLog {}

impl DmaLog for NoDmaLog {
    fn opened(&self, _: Container) -> bool {
        match *self {}
    }

    fn start(&self, _: &Attachment<'_>, _: Ranges<'_>, _: u64) -> Result<u64> {
        match *self {}
    }

    fn stop(&self) -> Result {
        match *self {}
    }

    fn read_and_clear(&self, _: &Attachment<'_>, _: Span, _: &mut Bitmap<'_>) -> Result {
        match *self {}
    }

    fn attached(&self, _: &Attachment<'_>) {
        match *self {}
    }

    fn detached(&self) {
        match *self {}
    }
}

/// The ranges of a log that is to start, in ascending order.
///
/// # Invariants
///
/// `next` is null or a node of an interval tree that exists, unchanged, for the
/// whole of `'a`.
pub(crate) struct Ranges<'a> {
    next: *mut bindings::interval_tree_node,
    _tree: PhantomData<&'a bindings::rb_root_cached>,
}

impl Ranges<'_> {
    /// # Safety
    ///
    /// `tree` must be an interval tree that exists, unchanged, as long as the
    /// result is used.
    pub(super) unsafe fn new(tree: *mut bindings::rb_root_cached) -> Self {
        // SAFETY: By the requirement of this function.
        // INVARIANT: The first node of the tree, or null.
        let next = unsafe { bindings::interval_tree_iter_first(tree, 0, c_ulong::MAX) };
        Self {
            next,
            _tree: PhantomData,
        }
    }
}

impl Iterator for Ranges<'_> {
    /// A range, or EINVAL for an empty one.
    type Item = Result<Span>;

    fn next(&mut self) -> Option<Result<Span>> {
        if self.next.is_null() {
            return None;
        }
        // SAFETY: By the type invariant.
        let (first, last) = unsafe { ((*self.next).start, (*self.next).last) };
        // SAFETY: By the type invariant.
        // INVARIANT: The node after it, or null.
        self.next = unsafe { bindings::interval_tree_iter_next(self.next, 0, c_ulong::MAX) };
        // VFIO subtracts 1 from the length, so that an empty range ends before it begins, or, at
        // address 0, is all there is; which no length can be.
        let range = Span::new(first as u64, last as u64);
        Some(range.filter(|&range| range != Span::ALL).ok_or(EINVAL))
    }
}
