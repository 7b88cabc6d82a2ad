// SPDX-License-Identifier: GPL-2.0
//! `kernel-selftests`: runs the kernel's own VFIO selftests, as they are, on two
//! VFs of the bench that are bound to this project's driver, and reports them as
//! subtests `vfio.PROGRAM.TEST`.
//!
//! They were written for any vfio-pci device by people who do not know this
//! project. What they skip must be expected: see [`expected`].

mod expected;
mod list;
mod prepare;
mod program;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use vvp_harness::ktap;
use vvp_harness::pci::Address;

use report::Outcome;

/// Runs tools/testing/selftests/vfio on VFs of the bench. Prints KTAP.
#[derive(Parser)]
#[command(name = "kernel-selftests")]
struct Arguments {
    /// Where the kernel's makefiles have installed the selftests.
    #[arg(long, env = "VVP_KERNEL_SELFTESTS", value_name = "DIR")]
    installed: PathBuf,
    /// The physical function.
    #[arg(long, value_name = "ADDRESS", default_value = "0000:01:00.0")]
    pf: Address,
    /// Directory for the programs' output.
    #[arg(long, value_name = "DIR", default_value = ".")]
    logs: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::from(ktap::PASS),
        Ok(false) => ExitCode::from(ktap::FAIL),
        Err(error) => {
            println!("Bail out! {error:#}");
            ExitCode::from(ktap::FAIL)
        }
    }
}

/// Runs all programs. True if every one did as expected.
///
/// A program that hangs is an error, which ends the run: one of its processes may
/// still hold the device, and what the others say then would mean nothing.
fn run(arguments: &Arguments) -> Result<bool> {
    let programs = list::programs(&arguments.installed)?;
    println!("KTAP version 1");
    println!("1..{}", programs.len());
    let functions = prepare::prepare(&arguments.pf)?;
    let mut good = true;
    for (index, program) in programs.iter().enumerate() {
        println!("# {}", program.title());
        let ended = program.run(&functions, &arguments.logs)?;
        let report = report::read(&program.title(), &ended, expected::SKIPS);
        print!("{}", report.subtests);
        let number = index + 1;
        match &report.outcome {
            Outcome::Pass => println!("ok {number} {}", program.title()),
            Outcome::Skip(why) => println!("ok {number} {} # SKIP {why}", program.title()),
            Outcome::Fail(why) => println!("not ok {number} {} # {why}", program.title()),
        }
        good &= !matches!(report.outcome, Outcome::Fail(_));
    }
    Ok(good)
}
