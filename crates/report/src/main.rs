// SPDX-License-Identifier: GPL-2.0
//! `vvp-report`: from the benchmark's measurements to a page, pictures, and a file
//! for programs.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use report::{Results, overview, summary};

/// Turns measurements into performance.rst, its pictures, and results.json.
#[derive(Parser)]
#[command(name = "vvp-report", version)]
struct Arguments {
    /// What the benchmark wrote: one JSON object a line.
    #[arg(value_name = "RESULTS.jsonl")]
    results: PathBuf,
    /// Where to write; made if it is missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
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
    let name = arguments.results.display();
    let file = File::open(&arguments.results)
        .with_context(|| format!("{name}: give a file that the benchmark wrote"))?;
    let input = report::read(BufReader::new(file)).with_context(|| name.to_string())?;
    let results = Results::new(&input);
    report::write_all(&results, &arguments.out)?;

    for item in summary::summary(&results) {
        println!("- {item}");
    }
    println!("\n{}", overview::overview(&results));
    let page = arguments.out.join("performance.rst");
    println!("{} has the page.", page.display());
    Ok(())
}
