// SPDX-License-Identifier: GPL-2.0
//! What vfmig reads: streams and timelines.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vvp_fuzz::vfmig_readers::run(data));
