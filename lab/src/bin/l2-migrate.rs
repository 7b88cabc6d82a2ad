// SPDX-License-Identifier: GPL-2.0
//! `l2-migrate`: live-migrates a guest between two virtual functions, inside the
//! host under test, and judges the result.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use vvp_lab::host::{
    Common, DeviceType, DirtyTracker, Driver, Options, Report, Scenario, Tracking, Verdict,
    VirtualIommu, ktap, render, run, verdicts,
};

/// Live-migrates a guest that owns a virtio VF of the bench.
#[derive(Parser)]
#[command(name = "l2-migrate")]
struct Arguments {
    /// What happens to the guest.
    #[arg(long, value_enum, default_value = "once")]
    scenario: Scenario,
    /// What the tests are called, where the bench makes this run what it is.
    #[arg(long, value_name = "NAME")]
    called: Option<String>,
    /// The driver that the VFs are bound to.
    #[arg(long, value_enum, default_value = "rs")]
    driver: Driver,
    /// What the bench's functions are.
    #[arg(long, value_enum, default_value = "net")]
    device: DeviceType,
    /// Have the IOMMU model lose dirty bits; pass only if the page check notices.
    #[arg(long, conflicts_with = "scenario")]
    negative_control: bool,
    /// Have the guest use its device by the legacy interface only.
    #[arg(long)]
    legacy_guest: bool,
    /// Give the guest an IOMMU, which its devices are behind, to use in this way.
    #[arg(long, value_enum, value_name = "USE", conflicts_with = "scenario")]
    virtual_iommu: Option<VirtualIommu>,
    #[command(flatten)]
    tracking: Tracking,
    /// Fail unless QEMU learns from this one which pages the device writes.
    #[arg(long, value_enum, value_name = "WHO")]
    expect_tracker: DirtyTracker,
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
    match act(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Migrates and reports. True if every requirement is met.
fn act(arguments: &Arguments) -> Result<bool> {
    let report = run(&Options {
        common: arguments.common.clone(),
        scenario: arguments.scenario,
        called: arguments.called.clone(),
        device: arguments.device,
        driver: arguments.driver,
        dirty_bits_off: arguments.negative_control,
        legacy_guest: arguments.legacy_guest,
        virtual_iommu: arguments.virtual_iommu,
        tracking: arguments.tracking,
        expect_tracker: arguments.expect_tracker,
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
    print!("{}", ktap(fixture, verdicts, &notes));
}
