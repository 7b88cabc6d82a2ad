// SPDX-License-Identifier: GPL-2.0
//! `vfio-mig-conformance`: does a VFIO device migrate as the kernel's interface says?
//!
//! The cases are in `cases`, the rules that they test in `rules`. Output is KTAP, and the
//! exit status is kselftest's.

mod call;
mod cases;
mod child;
mod data;
mod device;
mod fsm;
mod known;
mod lies;
mod memory;
mod report;
mod rules;
mod run;
mod space;
mod table;
mod target;
mod trial;
mod uapi;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{CommandFactory, Parser};

use known::Known;
use report::{Entry, Kind, Report};
use space::Way;
use target::Target;
use trial::{Case, Devices};

/// As tools/testing/selftests/kselftest.h has them.
const PASS: u8 = 0;
const FAIL: u8 = 1;
const SKIP: u8 = 4;

/// Tests whether a VFIO device migrates as include/uapi/linux/vfio.h says.
///
/// The device must be bound to a VFIO driver, and is used by nobody else meanwhile. Whatever
/// it was doing is lost: it is reset after each case. No other device is touched.
///
/// A deviation is an error (not ok), if users who rely on the rule fail, or advice (ok, with a
/// comment), if the rule is a "should", is not quite followed in a way that users get along
/// with, or is not written but taken for granted. What does not apply to the device is skipped.
#[derive(Parser)]
#[command(name = "vfio-mig-conformance", version)]
struct Options {
    /// The device: /dev/vfio/devices/vfioN, a PCI address, or an mdev's UUID.
    #[arg(long, value_name = "DEVICE", required_unless_present_any = ["list", "rules", "man", "table", "known_from"])]
    device: Option<String>,
    /// A second device of the same kind, into which streams are loaded. Without one they are
    /// loaded into the first.
    #[arg(long, value_name = "DEVICE")]
    peer: Option<String>,
    /// How to get at the devices.
    #[arg(long, value_enum, default_value_t = Way::Cdev)]
    access: Way,
    /// Only cases with one of these in their names.
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,
    /// Seconds that a case may take.
    #[arg(long, value_name = "S", default_value_t = 60)]
    timeout: u64,
    /// Deviations that are known: lines of a case's name and 'error', 'advice',
    /// 'skip', or 'crash', with which it is not run. Anything else that is not passed, and any of these that is not so, is not ok.
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// Write a report there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What the report calls the device; the driver's name if not given.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// What the report says was tested, for example a commit.
    #[arg(long, value_name = "TEXT", default_value = "")]
    revision: String,
    /// Print the cases with their rules, and do nothing.
    #[arg(long)]
    list: bool,
    /// Print the rules, and do nothing.
    #[arg(long)]
    rules: bool,
    /// Print tables of these reports as reStructuredText, and do nothing else.
    #[arg(long, value_name = "REPORT", num_args = 1..)]
    table: Vec<PathBuf>,
    /// Print what is not passed in this report as a list for --known, and do nothing else.
    #[arg(long, value_name = "REPORT")]
    known_from: Option<PathBuf>,
    /// Print the manual page, and do nothing.
    #[arg(long)]
    man: bool,
}

fn main() -> ExitCode {
    match act(&Options::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            println!("Bail out! {error:#}");
            ExitCode::from(FAIL)
        }
    }
}

fn act(options: &Options) -> Result<u8> {
    if options.man {
        let mut page = Vec::new();
        clap_mangen::Man::new(Options::command())
            .render(&mut page)
            .context("manual page")?;
        std::io::stdout().write_all(&page).context("writing")?;
        return Ok(PASS);
    }
    if options.rules {
        for rule in rules::ALL {
            println!("{}\n    {}\n    {}", rule.id, rule.place, rule.says);
        }
        return Ok(PASS);
    }
    if !options.table.is_empty() {
        let reports: Vec<Report> = options
            .table
            .iter()
            .map(|path| Report::read(path))
            .collect::<Result<_>>()?;
        print!("{}", table::rst(&reports));
        return Ok(PASS);
    }
    if let Some(path) = &options.known_from {
        print!("{}", known::list(&Report::read(path)?));
        return Ok(PASS);
    }
    let cases = selected(&options.filter);
    if options.list {
        for case in &cases {
            println!("{} {}", case.name, case.rule.id);
        }
        return Ok(PASS);
    }
    test(options, &cases)
}

/// The cases that the filters leave.
fn selected(filters: &[String]) -> Vec<Case> {
    let wanted = |case: &Case| {
        filters.is_empty() || filters.iter().any(|text| case.name.contains(text.as_str()))
    };
    cases::all().into_iter().filter(wanted).collect()
}

fn test(options: &Options, cases: &[Case]) -> Result<u8> {
    ensure!(!cases.is_empty(), "no case has such a name");
    let name = options.device.as_deref().context("no device")?;
    let devices = Devices {
        target: Target::find(name)?,
        peer: options.peer.as_deref().map(Target::find).transpose()?,
        way: options.access,
    };
    if let Some(peer) = &devices.peer {
        ensure!(
            peer.name != devices.target.name,
            "the second device is the first"
        );
    }
    let known = options.known.as_deref().map(Known::read).transpose()?;
    if let Some(known) = &known {
        let all = cases::all();
        let names: Vec<&str> = all.iter().map(|case| case.name.as_str()).collect();
        let strangers: Vec<&str> = known.strangers(&names).collect();
        ensure!(
            strangers.is_empty(),
            "known deviations of no case: {}",
            strangers.join(", ")
        );
    }
    run::announce(&devices, cases.len());
    let run = run::Run {
        devices: &devices,
        known: known.as_ref(),
        limit: Duration::from_secs(options.timeout),
    };
    let flags = run.flags()?;
    let entries = run.all(cases)?;
    let good = entries.iter().all(|entry| run.is_good(entry));
    summary(&entries);
    if let Some(path) = &options.json {
        report(options, &devices, flags, entries)?.write(path)?;
        return Ok(if good { PASS } else { FAIL });
    }
    let skipped = entries.iter().all(|entry| entry.result == Kind::Skip);
    Ok(match (good, skipped) {
        (false, _) => FAIL,
        (true, true) => SKIP,
        (true, false) => PASS,
    })
}

fn summary(entries: &[Entry]) {
    let count = |kind| entries.iter().filter(|entry| entry.result == kind).count();
    println!(
        "# {} pass, {} advice, {} error, {} skip",
        count(Kind::Pass),
        count(Kind::Advice),
        count(Kind::Error),
        count(Kind::Skip)
    );
}

fn report(options: &Options, devices: &Devices, flags: u64, cases: Vec<Entry>) -> Result<Report> {
    let system = nix::sys::utsname::uname().context("uname")?;
    let names = [(1, "STOP_COPY"), (2, "P2P"), (4, "PRE_COPY")];
    Ok(Report {
        title: options
            .title
            .clone()
            .unwrap_or_else(|| devices.target.driver.clone()),
        version: env!("CARGO_PKG_VERSION").into(),
        date: report::today(),
        kernel: system.release().to_string_lossy().into_owned(),
        revision: options.revision.clone(),
        driver: devices.target.driver.clone(),
        device: devices.target.name.clone(),
        peer: devices.peer.as_ref().map(|peer| peer.name.clone()),
        way: devices.way.name().into(),
        flags: names
            .into_iter()
            .filter(|(bit, _)| flags & bit != 0)
            .map(|(_, name)| name.into())
            .collect(),
        cases,
    })
}
