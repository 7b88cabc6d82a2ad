// SPDX-License-Identifier: GPL-2.0
//! `l2-migrate`: live-migrates a guest between two virtual functions, inside the
//! host under test, and judges the result.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use harness::pci::Address;
use l2::host::{DeviceType, Driver, Options, Report, Tracking, Verdict, render, run, verdicts};
use runner::paths;

/// Live-migrates a guest that owns a virtio VF of the bench.
#[derive(Parser)]
#[command(name = "l2-migrate")]
struct Arguments {
    /// The driver that the VFs are bound to.
    #[arg(long, value_enum, default_value = "rs")]
    driver: Driver,
    /// What the bench's functions are.
    #[arg(long, value_enum, default_value = "net")]
    device: DeviceType,
    /// Have the IOMMU model lose dirty bits; pass only if the page check notices.
    #[arg(long)]
    negative_control: bool,
    /// Have the guest use its device by the legacy interface only.
    #[arg(long)]
    legacy_guest: bool,
    #[command(flatten)]
    tracking: Tracking,
    /// The physical function.
    #[arg(long, value_name = "ADDRESS", default_value = "0000:01:00.0")]
    pf: Address,
    /// Build directory of the guest's kernel.
    #[arg(long, env = "VVP_KERNEL", value_name = "DIR")]
    kernel: PathBuf,
    /// The guest's initial file system.
    #[arg(long, env = "VVP_L2_INITRD", value_name = "FILE", default_value_os_t = paths::l2_initrd())]
    initrd: PathBuf,
    /// Guest memory, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 160)]
    memory: u32,
    /// Directory for logs.
    #[arg(long, value_name = "DIR", default_value = ".")]
    logs: PathBuf,
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
        pf: arguments.pf.clone(),
        device: arguments.device,
        driver: arguments.driver,
        dirty_bits_off: arguments.negative_control,
        legacy_guest: arguments.legacy_guest,
        tracking: arguments.tracking,
        kernel: arguments.kernel.clone(),
        initrd: arguments.initrd.clone(),
        memory: arguments.memory,
        logs: arguments.logs.clone(),
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
    let fixture = if report.setting.dirty_bits_off {
        "l2_negative_control"
    } else if report.setting.legacy_guest {
        "l2_legacy_guest"
    } else if report.setting.device == DeviceType::Blk {
        "l2_blk_migration"
    } else {
        report.setting.fixture
    };
    println!("KTAP version 1");
    println!("1..{}", verdicts.len());
    for line in render(report).lines() {
        println!("# {line}");
    }
    for oddity in &report.guest_oddities {
        println!("# report: {fixture}: not held against the driver: {oddity}");
    }
    for (index, verdict) in verdicts.iter().enumerate() {
        let number = index + 1;
        match &verdict.problem {
            None => println!("ok {number} {fixture}.{}", verdict.name),
            Some(problem) => {
                let problem = problem.replace('\n', " ");
                println!("not ok {number} {fixture}.{} # {problem}", verdict.name);
            }
        }
    }
}
