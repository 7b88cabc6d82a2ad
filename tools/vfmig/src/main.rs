// SPDX-License-Identifier: GPL-2.0
//! The program; all of it is in the library, which the documentation is made from, too.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    vfmig::run(&vfmig::cli::Options::parse())
}
