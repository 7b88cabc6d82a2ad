// SPDX-License-Identifier: GPL-2.0
//! `vvp-run demo`: one live migration of a guest, and a report to read.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::console;
use crate::l1::{self, Job};
use crate::paths;
use crate::progress::Progress;
use crate::setup::Setup;

/// Names, in the run directory, of what `l2-migrate` leaves for us.
const REPORT: &str = "report.txt";
const REPORT_JSON: &str = "report.json";

/// Migrates a guest with driver `driver` ("rs" or "c"), prints the report, and
/// says whether all was as it must be.
pub fn run(setup: &Setup, driver: &str, keep: bool) -> Result<bool> {
    let mut progress = Progress::start("live migration");
    let command = [
        paths::program("l2-migrate").display().to_string(),
        "--driver".to_string(),
        driver.to_string(),
        "--expect-tracker".to_string(),
        "iommu".to_string(),
        "--report".to_string(),
        REPORT.to_string(),
        "--json".to_string(),
        REPORT_JSON.to_string(),
    ];
    let job = Job {
        kernel: setup.kernel.clone(),
        memory: "3G".to_string(),
        bench: Some(paths::program("vfio-bench")),
        bench_arguments: Vec::new(),
        qemu_arguments: Vec::new(),
        timeout: Duration::from_secs(360),
        keep,
        environment: setup.environment(),
        command: command.to_vec(),
    };
    let mut outcome = l1::run(&job, &mut |line| {
        if let Some(line) = line {
            progress.message(line);
        }
        progress.tick();
    })?;
    let panic = outcome.bench_panic();
    let good = outcome.status == 0 && outcome.alarms.is_empty() && panic.is_none();
    progress.finish(if good { "done" } else { "FAILED" });
    let path = outcome.dir.file(REPORT);
    match fs::read_to_string(&path) {
        Ok(report) => println!("\n{}", report.trim_end()),
        Err(error) if good => {
            return Err(error).with_context(|| format!("cannot read {path:?}"));
        }
        Err(_) => {
            for line in console::tail(&outcome.output, 15) {
                eprintln!("    {line}");
            }
        }
    }
    for alarm in &outcome.alarms {
        eprintln!("    kernel of the host under test: {alarm}");
    }
    if let Some(panic) = panic {
        eprintln!("    bench: {panic}");
    }
    if !good {
        outcome.dir.keep();
        eprintln!("  logs: {}", paths::outside(outcome.dir.path()).display());
    }
    Ok(good)
}
