// SPDX-License-Identifier: GPL-2.0

//! The module's trace events. They are made in C, see `rust/trace.c`.

use crate::{
    abi,
    logic::{
        record::Header,
        stats::Phase, //
    },
    vfio, //
};
use kernel::prelude::*;

/// Event `arc`.
pub(super) fn arc(device: &CStr, arc: &vfio::Transition) {
    let errno = arc.result.map_or_else(Error::to_errno, |()| 0);
    let ns = u64::try_from(arc.duration.as_nanos()).unwrap_or(0);
    // SAFETY: The name is a C string; the event copies it.
    unsafe {
        abi::vvp_trace_arc(
            device.as_char_ptr(),
            arc.from.as_raw(),
            arc.to.as_raw(),
            errno,
            ns,
        )
    };
}

/// Event `record`.
pub(super) fn record(device: &CStr, phase: Phase, header: &Header) {
    // SAFETY: As in `arc`.
    unsafe {
        abi::vvp_trace_record(
            device.as_char_ptr(),
            phase as u8,
            header.tag,
            header.flags,
            header.size,
        )
    };
}

/// Event `admin_command`; `errno` is positive or zero.
pub(super) fn admin_command(device: &CStr, opcode: u16, errno: i32, ns: u64) {
    // SAFETY: As in `arc`.
    unsafe { abi::vvp_trace_admin_command(device.as_char_ptr(), opcode, -errno, ns) };
}
