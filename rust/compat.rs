// SPDX-License-Identifier: GPL-2.0

//! What is not the same in all kernel series that the module is built for: each as
//! the newest has it, and all that is said of another series is said here.
//!
//! `Kbuild` sets `vvp_kernel_7_2`.

use crate::vfio::Migration;
use kernel::{
    module_param::ModuleParamAccess,
    prelude::*, //
};

#[cfg(not(vvp_kernel_7_2))]
mod series {
    pub(crate) use kernel::{
        error::code::{
            ENOMSG,
            EOPNOTSUPP, //
        },
        module::this_module, //
    };

    use super::*;

    /// `length` zeroes.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn zeroed(length: usize, flags: kernel::alloc::Flags) -> Result<KVec<u8>> {
        Ok(KVec::zeroed(length, flags)?)
    }

    /// The value of a parameter of the module.
    pub(crate) fn value<T: Copy>(parameter: &ModuleParamAccess<T>) -> T {
        parameter.value()
    }

    impl<M: Migration> super::Owned for M {
        type Module = M::OwnerModule;
    }

    /// Are dirty bits of the IOMMU lost by whoever reads them?
    pub(crate) const DIRTY_BITS_ARE_LOST: bool = false;

    /// A table of [`OverrideId`](crate::vfio::OverrideId)s.
    macro_rules! device_table {
        ($name:ident, [$($id:expr),* $(,)?]) => {
            ::kernel::module_device_table!("pci", $crate::vfio::OverrideId, $name, @none, [$($id),*]);
        };
    }

    /// `module!` with parameters that are `flags`, on or off.
    macro_rules! module_with_flags {
        (
            $($key:ident: $value:tt,)*
            @params { $($params:tt)* }
            @flags { $($flag:ident: $default:literal, $description:literal;)* }
        ) => {
            module! {
                $($key: $value,)*
                params: {
                    $($params)*
                    $($flag: bool { default: $default, description: $description, },)*
                },
            }
        };
    }

    pub(crate) use {
        device_table,
        module_with_flags, //
    };

    impl super::Flag for bool {
        fn is_set(&self) -> bool {
            *self
        }
    }
}

#[cfg(vvp_kernel_7_2)]
mod series {
    use super::*;
    use kernel::{
        bindings,
        ffi::c_int,
        ModuleMetadata, //
    };

    const fn error(errno: u32) -> Error {
        // SAFETY: An `Error` is made of a `NonZeroI32` alone, and no larger, or this would
        // not compile; the negative of an errno is what it holds.
        unsafe { core::mem::transmute::<c_int, Error>(-(errno as c_int)) }
    }

    pub(crate) const ENOMSG: Error = error(bindings::ENOMSG);
    pub(crate) const EOPNOTSUPP: Error = error(bindings::EOPNOTSUPP);

    /// The module of this crate, which is the only one that there is here.
    // The type is the newer series' way to say which.
    #[allow(clippy::extra_unused_type_parameters)]
    pub(crate) const fn this_module<M: ModuleMetadata>() -> &'static ThisModule {
        &crate::THIS_MODULE
    }

    /// `length` zeroes.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn zeroed(length: usize, flags: kernel::alloc::Flags) -> Result<KVec<u8>> {
        Ok(KVec::from_elem(0, length, flags)?)
    }

    /// The value of a parameter of the module.
    pub(crate) fn value<T: Copy>(parameter: &ModuleParamAccess<T>) -> T {
        *parameter.value()
    }

    impl<M: Migration> super::Owned for M {
        type Module = crate::LocalModule;
    }

    /// Are dirty bits of the IOMMU lost by whoever reads them? `record_dirty()` of this series
    /// leaves out the last of the entries that make one page, and what a page has below the
    /// address that was asked for, and clears the dirty bit of all of it.
    pub(crate) const DIRTY_BITS_ARE_LOST: bool = true;

    /// A table of [`OverrideId`](crate::vfio::OverrideId)s.
    macro_rules! device_table {
        ($name:ident, [$($id:expr),* $(,)?]) => {
            const $name: ::kernel::device_id::IdArray<
                $crate::vfio::OverrideId,
                (),
                { <[$crate::vfio::OverrideId]>::len(&[$($id),*]) },
            > = ::kernel::device_id::IdArray::new_without_index([$(($id, ())),*]);
            ::kernel::module_device_table!("pci", MODULE_ID_TABLE, $name);
        };
    }

    /// `module!` with parameters that are `flags`, on or off: 1 or 0, as it knows no
    /// others than numbers.
    macro_rules! module_with_flags {
        (
            $($key:ident: $value:tt,)*
            @params { $($params:tt)* }
            @flags { $($flag:ident: $default:literal, $description:literal;)* }
        ) => {
            module! {
                $($key: $value,)*
                params: {
                    $($params)*
                    $($flag: u8 { default: $default as u8, description: $description, },)*
                },
            }
        };
    }

    pub(crate) use {
        device_table,
        module_with_flags, //
    };

    impl super::Flag for u8 {
        fn is_set(&self) -> bool {
            *self != 0
        }
    }
}

pub(crate) use series::*;

/// Who implements something, and must stay while it is used.
pub(crate) trait Owned {
    /// The module of the implementation.
    type Module: kernel::ModuleMetadata;
}

/// The module that `T` is of.
pub(crate) type Owner<T> = <T as Owned>::Module;

/// The value of one of the `flags` of [`module_with_flags!`].
pub(crate) trait Flag {
    /// Is it on?
    fn is_set(&self) -> bool;
}
