// SPDX-License-Identifier: GPL-2.0
//! The checker of device parts on any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vvp_fuzz::device_parts::run(data));
