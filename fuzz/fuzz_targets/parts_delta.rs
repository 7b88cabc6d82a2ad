// SPDX-License-Identifier: GPL-2.0
//! Deltas between two contexts.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vvp_fuzz::parts_delta::run(data));
