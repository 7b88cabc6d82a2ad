// SPDX-License-Identifier: GPL-2.0
//! `l2-migrate`: live-migrates a guest between two virtual functions, inside the
//! host under test, and judges the result.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, Result};
use clap::Parser;
use vvp_harness::ktap;
use vvp_lab::host::scenario::{self, Scenario};
use vvp_lab::host::vmm::Choice;
use vvp_lab::host::{
    Common, DirtyTracker, Driver, Options, Report, Tracking, Verdict, render, run, verdicts,
};

/// Live-migrates a guest that owns a virtio VF of the bench.
#[derive(Parser)]
#[command(name = "l2-migrate")]
struct Arguments {
    /// List the scenarios that are part of this program.
    #[arg(long)]
    list: bool,
    /// What happens to the guest: one of those, or a file.
    #[arg(long, default_value = "once", value_name = "NAME|FILE")]
    scenario: String,
    /// What the tests are called, where the bench makes this run what it is.
    #[arg(long, value_name = "NAME")]
    called: Option<String>,
    /// The driver that the VFs are bound to.
    #[arg(long, value_enum, default_value = "rs")]
    driver: Driver,
    #[command(flatten)]
    vmm: Choice,
    #[command(flatten)]
    tracking: Tracking,
    /// Fail unless QEMU learns from this one which pages the device writes.
    #[arg(long, value_enum, value_name = "WHO", required_unless_present = "list")]
    expect_tracker: Option<DirtyTracker>,
    #[command(flatten)]
    common: Common,
    /// Report as KTAP.
    #[arg(long)]
    ktap: bool,
    /// Write the report to this file instead of printing it.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write all figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.list {
        true => list().map(|()| true),
        false => act(&arguments),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the scenarios there are.
fn list() -> Result<()> {
    for scenario in scenario::all()? {
        println!("{:26} {}", scenario.name, scenario.about);
        if !scenario.bench.is_empty() {
            println!("{:26} (bench: {})", "", scenario.bench.join(" "));
        }
    }
    Ok(())
}

/// Migrates and reports. True if every requirement is met.
fn act(arguments: &Arguments) -> Result<bool> {
    let report = run(&Options {
        common: arguments.common.clone(),
        scenario: Scenario::find(&arguments.scenario)?,
        called: arguments.called.clone(),
        driver: arguments.driver,
        program: Rc::from(arguments.vmm.program()),
        tracking: arguments.tracking,
        expect_tracker: arguments
            .expect_tracker
            .context("--expect-tracker is missing")?,
    });
    let verdicts = verdicts(&report);
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report).context("encoding the report")?;
        fs::write(path, text + "\n").with_context(|| format!("writing {path:?}"))?;
    }
    match &arguments.report {
        Some(path) => {
            fs::write(path, render(&report)).with_context(|| format!("writing {path:?}"))?;
        }
        None if arguments.ktap => print_ktap(&report, &verdicts),
        None => print!("{}", render(&report)),
    }
    if let Some(error) = &report.error {
        eprintln!("error: {error}");
    }
    Ok(verdicts.iter().all(|verdict| verdict.problem.is_none()))
}

/// The verdicts as KTAP, the report as diagnostics before them.
fn print_ktap(report: &Report, verdicts: &[Verdict]) {
    let fixture = &report.setting.fixture;
    let mut notes = render(report);
    for oddity in &report.guest_oddities {
        notes += &format!("report: {fixture}: not held against the driver: {oddity}\n");
    }
    let finished = verdicts.iter().map(|verdict| verdict.finished(fixture));
    print!("{}", ktap::report_finished(&notes, finished));
}
