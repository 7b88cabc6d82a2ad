// SPDX-License-Identifier: GPL-2.0

//! The bitmap that userspace has dirty pages reported in.

use super::{
    pause::pause,
    span::Span, //
};
use crate::abi;
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// A bitmap of userspace's that takes addresses.
///
/// # Invariants
///
/// The bitmap exists as long as this reference to it, and nobody else uses it.
pub(crate) struct Bitmap<'a> {
    bitmap: &'a Opaque<abi::iova_bitmap>,
    /// Addresses whose bits are pinned.
    pinned: Option<Span>,
}

impl<'a> Bitmap<'a> {
    /// Addresses that are set in one go.
    const STRIDE: u64 = 1 << 38;

    /// # Safety
    ///
    /// `bitmap` must be valid for the whole of `'a`, and used by nobody else.
    pub(super) unsafe fn from_raw(bitmap: *mut abi::iova_bitmap) -> Self {
        // INVARIANT: As required.
        Self {
            // SAFETY: By the requirements of this function; `Opaque` is a transparent wrapper.
            bitmap: unsafe { &*bitmap.cast::<Opaque<abi::iova_bitmap>>() },
            pinned: None,
        }
    }

    pub(super) fn as_ptr(&self) -> *mut abi::iova_bitmap {
        self.bitmap.get()
    }

    /// Makes sure that `address`, one of those asked for, can be set. Gives all
    /// that can be from there on, until this is called with another that cannot.
    ///
    /// # Errors
    ///
    /// EFAULT if userspace's memory cannot be written.
    pub(crate) fn pin(&mut self, address: u64) -> Result<Span> {
        if let Some(pinned) = self.pinned.filter(|span| span.first() <= address) {
            if let Some(rest) = Span::new(address, pinned.last()) {
                return Ok(rest);
            }
        }
        self.pinned = None;
        let mut last = 0;
        // SAFETY: By the type invariant.
        to_result(unsafe { abi::vvp_bitmap_pin(self.as_ptr(), address as c_ulong, &mut last) })?;
        let pinned = Span::new(address, last as u64).ok_or(EFAULT)?;
        self.pinned = Some(pinned);
        Ok(pinned)
    }

    /// Makes sure that all of `span`, which is asked for, can be set at this time,
    /// though not all of it at once.
    ///
    /// # Errors
    ///
    /// EFAULT if userspace's memory cannot be written; EINTR if the process is
    /// being killed.
    pub(crate) fn check(&mut self, span: Span) -> Result {
        let mut rest = Some(span);
        while let Some(span) = rest {
            let pinned = self.pin(span.first())?;
            pause()?;
            rest = span.above(pinned);
        }
        Ok(())
    }

    /// Marks all pages of `span` as dirty. It must be inside of what is asked for.
    ///
    /// # Errors
    ///
    /// EFAULT if userspace's memory cannot be written, which is no question where
    /// it is pinned; EINTR if the process is being killed.
    pub(crate) fn set(&mut self, span: Span) -> Result {
        let mut rest = Some(span);
        while let Some(span) = rest {
            let pinned = self.pin(span.first())?;
            let stride = Span::with_length(span.first(), Self::STRIDE).unwrap_or(span);
            let part = span
                .intersection(pinned)
                .and_then(|part| part.intersection(stride))
                .ok_or(EFAULT)?;
            // SAFETY: By the type invariant. The length is `STRIDE` at most.
            unsafe {
                abi::vvp_bitmap_set(
                    self.as_ptr(),
                    part.first() as c_ulong,
                    (part.last() - part.first() + 1) as usize,
                )
            };
            pause()?;
            rest = span.above(part);
        }
        Ok(())
    }
}
