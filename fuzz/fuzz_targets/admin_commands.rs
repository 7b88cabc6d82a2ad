// SPDX-License-Identifier: GPL-2.0
//! The bench's administration commands.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vvp_fuzz::admin_commands::run(data));
