// SPDX-License-Identifier: GPL-2.0

//! What a device is attached to.

use super::domain::Domain;
use crate::abi;
use core::{
    marker::PhantomData,
    ptr::addr_of_mut, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

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
