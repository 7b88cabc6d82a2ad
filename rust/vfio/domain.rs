// SPDX-License-Identifier: GPL-2.0

//! What a device is attached to, and the dirty bits there.

use crate::{
    abi,
    logic::span::Span, //
};
use core::{
    marker::PhantomData,
    ptr::{
        self,
        addr_of_mut, //
    }, //
};
use kernel::{
    bindings,
    device::Core,
    error::to_result,
    pci,
    prelude::*,
    types::Opaque, //
};

/// Can dirty bits of an IOMMU be read, where an IOMMU has any? See `domain.c`.
pub(crate) fn dirty_bits_readable() -> bool {
    // SAFETY: The function has no requirements.
    unsafe { abi::vvp_domain_readable() }
}

/// Does the IOMMU in front of the device set dirty bits, in domains made for it?
pub(crate) fn iommu_tracks(pdev: &pci::Device<Core<'_>>) -> bool {
    let pdev = ptr::from_ref(pdev).cast::<bindings::pci_dev>().cast_mut();
    // SAFETY: `pci::Device` is a transparent wrapper of `pci_dev`, and the device is valid.
    unsafe {
        bindings::device_iommu_capable(
            addr_of_mut!((*pdev).dev),
            bindings::iommu_cap_IOMMU_CAP_DIRTY_TRACKING,
        )
    }
}

/// A bitmap of userspace's that takes addresses.
///
/// # Invariants
///
/// The bitmap exists as long as this reference to it, and nobody else uses it.
pub(crate) struct Bitmap<'a>(&'a Opaque<abi::iova_bitmap>);

impl<'a> Bitmap<'a> {
    /// Addresses that are set in one go.
    const STRIDE: u64 = 1 << 38;

    /// # Safety
    ///
    /// `bitmap` must be valid for the whole of `'a`, and used by nobody else.
    pub(super) unsafe fn from_raw(bitmap: *mut abi::iova_bitmap) -> Self {
        // SAFETY: By the requirements of this function; `Opaque` is a transparent wrapper.
        // INVARIANT: As required.
        Self(unsafe { &*bitmap.cast::<Opaque<abi::iova_bitmap>>() })
    }

    /// Marks all pages of `span` as dirty. It must be inside of what is asked for.
    ///
    /// # Errors
    ///
    /// EINTR if the process is being killed.
    pub(crate) fn set(&mut self, span: Span) -> Result {
        let mut rest = Some(span);
        while let Some(span) = rest {
            let part = match Span::with_length(span.first(), Self::STRIDE) {
                Some(stride) => stride.intersection(span).unwrap_or(span),
                None => span,
            };
            // SAFETY: By the type invariant. The length is `STRIDE` at most.
            unsafe {
                abi::vvp_iova_bitmap_set(
                    self.0.get(),
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

/// Lets others run, in a loop that may take long. May sleep.
///
/// # Errors
///
/// EINTR if the process is being killed.
pub(crate) fn pause() -> Result {
    // SAFETY: The function has no requirements but that its caller may sleep, as callers here may:
    // they hold mutexes at most.
    unsafe { abi::vvp_cond_resched() };
    // SAFETY: The function has no requirements.
    if unsafe { abi::vvp_fatal_signal_pending() } {
        return Err(EINTR);
    }
    Ok(())
}

/// The attachment of an open device to an address space.
///
/// # Invariants
///
/// The device is open as long as this exists.
pub(crate) struct Attachment<'a> {
    device: *mut abi::vfio_device,
    _open: PhantomData<&'a ()>,
}

impl Attachment<'_> {
    /// # Safety
    ///
    /// `device` must be an open device for as long as the result is used.
    pub(super) unsafe fn new(device: *mut abi::vfio_device) -> Self {
        // INVARIANT: By the requirement of this function.
        Self {
            device,
            _open: PhantomData,
        }
    }

    /// Runs `f` on the domain that iommufd has attached the device to. It stays
    /// attached, and its mappings mapped, until `f` returns.
    ///
    /// # Errors
    ///
    /// ENODEV if the device is attached by other means or not at all,
    /// EOPNOTSUPP if domains cannot be visited, see `domain.c`.
    pub(crate) fn visit<F: FnOnce(&Domain) -> R, R>(&self, f: F) -> Result<R> {
        let mut visit = Visit {
            f: Some(f),
            result: None,
        };
        // SAFETY: The device is open by the type invariant. `call` is given the domain and what
        // it expects as argument, which lives until this function returns.
        to_result(unsafe {
            abi::vvp_domain_visit(
                self.device,
                Some(call::<F, R>),
                addr_of_mut!(visit).cast::<c_void>(),
            )
        })?;
        visit.result.ok_or(EIO)
    }
}

struct Visit<F, R> {
    f: Option<F>,
    result: Option<R>,
}

/// # Safety
///
/// `domain` must be one that is being visited, `arg` a `Visit<F, R>` that nobody else uses.
unsafe extern "C" fn call<F: FnOnce(&Domain) -> R, R>(
    domain: *mut abi::vvp_domain,
    arg: *mut c_void,
) {
    // SAFETY: By the requirements of this function. `Domain` is a transparent wrapper.
    let (domain, visit) = unsafe { (&*domain.cast::<Domain>(), &mut *arg.cast::<Visit<F, R>>()) };
    visit.result = visit.f.take().map(|f| f(domain));
}

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

    /// Moves the dirty bits of `part` to `bitmap`. Pages that are only partly in
    /// `part` lose theirs.
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
                bitmap.0.get(),
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
