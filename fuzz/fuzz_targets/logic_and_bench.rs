// SPDX-License-Identifier: GPL-2.0
//! The driver's logic and the bench against each other.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vvp_fuzz::logic_and_bench::run(data));
