// SPDX-License-Identifier: GPL-2.0
//! The bench's vfio-user socket.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vvp_fuzz::vfio_user::run(data));
