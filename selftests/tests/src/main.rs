// SPDX-License-Identifier: GPL-2.0
//! `vvp-selftests`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    vvp_selftests::main()
}
