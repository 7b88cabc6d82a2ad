// SPDX-License-Identifier: GPL-2.0

//! DMA logging: what a driver implements, and the vtable through which VFIO calls
//! it.
//!
//! A log is independent of the migration state and of resets of the device: it is
//! about memory. It begins with `VFIO_DEVICE_FEATURE_DMA_LOGGING_START` and ends
//! with `STOP`, or when the device is closed.

use super::{
    device::Device,
    domain::{
        Attachment,
        Bitmap, //
    },
    driver::Driver,
    ops::{
        to_errno,
        Ops, //
    }, //
};
use crate::{
    abi,
    logic::span::Span, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    prelude::*, //
};

/// DMA logging of one device.
///
/// The methods may be called in parallel. User memory may be accessed, and is
/// when a [`Bitmap`] is written to, so no lock may be held that a page fault
/// takes: above all not VFIO's `memory_lock`, under which resets are reported.
pub(crate) trait DmaLog: Send + Sync + 'static {
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
    /// EINVAL if there is no log. After any error userspace takes all memory as
    /// written.
    fn read_and_clear(&self, at: &Attachment<'_>, window: Span, bitmap: &mut Bitmap<'_>) -> Result;

    /// The device was attached to an address space, maybe in place of another.
    fn attached(&self, at: &Attachment<'_>);

    /// The device was detached from its address space.
    fn detached(&self);
}

/// For drivers whose devices have no [`DmaLog`]: there are no values of it.
#[allow(
    dead_code,
    reason = "which drivers there are is not this module's concern"
)]
pub(crate) enum NoDmaLog {}

impl DmaLog for NoDmaLog {
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
    unsafe fn new(tree: *mut bindings::rb_root_cached) -> Self {
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

impl<D: Driver> Ops<D> {
    /// DMA logging operations, for devices with a [`DmaLog`].
    pub(super) const LOG: abi::vfio_log_ops = abi::vfio_log_ops {
        log_start: Some(start::<D>),
        log_stop: Some(stop::<D>),
        log_read_and_clear: Some(read_and_clear::<D>),
    };
}

/// # Safety
///
/// `device` must be an open device of `D`, `ranges` an interval tree, and `page_size` valid for
/// reads and writes.
unsafe extern "C" fn start<D: Driver>(
    device: *mut abi::vfio_device,
    ranges: *mut bindings::rb_root_cached,
    _count: u32,
    page_size: *mut u64,
) -> c_int {
    // SAFETY: An open device is registered, and stays open over a call on its file.
    let (this, at) = unsafe { (Device::<D>::from_vfio(device), Attachment::new(device)) };
    // SAFETY: By the requirements of this function.
    let (ranges, wanted) = unsafe { (Ranges::new(ranges), *page_size) };
    let started = this
        .dma_log()
        .ok_or(ENOTTY)
        .and_then(|log| log.start(&at, ranges, wanted));
    to_errno(started.map(|size| {
        // SAFETY: By the requirements of this function.
        unsafe { page_size.write(size) }
    }))
}

/// # Safety
///
/// `device` must be an open device of `D`.
unsafe extern "C" fn stop<D: Driver>(device: *mut abi::vfio_device) -> c_int {
    // SAFETY: An open device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    to_errno(this.dma_log().ok_or(ENOTTY).and_then(DmaLog::stop))
}

/// # Safety
///
/// `device` must be an open device of `D`, and `bitmap` valid and used by nobody else.
unsafe extern "C" fn read_and_clear<D: Driver>(
    device: *mut abi::vfio_device,
    iova: c_ulong,
    length: c_ulong,
    bitmap: *mut abi::iova_bitmap,
) -> c_int {
    // SAFETY: An open device is registered, and stays open over a call on its file.
    let (this, at) = unsafe { (Device::<D>::from_vfio(device), Attachment::new(device)) };
    // SAFETY: By the requirements of this function.
    let mut bitmap = unsafe { Bitmap::from_raw(bitmap) };
    let window = Span::with_length(iova as u64, length as u64).ok_or(EINVAL);
    to_errno(window.and_then(|window| {
        this.dma_log()
            .ok_or(ENOTTY)?
            .read_and_clear(&at, window, &mut bitmap)
    }))
}

/// # Safety
///
/// `device` must be an open device of `D`, bound to an iommufd, and `page_table` valid for reads
/// and writes.
#[cfg(CONFIG_IOMMUFD)]
pub(super) unsafe extern "C" fn attach<D: Driver>(
    device: *mut abi::vfio_device,
    page_table: *mut u32,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let ret = unsafe { abi::vfio_iommufd_physical_attach_ioas(device, page_table) };
    if ret == 0 {
        // SAFETY: An open device is registered, and stays open over this call.
        let (this, at) = unsafe { (Device::<D>::from_vfio(device), Attachment::new(device)) };
        if let Some(log) = this.dma_log() {
            log.attached(&at);
        }
    }
    ret
}

/// # Safety
///
/// `device` must be an open device of `D`, bound to an iommufd.
#[cfg(CONFIG_IOMMUFD)]
pub(super) unsafe extern "C" fn detach<D: Driver>(device: *mut abi::vfio_device) {
    // SAFETY: An open device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    // SAFETY: By the requirements of this function.
    unsafe { abi::vfio_iommufd_physical_detach_ioas(device) };
    if let Some(log) = this.dma_log() {
        log.detached();
    }
}
