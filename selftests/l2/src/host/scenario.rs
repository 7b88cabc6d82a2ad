// SPDX-License-Identifier: GPL-2.0
//! One live migration from beginning to end, every step bounded in time.

use std::path::PathBuf;
use std::process::Command as Process;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use harness::control::Control;
use harness::pci::{Address, Function};
use harness::wait;
use runner::console;
use serde_json::json;

use super::guest::Guest;
use super::load::Load;
use super::prepare::{self, DeviceType, Driver};
use super::report::{Migration, Report, phases};
use super::tracking::{Tracking, teller};
use super::vm::{Image, Vm};
use crate::control::Command;

/// How long the guest may take to boot and get to work. It took 20 s on an idle machine.
pub const GUEST_UP: Duration = Duration::from_secs(150);
/// How long the migration may take.
const MIGRATION: Duration = Duration::from_secs(120);
/// How long the guest may take to go on, on the target.
pub const RESUMED: Duration = Duration::from_secs(60);
/// Where the target listens.
const URI: &str = "tcp:127.0.0.1:7010";
/// Numbers of requests to the guest on the target start above those before.
const TARGET_REQUESTS: u64 = 1 << 32;

/// Has the guest's virtio_pci prefer the legacy interface. Devices without one,
/// as QEMU's own are here, are driven as ever.
const FORCE_LEGACY: &str = "virtio_pci.force_legacy=1";

/// What to migrate, and how.
#[derive(Clone, Debug)]
pub struct Options {
    pub pf: Address,
    pub device: DeviceType,
    pub driver: Driver,
    /// Tell the IOMMU model not to set dirty bits.
    pub dirty_bits_off: bool,
    /// Have the guest use the legacy interface only.
    pub legacy_guest: bool,
    /// How QEMU reaches the device and learns of dirty pages.
    pub tracking: Tracking,
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    /// Guest memory, in MiB.
    pub memory: u32,
    /// Where logs go.
    pub logs: PathBuf,
}

/// Runs the scenario as far as it goes.
pub fn run(options: &Options) -> Report {
    let mut report = Report::default();
    if let Err(error) = steps(options, &mut report) {
        report.error = Some(format!("{error:#}"));
    }
    if options.dirty_bits_off {
        if let Err(error) = set_dirty_bits(true) {
            report.error.get_or_insert(format!("{error:#}"));
        }
    }
    report
}

/// Tells the reader of the log, and who waits, what is going on.
pub fn say(what: &str) {
    println!("# {what}");
}

fn steps(options: &Options, report: &mut Report) -> Result<()> {
    say("preparing modules, virtual functions and what the guest works on");
    let host = prepare::prepare(&options.pf, options.driver, &options.tracking)?;
    describe(options, &host, report)?;
    let load = Load::prepare(options.device, &host.pf)?;
    let image = Image {
        kernel: options.kernel.join("arch/x86/boot/bzImage"),
        initrd: options.initrd.clone(),
        append: if options.legacy_guest {
            FORCE_LEGACY
        } else {
            ""
        },
        memory: options.memory,
        tracking: options.tracking,
        logs: options.logs.clone(),
        sockets: PathBuf::from("/tmp"),
    };

    say("starting the guest on the source");
    let started = Instant::now();
    let mut source = Vm::start("source", &image, &host.source, false)?;
    let mut guest = Guest::connect(source.control(), 1)?;
    load.wait_until_running(&mut guest)
        .map_err(|error| error.context(format!("source: {}", source.last_words())))?;
    source.check()?;
    report.guest_up_s = Some(started.elapsed().as_secs_f64());

    let legacy = options.legacy_guest;
    let features = legacy.then(|| negotiated(&host.source)).transpose()?;

    say("the guest is up; starting the target");
    if options.dirty_bits_off {
        set_dirty_bits(false)?;
    }
    let mut target = Vm::start("target", &image, &host.target, true)?;
    let mut guest_on_target = Guest::connect(target.control(), TARGET_REQUESTS)?;
    load.mark(report, &mut guest)?;
    // From here on the guest may be anywhere.
    drop(guest);
    say("migrating");
    if let Some(limit) = options.tracking.downtime_limit {
        source
            .qmp()
            .execute("migrate-set-parameters", json!({"downtime-limit": limit}))?;
    }
    let migration = migrate(&mut source, &mut target)?;
    report.teller = Some(teller(&source.output()));
    let completed = migration.status == "completed";
    let failure = migration.failure.clone().unwrap_or_default();
    report.migration = Some(migration);
    ensure!(
        completed,
        "the migration did not complete: {failure} (source: {}; target: {})",
        source.last_words(),
        target.last_words()
    );
    say("migrated; ending the source");
    report.source_gone = Some(false);
    let state = source.run_state()?;
    ensure!(
        state == "postmigrate",
        "the source is '{state}' after the migration"
    );
    listen_to_kernel(&source, report);
    source.quit()?;
    report.source_gone = Some(true);
    if let Some(features) = features {
        report.features = Some([features, negotiated(&host.target)?]);
    }

    say("watching the guest on the target");
    let result = observe(options, report, &mut guest_on_target, &load);
    listen_to_kernel(&target, report);
    result.map_err(|error| error.context(format!("target: {}", target.last_words())))?;
    // It does not matter any more if the answer gets out before the end.
    let _ = guest_on_target.ask_within(Command::PowerOff, Duration::from_secs(2));
    Ok(())
}

/// Notes what is migrated with what.
fn describe(options: &Options, host: &prepare::Host, report: &mut Report) -> Result<()> {
    let version = Process::new("qemu-system-x86_64")
        .arg("--version")
        .output()
        .context("asking QEMU for its version")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let setting = &mut report.setting;
    setting.device = options.device;
    setting.driver = options.driver.name().to_string();
    setting.kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("kernel version")?
        .trim()
        .to_string();
    setting.qemu = version
        .split_whitespace()
        .nth(3)
        .unwrap_or("unknown")
        .to_string();
    setting.guest_memory_mib = options.memory;
    setting.source = host.source.address().to_string();
    setting.target = host.target.address().to_string();
    setting.dirty_bits_off = options.dirty_bits_off;
    setting.legacy_guest = options.legacy_guest;
    setting.fixture = options.tracking.fixture();
    setting.expected_teller = options.tracking.expect_teller;
    Ok(())
}

/// Has QEMU migrate, and waits for the end, good or bad.
fn migrate(source: &mut Vm, target: &mut Vm) -> Result<Migration> {
    let events = json!({"capabilities": [{"capability": "events", "state": true}]});
    for vm in [&mut *source, &mut *target] {
        vm.qmp()
            .execute("migrate-set-capabilities", events.clone())?;
    }
    target
        .qmp()
        .execute("migrate-incoming", json!({"uri": URI}))?;
    let start_us = now_us()?;
    source.qmp().execute("migrate", json!({"uri": URI}))?;
    let deadline = Instant::now() + MIGRATION;
    let answer = loop {
        let answer = source.qmp().execute("query-migrate", json!({}))?;
        match answer["status"].as_str() {
            Some("completed" | "failed" | "cancelled") => break answer,
            _ if Instant::now() > deadline => {
                bail!("the migration did not end within {} s", MIGRATION.as_secs());
            }
            _ => sleep(Duration::from_millis(50)),
        }
    };
    let mut migration = Migration::from_query(&answer);
    if migration.status == "completed" {
        wait::until("the guest runs on the target", RESUMED, || {
            target.check()?;
            Ok((target.run_state()? == "running").then_some(()))
        })?;
    }
    // A target that failed may be gone already.
    migration.target_state = target.run_state().unwrap_or_else(|_| "gone".to_string());
    let source_events = source.qmp().events()?.to_vec();
    let target_events = match target.qmp().events() {
        Ok(events) => events.to_vec(),
        Err(_) => Vec::new(),
    };
    migration.phases = phases(start_us, &source_events, &target_events);
    Ok(migration)
}

/// Collects what the guest, and who sees its work, have to say after the migration.
fn observe(options: &Options, report: &mut Report, guest: &mut Guest, load: &Load) -> Result<()> {
    wait::until("the guest notices that it has moved", RESUMED, || {
        let answer = guest.ask(Command::Status)?;
        Ok((answer.pages.moved || answer.pages.error.is_some()).then_some(()))
    })?;
    if options.dirty_bits_off {
        // The device's rings are as stale as the pages: nothing to watch.
        report.pages = Some(guest.ask(Command::CheckPages)?.pages);
        return Ok(());
    }
    load.wait_until_continued(report, guest)?;
    say("checking the pages that only the device wrote");
    report.pages = Some(guest.ask(Command::CheckPages)?.pages);
    report.pages_rewritten = Some(guest.ask(Command::RewritePages)?.pages);
    load.finish(report, guest)
}

fn set_dirty_bits(enabled: bool) -> Result<()> {
    Control::find()?
        .context("no connection to the bench: dirty bits cannot be controlled")?
        .dirty_bits(enabled)
}

/// Features that the driver of a virtual function has negotiated.
fn negotiated(vf: &Function) -> Result<u64> {
    let mut control = Control::find()?.context("no connection to the bench")?;
    let name = format!("vf{}", vf.vf_number()?);
    Ok(control.state()?.function(&name)?.features)
}

/// Texts by which the guest's kernel says that its disk failed it.
const DISK_ALARMS: [&str; 4] = ["I/O error", "EXT4-fs error", "EXT4-fs warning", "JBD2:"];

/// A warning that has nothing to do with migration or devices: once in a while a
/// timer of the guest is interrupted by itself, where QEMU emulates the processor
/// and its nested virtualization. It was seen when the machine was overloaded, and
/// is told, not held against the driver.
const TIMER_WARNING: &str = "WARNING: kernel/time/hrtimer.c:";

/// Keeps what the guest's kernel has to complain about.
fn listen_to_kernel(vm: &Vm, report: &mut Report) {
    let (timer, faults): (Vec<_>, Vec<_>) = alarms(vm)
        .into_iter()
        .partition(|line| line.contains(TIMER_WARNING));
    report.guest_oddities.extend(timer);
    report.guest_alarms.extend(faults);
}

/// Lines of the guest's kernel log that report a fault of it, or of its disk.
fn alarms(vm: &Vm) -> Vec<String> {
    let log = vm.console();
    let disk = log
        .lines()
        .filter(|line| DISK_ALARMS.iter().any(|alarm| line.contains(alarm)));
    console::alarms(&log)
        .into_iter()
        .chain(disk)
        .map(|line| line.trim_end().to_string())
        .collect()
}

/// The clock that QEMU stamps its events with, in microseconds.
fn now_us() -> Result<i64> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("clock")?;
    i64::try_from(now.as_micros()).context("clock")
}
