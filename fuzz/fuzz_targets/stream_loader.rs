// SPDX-License-Identifier: GPL-2.0
//! The stream loader on any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vvp_fuzz::stream_loader::run(data));
