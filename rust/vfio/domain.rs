// SPDX-License-Identifier: GPL-2.0

//! Page tables of an IOMMU, and their dirty bits.

use super::{
    bitmap::Bitmap,
    span::Span, //
};
use crate::abi;
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// A domain while it is being visited.
#[repr(transparent)]
pub(crate) struct Domain(Opaque<abi::vvp_domain>);

impl Domain {
    fn raw(&self) -> *mut bindings::iommu_domain {
        // SAFETY: `self` is a domain that is being visited.
        unsafe { abi::vvp_domain_raw(self.0.get()) }
    }

    /// What tells it from other domains that exist at the same time.
    pub(crate) fn id(&self) -> usize {
        self.raw().addr()
    }

    /// The addresses that can be translated, if that is known.
    pub(crate) fn aperture(&self) -> Option<Span> {
        // SAFETY: A domain that is being visited is valid, and its geometry does not change.
        let geometry = unsafe { (*self.raw()).geometry };
        Span::new(geometry.aperture_start, geometry.aperture_end)
    }

    /// Bitmap of the sizes that pages of the page table have. Not empty.
    pub(crate) fn page_sizes(&self) -> u64 {
        // SAFETY: A domain that is being visited is valid, and this field does not change.
        let sizes = unsafe { (*self.raw()).pgsize_bitmap } as u64;
        if sizes == 0 {
            1 << bindings::PAGE_SHIFT
        } else {
            sizes
        }
    }

    /// Has the IOMMU set dirty bits, if it does not do so already.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP if the domain has none.
    pub(crate) fn track(&self) -> Result {
        // SAFETY: `self` is a domain that is being visited.
        to_result(unsafe { abi::vvp_domain_track(self.0.get()) })
    }

    /// The lowest mapping that reaches into `window`.
    pub(crate) fn area(&self, window: Span) -> Option<Area<'_>> {
        let (mut first, mut last) = (0, 0);
        // SAFETY: `self` is a domain that is being visited.
        let found = unsafe {
            abi::vvp_domain_area(
                self.0.get(),
                window.first() as c_ulong,
                window.last() as c_ulong,
                &mut first,
                &mut last,
            )
        };
        let span = Span::new(first as u64, last as u64).filter(|_| found)?;
        // INVARIANT: This is what `vvp_domain_area` gives.
        Some(Area { domain: self, span })
    }
}

/// A mapping of a domain that is being visited.
///
/// # Invariants
///
/// `span` is all of one mapping of `domain`.
pub(crate) struct Area<'a> {
    domain: &'a Domain,
    span: Span,
}

impl Area<'_> {
    /// Where it is.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Moves the dirty bits of `part` to `bitmap`, in which all of `part` must be
    /// pinned lest they are lost. Pages that are only partly in `part` lose theirs.
    ///
    /// # Errors
    ///
    /// EINVAL if `part` is not in this mapping, or what the IOMMU's driver gives.
    pub(crate) fn read(&self, part: Span, bitmap: &mut Bitmap<'_>) -> Result {
        if !self.span.contains(part) {
            return Err(EINVAL);
        }
        // SAFETY: The domain is being visited, `part` is in one mapping by the type invariant, and
        // the bitmap is valid by its own. Mappings are shorter than the address space.
        to_result(unsafe {
            abi::vvp_domain_read(
                self.domain.0.get(),
                part.first() as c_ulong,
                (part.last() - part.first() + 1) as usize,
                bitmap.as_ptr(),
            )
        })
    }

    /// Takes the dirty bit of the page around `address`. Gives the page if it is
    /// dirty.
    ///
    /// # Errors
    ///
    /// EINVAL if `address` is not in this mapping, or what the IOMMU's driver
    /// gives.
    pub(crate) fn take_page(&self, address: u64) -> Result<Option<Span>> {
        let smallest = Span::block(address, self.domain.page_sizes().trailing_zeros());
        if !self.span.contains(smallest) {
            return Err(EINVAL);
        }
        let (mut first, mut last) = (0, 0);
        // SAFETY: As in `read`, and no page is smaller than this block, all of which are aligned.
        let found = unsafe {
            abi::vvp_domain_take_page(
                self.domain.0.get(),
                smallest.first() as c_ulong,
                (smallest.last() - smallest.first() + 1) as usize,
                &mut first,
                &mut last,
            )
        };
        to_result(found.min(0))?;
        Ok(Span::new(first as u64, last as u64).filter(|_| found > 0))
    }
}
