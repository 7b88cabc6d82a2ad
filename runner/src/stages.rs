// SPDX-License-Identifier: GPL-2.0
//! What each stage runs, and how its report is counted.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::count::Counts;
use crate::docs;
use crate::ktap;
use crate::l1::{self, Job, Outcome};
use crate::libtest;
use crate::native;
use crate::nested;
use crate::paths;
use crate::progress::Progress;
use crate::rundir::RunDir;
use crate::setup::Setup;
use crate::stage::Stage;
use crate::two_hosts;

/// Exit status of a kselftest program that skipped everything.
const KSFT_SKIP: i32 = 4;

/// Two devices for the sample driver, behind an IOMMU.
const SAMPLE_DEVICES: [&str; 6] = ["-device", "intel-iommu", "-device", "edu", "-device", "edu"];

/// A virtio-net PF and a VF that are QEMU's, behind an IOMMU that is, too, and on one
/// network. The PF comes last: it takes the functions that have named it.
///
/// QEMU's hub holds a frame back while no port but the sender's would take it, and
/// with it the sender's queue. The third port has nobody at its other end: its link is
/// down, and it takes everything.
const PLAIN_DEVICES: [&str; 16] = [
    "-device",
    "intel-iommu",
    "-device",
    "pcie-root-port,id=below",
    "-netdev",
    "stream,id=nobody,server=off,addr.type=unix,addr.path=/nonexistent",
    "-netdev",
    "hubport,id=net-nobody,hubid=0,netdev=nobody",
    "-netdev",
    "hubport,id=net-vf,hubid=0",
    "-netdev",
    "hubport,id=net-pf,hubid=0",
    "-device",
    "virtio-net-pci,bus=below,addr=0.1,netdev=net-vf,iommu_platform=on,sriov-pf=pf",
    "-device",
    "virtio-net-pci,bus=below,addr=0.0,netdev=net-pf,iommu_platform=on,id=pf",
];

/// The same PF with two VFs, and nothing that they would be connected to.
const FUNCTIONS: [&str; 10] = [
    "-device",
    "intel-iommu",
    "-device",
    "pcie-root-port,id=below",
    "-device",
    "virtio-net-pci,bus=below,addr=0.1,iommu_platform=on,sriov-pf=pf",
    "-device",
    "virtio-net-pci,bus=below,addr=0.2,iommu_platform=on,sriov-pf=pf",
    "-device",
    "virtio-net-pci,bus=below,addr=0.0,iommu_platform=on,id=pf",
];

/// A device with one resource object for all its functions and an admin queue in
/// which a command fills half of the descriptors.
const MODEST_DEVICE: [&str; 5] = ["--no-indirect", "--admin-queue-size", "8", "--objects", "1"];

/// Queue pairs, functions and parts in numbers, and receive buffers that each take
/// a whole frame.
const WIDE_DEVICE: [&str; 7] = [
    "--queue-pairs",
    "4",
    "--vfs",
    "7",
    "--no-mrg-rxbuf",
    "--extra-parts",
    "1048576",
];

/// A device that applies, repeats and learns no more than it has to, and gives more
/// than was asked for where the standard says so.
const OTHER_DEVICE: [&str; 5] = [
    "--verify-common-cfg",
    "--private-ring-positions",
    "--quiet-resume",
    "--no-mac-learning",
    "--get-predecessors",
];

/// Functions that lack something each; the fixture `unlike` knows which.
const UNLIKE_DEVICES: [&str; 14] = [
    "--vfs",
    "7",
    "--differ",
    "vf2:no-mrg-rxbuf",
    "--differ",
    "vf3:queue-size=32",
    "--differ",
    "vf4:vectors=2",
    "--differ",
    "vf5:extra-parts=4096",
    "--differ",
    "vf6:no-ctrl-vlan",
    "--differ",
    "vf7:no-event-idx",
];

/// What the scenario `features` wants of the bench.
const MORE_FEATURES: [&str; 9] = [
    "--checksum",
    "--mtu",
    "1400",
    "--guest-announce",
    "--order-platform",
    "--notification-data",
    "--ring-reset",
    "--no-event-idx",
    "--receive-ahead",
];

/// The tests of our driver's migration.
const MIGRATION_TESTS: [&str; 10] = [
    "arcs.rs",
    "quiet.rs",
    "recovery.rs",
    "round_trip.rs_to_rs",
    "precopy.rs",
    "stream.rs",
    "sealed.rs",
    "lifetimes.rs",
    "torture.rs",
    "faults.rs",
];

/// The conformance suite on this driver; 'make conformance' runs it on others, too, two of
/// which it can crash.
const CONFORMANCE_SUITE: [&str; 2] = ["/src/runner/l1/conformance", "rs.cdev"];

/// What is peculiar to transitional functions, and that a modern driver can use them.
const TRANSITIONAL_TESTS: [&str; 2] = ["legacy", "round_trip"];

/// The same for block functions.
const BLK_TESTS: [&str; 7] = [
    "blk.",
    "events.",
    "module.",
    "passthrough.rs",
    "recovery.rs",
    "stream.rs",
    "sealed.rs",
];

/// What a distribution's kernel may make a difference to, and can be had without iommufd.
const STOCK_TESTS: [&str; 14] = [
    "module.",
    "passthrough.rs_group",
    "without_iommufd.",
    "iommu.rs_group",
    "arcs.rs_group",
    "quiet.rs_group",
    "recovery.rs_group",
    "round_trip.rs_to_rs",
    "precopy.rs_group",
    "data_fd.rs_group",
    "lifetimes.",
    "observe.rs.trace",
    "observe.rs.admin",
    "observe.rs.open",
];

/// What is run on the debug kernel besides those: what our driver does, and no test that
/// the in-tree driver takes part in. Lockdep reports that one, and looks no further.
const DEBUG_TESTS: [&str; 8] = [
    "passthrough.rs",
    "iommu.rs",
    "dirty.rs",
    "dma_log.",
    "vmm.",
    "observe.",
    "data_fd.rs",
    "weaknesses.rs",
];

/// Bytes of ballast in each function's context.
const LARGE_CONTEXT: &str = "67108864";

/// Runs a stage.
pub fn run(setup: &Setup, stage: Stage, progress: &mut Progress) -> Result<Counts> {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    match stage {
        // Has no tests, and what criterion wants of other crates would have them compiled anew.
        Stage::Unit => cargo_test(
            &["--workspace", "--exclude", "logic-bench", "--lib", "--bins"],
            minutes(20),
            progress,
        ),
        Stage::Conformance => cargo_test(
            &[
                "-p",
                "vfio-bench",
                "-p",
                "logic",
                "-p",
                "report",
                "-p",
                "vfmig",
                "-p",
                "vvp-run",
                "--test",
                "*",
            ],
            minutes(15),
            progress,
        ),
        Stage::Fuzz => ktap_script("fuzz-smoke.sh", minutes(30), progress),
        Stage::Docs => docs::check(
            Path::new(paths::SOURCE),
            Path::new(paths::RUNS),
            minutes(5),
            progress,
        ),
        Stage::L1 => in_l1(
            setup,
            &["vvp-selftests", "--bench"],
            &[],
            minutes(25),
            progress,
        ),
        Stage::Modest => in_l1(
            setup,
            &[&["vvp-selftests", "--bench"], &MIGRATION_TESTS[..]].concat(),
            &MODEST_DEVICE,
            minutes(15),
            progress,
        ),
        Stage::Wide => in_l1(
            setup,
            &[
                "vvp-selftests",
                "--bench",
                "round_trip.rs_to_rs",
                "quiet.rs",
                "precopy.rs",
            ],
            &WIDE_DEVICE,
            minutes(5),
            progress,
        ),
        Stage::Other => in_l1(
            setup,
            &[
                "vvp-selftests",
                "--bench",
                "quiet.rs",
                "recovery.rs",
                "round_trip.rs_to_rs",
                "precopy.rs",
                "sealed.rs",
            ],
            &OTHER_DEVICE,
            minutes(8),
            progress,
        ),
        Stage::Large => in_l1(
            setup,
            &["vvp-selftests", "--bench", "--large"],
            &["--no-indirect", "--extra-parts", LARGE_CONTEXT],
            minutes(5),
            progress,
        ),
        Stage::Unlike => in_l1(
            setup,
            &["vvp-selftests", "--bench", "--unlike"],
            &UNLIKE_DEVICES,
            minutes(5),
            progress,
        ),
        Stage::NoAdmin => in_l1(
            setup,
            &["vvp-selftests", "--bench"],
            &["--no-admin-vq"],
            minutes(5),
            progress,
        ),
        Stage::Sample => in_l1_without_bench(
            setup,
            &["vvp-selftests", "--edu"],
            &SAMPLE_DEVICES,
            minutes(5),
            progress,
        ),
        Stage::Transitional => in_l1(
            setup,
            &[
                &["vvp-selftests", "--bench", "--transitional"],
                &TRANSITIONAL_TESTS[..],
            ]
            .concat(),
            &["--transitional"],
            minutes(10),
            progress,
        ),
        Stage::TransitionalAll => in_l1(
            setup,
            &["vvp-selftests", "--bench", "--transitional"],
            &["--transitional"],
            minutes(25),
            progress,
        ),
        Stage::Blk => in_l1(
            setup,
            &[
                &["vvp-selftests", "--bench", "--device", "blk"],
                &BLK_TESTS[..],
            ]
            .concat(),
            &["--device", "blk", "--blk-queues", "4"],
            minutes(10),
            progress,
        ),
        Stage::BlkAll => in_l1(
            setup,
            &["vvp-selftests", "--bench", "--device", "blk"],
            &["--device", "blk", "--blk-queues", "4"],
            minutes(25),
            progress,
        ),
        Stage::Torture => in_l1(
            setup,
            &[
                "vvp-selftests",
                "--bench",
                "--torture-seconds",
                "100",
                "torture.rs.at_random",
            ],
            &["--no-indirect"],
            minutes(10),
            progress,
        ),
        Stage::KernelSelftests => in_l1(setup, &["kernel-selftests"], &[], minutes(5), progress),
        Stage::ConformanceSuite => in_l1(setup, &CONFORMANCE_SUITE, &[], minutes(8), progress),
        Stage::Stock => in_l1(
            &setup.on_stock_kernel(),
            &[
                &["vvp-selftests", "--bench", "--access", "group"],
                &STOCK_TESTS[..],
            ]
            .concat(),
            &[],
            minutes(5),
            progress,
        ),
        Stage::Migration => l2(setup, &["--expect-tracker", "iommu"], &[], progress),
        Stage::LegacyGuest => l2(
            setup,
            &["--scenario", "legacy-guest", "--expect-tracker", "iommu"],
            &["--transitional"],
            progress,
        ),
        Stage::Type1 => l2(
            setup,
            &[
                "--container",
                "type1",
                "--enable-migration",
                "auto",
                // All memory is sent with the guest stopped.
                "--downtime-limit",
                "8000",
                "--expect-tracker",
                "device",
            ],
            &[],
            progress,
        ),
        Stage::DmaLogging => l2(
            setup,
            &["--dma-logging", "iommu", "--expect-tracker", "device"],
            &[],
            progress,
        ),
        Stage::NoDirtyBits => l2(
            setup,
            &[
                "--enable-migration",
                "auto",
                "--downtime-limit",
                "8000",
                "--expect-tracker",
                "device",
            ],
            &["--no-dirty-tracking"],
            progress,
        ),
        Stage::Untracked => l2(
            setup,
            &[
                "--container",
                "type1",
                "--dma-logging",
                "off",
                "--enable-migration",
                "on",
                "--downtime-limit",
                "8000",
                "--expect-tracker",
                "nobody",
            ],
            &[],
            progress,
        ),
        Stage::StockMigration => {
            let guest = setup.kernel.dir().display().to_string();
            l2(
                &setup.on_stock_kernel(),
                &[
                    "--called",
                    "l2_stock",
                    "--kernel",
                    &guest,
                    "--container",
                    "type1",
                    "--enable-migration",
                    "on",
                    // All memory is sent with the guest stopped.
                    "--downtime-limit",
                    "8000",
                    "--expect-tracker",
                    "nobody",
                ],
                &[],
                progress,
            )
        }
        Stage::L2Wide => l2(
            setup,
            &["--called", "l2_wide", "--expect-tracker", "iommu"],
            &WIDE_DEVICE,
            progress,
        ),
        Stage::L2Blk => l2(
            setup,
            &["--scenario", "block", "--expect-tracker", "iommu"],
            &["--device", "blk", "--blk-queues", "4"],
            progress,
        ),
        Stage::Plain => nested::run("l2-plain", || {
            in_l1_without_bench(setup, &["l2-plain"], &PLAIN_DEVICES, minutes(5), progress)
        }),
        Stage::NegativeControl => scenario(setup, "negative-control", progress),
        Stage::VirtualIommu => scenario(setup, "virtual-iommu", progress),
        Stage::VirtualIommuControl => scenario(setup, "virtual-iommu-control", progress),
        Stage::Functions => in_l1_without_bench(
            &setup.on_stock_kernel(),
            &["/src/runner/l1/functions"],
            &FUNCTIONS,
            minutes(3),
            progress,
        ),
        Stage::Packages => ktap_script("packages-test.sh", minutes(30), progress),
        Stage::Debug => in_l1(
            &setup.on_debug_kernel(),
            &[
                &["vvp-selftests", "--bench", "--torture-seconds", "300"],
                &MIGRATION_TESTS[..],
                &DEBUG_TESTS[..],
            ]
            .concat(),
            // virtio_pci of Linux 7.3 allocates indirect tables with a spin lock held.
            &["--no-indirect"],
            minutes(75),
            progress,
        ),
        Stage::Arm64 => ktap_script("arm64-test.sh", minutes(1), progress),
        Stage::ThereAndBack => scenario(setup, "there-and-back", progress),
        Stage::CancelAndRetry => scenario(setup, "cancel-and-retry", progress),
        Stage::L2File => scenario(setup, "file", progress),
        Stage::Reset => scenario(setup, "reset", progress),
        Stage::NextGuest => scenario(setup, "next-guest", progress),
        Stage::DriverLater => scenario(setup, "driver-later", progress),
        Stage::TwoFunctions => scenario(setup, "two-functions", progress),
        Stage::Libvirt => two_hosts(setup, "libvirt", minutes(12), progress),
        Stage::TwoHosts => two_hosts(setup, "qemu", minutes(6), progress),
        Stage::SwitchoverAck => scenario(setup, "switchover-ack", progress),
        Stage::Multifd => scenario(setup, "multifd", progress),
        Stage::Features => l2(
            setup,
            &["--scenario", "features", "--expect-tracker", "iommu"],
            &MORE_FEATURES,
            progress,
        ),
        Stage::FaultAndRetry => scenario(setup, "fault-and-retry", progress),
    }
}

/// What else can happen to a guest on its way.
fn scenario(setup: &Setup, name: &str, progress: &mut Progress) -> Result<Counts> {
    let arguments = ["--scenario", name, "--expect-tracker", "iommu"];
    l2(setup, &arguments, &[], progress)
}

/// One migration of a guest.
fn l2(
    setup: &Setup,
    arguments: &[&str],
    bench_arguments: &[&str],
    progress: &mut Progress,
) -> Result<Counts> {
    let command = [&["l2-migrate", "--ktap"], arguments].concat();
    let limit = Duration::from_secs(360);
    nested::run(&command.join(" "), || {
        in_l1(setup, &command, bench_arguments, limit, progress)
    })
}

/// One migration of a guest from one host to another, by `manager`.
fn two_hosts(
    setup: &Setup,
    manager: &str,
    limit: Duration,
    progress: &mut Progress,
) -> Result<Counts> {
    nested::run(&format!("l2-hosts {manager}"), || {
        let jobs = ["source", "target"].map(|role| {
            let mut job = job(setup, &["l2-hosts", role, "--manager", manager], limit);
            job.bench = Some(paths::program("vfio-bench"));
            job
        });
        let [source, mut target] = jobs;
        target.timeout += two_hosts::FAREWELL;
        let mut outcomes = two_hosts::run([source.clone(), target.clone()], &mut |line| {
            if let Some(line) = line {
                progress.message(line);
            }
            progress.tick();
        })?;
        let mut counts = counts_of(&source, "source", &mut outcomes.first);
        // It judges nothing.
        counts.log += &outcomes.second.output;
        judge_end(&target, "target", &mut outcomes.second, &mut counts);
        Ok(counts)
    })
}

/// Runs `cargo test` in the workspace and counts what it reports.
fn cargo_test(arguments: &[&str], limit: Duration, progress: &mut Progress) -> Result<Counts> {
    count(
        "cargo test",
        Command::new("cargo")
            .args(["test", "--locked", "--no-fail-fast"])
            .args(arguments)
            .current_dir(Path::new(paths::SOURCE))
            .env("CARGO_TARGET_DIR", paths::target())
            .env("CARGO_TERM_COLOR", "never"),
        libtest::parse,
        limit,
        progress,
    )
}

/// Runs a script of the project that speaks KTAP, here in the toolroot.
fn ktap_script(name: &'static str, limit: Duration, progress: &mut Progress) -> Result<Counts> {
    let mut command = Command::new(Path::new(paths::SOURCE).join("scripts").join(name));
    count(name, &mut command, ktap::parse, limit, progress)
}

/// Runs `command`, called `name`, and counts what it reports, of which `parse` makes sense.
fn count(
    name: &'static str,
    command: &mut Command,
    parse: fn(&str) -> Counts,
    limit: Duration,
    progress: &mut Progress,
) -> Result<Counts> {
    let mut dir = RunDir::create(Path::new(paths::RUNS))?;
    let log = dir.file("output.log");
    let status = native::run(name, command, &log, limit, progress)?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let mut counts = parse(&text);
    counts.log = text;
    let log = paths::outside(&log);
    let log = log.display();
    match status {
        None => counts.fail(
            name,
            format!("not finished within {} s (log: {log})", limit.as_secs()),
        ),
        Some(status) if !status.success() && counts.failed.is_empty() => {
            counts.fail(name, format!("{status} (log: {log})"));
        }
        Some(_) => {}
    }
    if !counts.failed.is_empty() {
        dir.keep();
        eprintln!("    log: {log}");
    }
    Ok(counts)
}

/// Runs a KTAP-speaking program of this workspace in a fresh L1.
fn in_l1(
    setup: &Setup,
    command: &[&str],
    bench_arguments: &[&str],
    timeout: Duration,
    progress: &mut Progress,
) -> Result<Counts> {
    let mut job = job(setup, command, timeout);
    job.bench = Some(paths::program("vfio-bench"));
    job.bench_arguments = to_strings(bench_arguments);
    if bench_arguments.contains(&"--no-admin-vq") {
        let variable = ("VVP_NO_ADMIN".to_string(), "1".to_string());
        job.environment.push(variable);
    }
    count_l1(&job, command[0], progress)
}

/// The same in an L1 that has the devices of these arguments instead of the bench's.
fn in_l1_without_bench(
    setup: &Setup,
    command: &[&str],
    qemu_arguments: &[&str],
    timeout: Duration,
    progress: &mut Progress,
) -> Result<Counts> {
    let mut job = job(setup, command, timeout);
    job.qemu_arguments = to_strings(qemu_arguments);
    count_l1(&job, command[0], progress)
}

fn to_strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

/// A job that runs a program of this workspace.
fn job(setup: &Setup, command: &[&str], timeout: Duration) -> Job {
    let mut words = vec![paths::program(command[0]).display().to_string()];
    words.extend(to_strings(&command[1..]));
    Job {
        kernel: setup.kernel.clone(),
        memory: "4G".to_string(),
        bench: None,
        bench_arguments: Vec::new(),
        qemu_arguments: Vec::new(),
        timeout,
        keep: false,
        environment: setup.environment(),
        command: words,
    }
}

/// Runs `job` and counts what its program, called `name`, reports.
fn count_l1(job: &Job, name: &str, progress: &mut Progress) -> Result<Counts> {
    let mut outcome = l1::run(job, &mut |line| {
        if let Some(line) = line {
            progress.message(line);
        }
        progress.tick();
    })?;
    Ok(counts_of(job, name, &mut outcome))
}

/// Counts what the program of `job`, called `name`, has reported, and what went wrong besides.
fn counts_of(job: &Job, name: &str, outcome: &mut Outcome) -> Counts {
    let mut counts = ktap::parse(&outcome.output);
    counts.log = std::mem::take(&mut outcome.output);
    judge_end(job, name, outcome, &mut counts);
    counts
}

/// Counts how `job`, called `name`, and the host that it ran in have ended.
fn judge_end(job: &Job, name: &str, outcome: &mut Outcome, counts: &mut Counts) {
    if outcome.timed_out() {
        counts.fail(
            name,
            format!("not finished within {} s", job.timeout.as_secs()),
        );
    } else if ![0, KSFT_SKIP].contains(&outcome.status) && counts.failed.is_empty() {
        counts.fail(name, format!("exit status {}", outcome.status));
    }
    if let Some(first) = outcome.alarms.first() {
        let lines = outcome.alarms.len();
        counts.fail(
            "kernel log is clean",
            format!("{lines} lines, the first: {}", first.trim()),
        );
    }
    if let Some(panic) = outcome.bench_panic() {
        counts.fail("bench", panic);
    }
    if !counts.failed.is_empty() {
        outcome.dir.keep();
        eprintln!("    logs: {}", paths::outside(outcome.dir.path()).display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bench_is_what_the_scenario_wants() {
        let text = include_str!("../../lab/scenarios/features.toml");
        let (_, wanted) = text.split_once("bench = [").unwrap();
        let (wanted, _) = wanted.split_once(']').unwrap();
        let wanted: Vec<_> = wanted.split('"').skip(1).step_by(2).collect();
        assert_eq!(wanted, MORE_FEATURES);
    }
}
