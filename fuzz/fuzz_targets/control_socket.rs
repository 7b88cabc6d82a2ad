// SPDX-License-Identifier: GPL-2.0
//! The bench's control socket.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vvp_fuzz::control_socket::run(data));
