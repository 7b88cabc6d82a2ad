// SPDX-License-Identifier: GPL-2.0

//! Settings of a device in sysfs: a number that userspace reads and writes in
//! the PCI device's directory, while the driver is bound.
//!
//! # Examples
//!
//! ```ignore
//! struct Patience;
//!
//! impl vfio::Setting<MyDriver> for Patience {
//!     const NAME: &'static CStr = c"patience_ms";
//!
//!     fn get(migration: &MyMigration) -> u32 {
//!         migration.patience_ms.load(Relaxed)
//!     }
//!
//!     fn set(migration: &MyMigration, value: u32) -> Result {
//!         migration.patience_ms.store(value, Relaxed);
//!         Ok(())
//!     }
//! }
//!
//! #[vtable]
//! impl vfio::Driver for MyDriver {
//!     const SETTINGS: vfio::Settings<Self> = vfio::Settings::one::<Patience>();
//!     // ...
//! }
//! ```

use super::driver::{
    device_of,
    Driver, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    prelude::*,
    str::{
        as_char_ptr_in_const_context,
        parse_int::ParseInt,
        BStr, //
    }, //
};

/// A number that userspace can read and write.
pub(crate) trait Setting<D: Driver>: 'static {
    /// Name of the file.
    const NAME: &'static CStr;

    /// The value now.
    fn get(migration: &D::Migration) -> u32;

    /// Sets the value.
    ///
    /// Called without locks of ours; several writers may come at once.
    ///
    /// # Errors
    ///
    /// The value is none that can be set; it stays as it was.
    fn set(migration: &D::Migration, value: u32) -> Result;
}

/// The settings that a driver's devices have.
///
/// # Invariants
///
/// `groups` is null or points to a null-terminated array of attribute groups
/// whose callbacks expect a device bound to `D`; all of it is static.
pub(crate) struct Settings<D> {
    groups: *const *const bindings::attribute_group,
    _driver: PhantomData<fn() -> D>,
}

impl<D: Driver> Settings<D> {
    /// No settings.
    pub(crate) const NONE: Self = Self {
        // INVARIANT: Null is allowed.
        groups: ptr::null(),
        _driver: PhantomData,
    };

    /// One setting.
    pub(crate) const fn one<S: Setting<D>>() -> Self {
        Self {
            // INVARIANT: `Group<D, S>` is of this driver, and a promoted constant is static.
            groups: Group::<D, S>::GROUPS.as_ptr(),
            _driver: PhantomData,
        }
    }

    pub(super) const fn groups(&self) -> *const *const bindings::attribute_group {
        self.groups
    }
}

/// The attribute group of setting `S`, with nothing else in it.
struct Group<D, S>(PhantomData<(D, S)>);

impl<D: Driver, S: Setting<D>> Group<D, S> {
    // There is more to an attribute when lockdep is configured.
    #[allow(clippy::needless_update)]
    const ATTRIBUTE: &'static bindings::device_attribute = &bindings::device_attribute {
        attr: bindings::attribute {
            name: as_char_ptr_in_const_context(S::NAME),
            mode: 0o644,
            ..pin_init::zeroed()
        },
        __bindgen_anon_1: bindings::device_attribute__bindgen_ty_1 {
            show: Some(show::<D, S>),
        },
        __bindgen_anon_2: bindings::device_attribute__bindgen_ty_2 {
            store: Some(store::<D, S>),
        },
    };

    const ATTRIBUTES: &'static [*const bindings::attribute; 2] =
        &[&Self::ATTRIBUTE.attr, ptr::null()];

    const GROUP: &'static bindings::attribute_group = &bindings::attribute_group {
        __bindgen_anon_1: bindings::attribute_group__bindgen_ty_1 {
            is_visible: Some(is_visible::<D>),
        },
        __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
            attrs_const: Self::ATTRIBUTES.as_ptr(),
        },
        ..pin_init::zeroed()
    };

    const GROUPS: &'static [*const bindings::attribute_group; 2] = &[Self::GROUP, ptr::null()];
}

/// Gives the migration of `dev`, if it has any.
///
/// # Safety
///
/// `dev` must be the device of a PCI device bound to `D`, past its probe, for the whole of `'a`.
unsafe fn migration_of<'a, D: Driver>(dev: *mut bindings::device) -> Option<&'a D::Migration> {
    // SAFETY: By the requirement of this function.
    unsafe { device_of::<D>(kernel::container_of!(dev, bindings::pci_dev, dev)) }
        .migration()
        .map(|state| state.migration())
}

/// Hides the settings of a device without migration.
///
/// # Safety
///
/// `kobj` must be that of a PCI device that is bound to `D`. The driver core adds
/// a driver's groups after the probe and takes them away before the removal.
unsafe extern "C" fn is_visible<D: Driver>(
    kobj: *mut bindings::kobject,
    attribute: *mut bindings::attribute,
    _index: c_int,
) -> bindings::umode_t {
    // SAFETY: By the requirement of this function; `attribute` is one of the group's.
    unsafe {
        let dev = kernel::container_of!(kobj, bindings::device, kobj);
        match migration_of::<D>(dev) {
            Some(_) => (*attribute).mode,
            None => 0,
        }
    }
}

/// # Safety
///
/// `dev` must be bound to `D`, as for [`is_visible`]; taking an attribute away
/// waits for its callbacks. `buf` must be the page that sysfs hands out.
unsafe extern "C" fn show<D: Driver, S: Setting<D>>(
    dev: *mut bindings::device,
    _attribute: *mut bindings::device_attribute,
    buf: *mut c_char,
) -> isize {
    // SAFETY: By the requirement of this function.
    let Some(migration) = (unsafe { migration_of::<D>(dev) }) else {
        return ENODEV.to_errno() as isize;
    };
    // SAFETY: `buf` is a page of sysfs, and the format fits its argument.
    unsafe { bindings::sysfs_emit(buf, c"%u\n".as_char_ptr(), S::get(migration)) as isize }
}

/// # Safety
///
/// `dev` must be bound to `D`, as for [`show`], and `buf` valid for reading `count` bytes.
unsafe extern "C" fn store<D: Driver, S: Setting<D>>(
    dev: *mut bindings::device,
    _attribute: *mut bindings::device_attribute,
    buf: *const c_char,
    count: usize,
) -> isize {
    // SAFETY: By the requirement of this function.
    let Some(migration) = (unsafe { migration_of::<D>(dev) }) else {
        return ENODEV.to_errno() as isize;
    };
    // SAFETY: By the requirement of this function.
    let text = unsafe { core::slice::from_raw_parts(buf.cast::<u8>(), count) };
    let number = u32::from_str(BStr::from_bytes(text.trim_ascii()));
    match number.and_then(|number| S::set(migration, number)) {
        // sysfs gives less than a page.
        Ok(()) => count as isize,
        Err(error) => error.to_errno() as isize,
    }
}
