// SPDX-License-Identifier: GPL-2.0
//! The bench's rings and descriptor chains.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vvp_fuzz::descriptor_chains::run(data));
