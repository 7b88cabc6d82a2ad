// SPDX-License-Identifier: GPL-2.0
//! `vvp-benchmark`: migrates functions of the bench with this driver and the in-tree one,
//! by turns and in one boot, and prints what it measured, one series a line (see the crate
//! `report`).
//!
//! It runs in the host under test. Times of an emulated machine mean nothing by themselves;
//! their ratios do, and so do numbers of commands and bytes.

mod clock;
mod commands;
mod context;
mod grid;
mod link;
mod many;
mod memory;
mod output;
mod pair;
mod phases;
mod questions;
mod switchover;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

/// Measures migration, in the bench's machine.
#[derive(Parser)]
#[command(name = "vvp-benchmark", version)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, required = true)]
    what: Vec<What>,
    /// Measurements of each kind at each point, with each driver.
    #[arg(long, default_value_t = 10)]
    repetitions: usize,
    /// Only small contexts, to see that everything works.
    #[arg(long)]
    small: bool,
}

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// From the request to stop until the target runs, against the size of the context, the
    /// share of it that changes, and the way of the stream
    Switchover,
    /// Single transitions, saving and loading
    Phases,
    /// Questions that are asked in a loop
    Questions,
    /// Admin commands of a whole switchover, with a device that is quick and one that is not
    Commands,
    /// Kernel memory of a session
    Memory,
    /// Several functions at once
    Many,
    /// Processor time alone, for a machine whose clock counts instructions
    Instructions,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.repetitions > 0, "--repetitions 0: nothing to do");
    let repetitions = arguments.repetitions;
    let mut bench = pair::Bench::new()?;
    for what in &arguments.what {
        match what {
            What::Switchover => grid::run(&mut bench, repetitions, arguments.small)?,
            What::Phases => phases::run(&mut bench, repetitions, arguments.small)?,
            What::Questions => questions::run(&mut bench, repetitions)?,
            What::Commands => commands::run(&mut bench, repetitions)?,
            What::Memory => memory::run(&mut bench, arguments.small)?,
            What::Many => many::run(&mut bench, repetitions, arguments.small)?,
            What::Instructions => phases::instructions(&mut bench, repetitions, arguments.small)?,
        }
    }
    Ok(())
}
