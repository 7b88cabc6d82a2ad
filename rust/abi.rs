// SPDX-License-Identifier: GPL-2.0

//! Raw bindings of what the kernel crate does not bind, made by bindgen from
//! `include/bindings.h`. Used by the abstraction layers `vfio` and `virtio` only.

#![allow(
    clippy::all,
    clippy::as_ptr_cast_mut,
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    improper_ctypes,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

use kernel::bindings::*;
use pin_init::MaybeZeroable;

include!(env!("VVP_ABI"));
