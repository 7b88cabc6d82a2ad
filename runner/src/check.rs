// SPDX-License-Identifier: GPL-2.0
//! `vvp-run check`: every stage of the project's tests, cheap ones first, and
//! one line that sums them up.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::count::Counts;
use crate::docs;
use crate::interrupt;
use crate::kernel::Kernel;
use crate::ktap;
use crate::l1::{self, Job};
use crate::libtest;
use crate::native;
use crate::nested;
use crate::paths;
use crate::progress::Progress;
use crate::rundir::RunDir;

/// Exit status of a kselftest program that skipped everything.
const KSFT_SKIP: i32 = 4;

/// A part of the tests that can be run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// Unit tests of all userspace crates and of the logic shared with the module.
    Unit,
    /// The bench against wire constants written independently of it, the properties of
    /// the logic shared with the module, programs as their users meet them, and what
    /// kernels the scripts refuse.
    Conformance,
    /// The documentation: built without a warning, and naming only what there is.
    Docs,
    /// The module and the C driver in a virtual machine.
    L1,
    /// Migration on a device that has as little as a device may have.
    Modest,
    /// Migration on a device that has much of everything.
    Wide,
    /// Migration on a device that decides otherwise where the standard lets it.
    Other,
    /// Contexts of 64 MiB, without indirect descriptors.
    Large,
    /// The module on a PF without admin virtqueue.
    NoAdmin,
    /// The sample driver, on devices of QEMU's own.
    Sample,
    /// Transitional VFs, with legacy drivers.
    Transitional,
    /// The module and the C driver on block functions.
    Blk,
    /// The kernel's own VFIO selftests, on the module.
    KernelSelftests,
    /// The module on a distribution's kernel, as it is.
    Stock,
    /// Live migration of a guest.
    Migration,
    /// The same with a guest that uses the legacy interface of transitional VFs.
    LegacyGuest,
    /// The same with a type1 container, where no dirty bits are.
    Type1,
    /// The same with DMA logging of the device: QEMU asks it for dirty pages, not iommufd.
    DmaLogging,
    /// The same with iommufd on an IOMMU that has no dirty bits.
    NoDirtyBits,
    /// The same with neither: QEMU takes all memory as dirty by itself.
    Untracked,
    /// The same with a type1 container on a distribution's kernel, which has no other.
    StockMigration,
    /// The first on a device that has much of everything.
    L2Wide,
    /// Live migration of a guest with a file system on a block function.
    L2Blk,
    /// A guest on a VF of QEMU's own, which cannot be migrated.
    Plain,
    /// The first with an IOMMU that loses dirty bits: the check must notice.
    NegativeControl,
    /// Live migration of a guest that has an IOMMU, of which the device has all memory.
    VirtualIommu,
    /// The same with an IOMMU of the host that loses dirty bits.
    VirtualIommuControl,
    /// A guest that moves to another function, back, and there again.
    ThereAndBack,
    /// A migration that is cancelled during pre-copy, and a second try.
    CancelAndRetry,
    /// A migration to a file, and out of it when the source is gone.
    L2File,
    /// A guest that is reset during pre-copy, and migrated when it is up again.
    Reset,
    /// A migration, and another guest on the function that was left.
    NextGuest,
    /// A guest whose driver takes the function on the target only.
    DriverLater,
    /// A guest with two functions.
    TwoFunctions,
    /// A migration in which the target says when the source may stop the guest.
    SwitchoverAck,
    /// A migration over several connections.
    Multifd,
    /// Functions that are created and bound as the service at boot does it.
    Functions,
    /// Debian packages: built, installed in a clean root, upgraded, removed.
    Packages,
    /// The modules that were built for arm64, which nobody runs.
    Arm64,
}

impl Stage {
    /// The stages of a run: all there are, or those that fit into the time that
    /// one waits for a change to be judged.
    pub fn selection(all: bool) -> Vec<Self> {
        Self::value_variants()
            .iter()
            .copied()
            .filter(|stage| all || !stage.is_long())
            .collect()
    }

    /// Only `make check-all` runs it; a shorter stage of its kind is in `make check`.
    fn is_long(self) -> bool {
        matches!(
            self,
            Stage::ThereAndBack
                | Stage::L2File
                | Stage::Reset
                | Stage::NextGuest
                | Stage::DriverLater
                | Stage::TwoFunctions
                | Stage::SwitchoverAck
                | Stage::Multifd
                | Stage::Functions
                | Stage::Packages
                | Stage::Arm64
        )
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Unit => "unit tests",
            Stage::Conformance => "conformance, properties",
            Stage::Docs => "documentation",
            Stage::L1 => "L1 selftests",
            Stage::Modest => "L1 modest device",
            Stage::Wide => "L1 wide device",
            Stage::Other => "L1 other kinds of device",
            Stage::Large => "L1 large contexts",
            Stage::NoAdmin => "L1 without admin queue",
            Stage::Sample => "L1 sample driver",
            Stage::Transitional => "L1 transitional VFs",
            Stage::Blk => "L1 block functions",
            Stage::KernelSelftests => "L1 kernel's selftests",
            Stage::Stock => "L1 stock kernel",
            Stage::Migration => "L2 live migration",
            Stage::LegacyGuest => "L2 legacy guest",
            Stage::Type1 => "L2 with type1",
            Stage::DmaLogging => "L2 with DMA logging",
            Stage::NoDirtyBits => "L2 without dirty bits",
            Stage::Untracked => "L2 without tracking",
            Stage::StockMigration => "L2 stock kernel",
            Stage::L2Wide => "L2 wide device",
            Stage::L2Blk => "L2 file system",
            Stage::Plain => "L2 plain passthrough",
            Stage::NegativeControl => "L2 negative control",
            Stage::VirtualIommu => "L2 virtual IOMMU",
            Stage::VirtualIommuControl => "L2 virtual IOMMU, negative control",
            Stage::ThereAndBack => "L2 there and back",
            Stage::CancelAndRetry => "L2 cancel and retry",
            Stage::L2File => "L2 by way of a file",
            Stage::Reset => "L2 reset in pre-copy",
            Stage::NextGuest => "L2 next guest",
            Stage::DriverLater => "L2 driver on the target",
            Stage::TwoFunctions => "L2 two functions",
            Stage::SwitchoverAck => "L2 switchover-ack",
            Stage::Multifd => "L2 multifd",
            Stage::Functions => "L1 functions at boot",
            Stage::Packages => "Debian packages",
            Stage::Arm64 => "modules for arm64",
        })
    }
}

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

/// Bytes of ballast in each function's context.
const LARGE_CONTEXT: &str = "67108864";

/// What the stages need to know.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The kernel under test, which guests run, too.
    pub kernel: Kernel,
    /// The module under test.
    pub module: PathBuf,
    /// Where the kernel's own selftests are installed.
    pub kernel_selftests: PathBuf,
    /// A distribution's kernel.
    pub stock_kernel: Kernel,
    /// The module, built for that one.
    pub stock_module: PathBuf,
}

impl Setup {
    /// The same with the distribution's kernel in L1.
    pub fn on_stock_kernel(&self) -> Self {
        Self {
            kernel: self.stock_kernel.clone(),
            module: self.stock_module.clone(),
            ..self.clone()
        }
    }

    /// What every job in L1 is told of it, but for the kernel, which [`l1`] tells.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("VVP_MODULE", &self.module),
            ("VVP_KERNEL_SELFTESTS", &self.kernel_selftests),
        ]
        .map(|(name, path)| (name.to_string(), path.display().to_string()))
        .to_vec()
    }
}

/// Runs `stages` and prints the result. True if all is well.
pub fn run(setup: &Setup, stages: &[Stage]) -> Result<bool> {
    let mut sum = Counts::default();
    for &stage in stages {
        interrupt::check()?;
        let mut progress = Progress::start(&stage.to_string());
        let mut counts = run_stage(setup, stage, &mut progress)
            .unwrap_or_else(|error| failure(&stage.to_string(), &error));
        interrupt::check()?;
        if counts.total() == 0 {
            counts.fail(stage.to_string(), "no test was run");
        }
        progress.finish(&counts.to_string());
        for remark in &counts.failed {
            eprintln!("    not ok: {remark}");
        }
        sum.add(counts);
    }
    print_summary(&sum);
    Ok(sum.failed.is_empty())
}

/// A stage that could not be run to its end is one failure: the first line of
/// the error. Further lines are shown at once.
fn failure(stage: &str, error: &anyhow::Error) -> Counts {
    let text = format!("{error:#}");
    let (reason, details) = text.split_once('\n').unwrap_or((&text, ""));
    if !details.is_empty() {
        eprintln!("{details}");
    }
    let mut counts = Counts::default();
    counts.fail(stage, reason);
    counts
}

/// Reports, skips with reasons, failures, and the line that everybody reads.
fn print_summary(sum: &Counts) {
    for report in &sum.reports {
        println!("report: {report}");
    }
    for remark in &sum.skipped {
        println!("skipped: {remark}");
    }
    for remark in &sum.failed {
        println!("failed: {remark}");
    }
    println!("{sum}");
}

fn run_stage(setup: &Setup, stage: Stage, progress: &mut Progress) -> Result<Counts> {
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
            &["vvp-selftests", "--bench", "--transitional"],
            &["--transitional"],
            minutes(10),
            progress,
        ),
        Stage::Blk => in_l1(
            setup,
            &["vvp-selftests", "--bench", "--device", "blk"],
            &["--device", "blk", "--blk-queues", "4"],
            minutes(5),
            progress,
        ),
        Stage::KernelSelftests => in_l1(setup, &["kernel-selftests"], &[], minutes(5), progress),
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
        Stage::Migration => l2(setup, &["--expect-teller", "iommu"], &[], progress),
        Stage::LegacyGuest => l2(setup, &["--legacy-guest"], &["--transitional"], progress),
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
                "--expect-teller",
                "device",
            ],
            &[],
            progress,
        ),
        Stage::DmaLogging => l2(
            setup,
            &["--dma-logging", "iommu", "--expect-teller", "device"],
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
                "--expect-teller",
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
                "--expect-teller",
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
                    "--expect-teller",
                    "nobody",
                ],
                &[],
                progress,
            )
        }
        Stage::L2Wide => l2(
            setup,
            &["--called", "l2_wide", "--expect-teller", "iommu"],
            &WIDE_DEVICE,
            progress,
        ),
        Stage::L2Blk => l2(
            setup,
            &["--device", "blk", "--expect-teller", "iommu"],
            &["--device", "blk", "--blk-queues", "4"],
            progress,
        ),
        Stage::Plain => nested::run("l2-plain", || {
            in_l1_without_bench(setup, &["l2-plain"], &PLAIN_DEVICES, minutes(5), progress)
        }),
        Stage::NegativeControl => l2(setup, &["--negative-control"], &[], progress),
        Stage::VirtualIommu => l2(
            setup,
            &["--virtual-iommu", "identity", "--expect-teller", "iommu"],
            &[],
            progress,
        ),
        Stage::VirtualIommuControl => l2(
            setup,
            &["--virtual-iommu", "identity", "--negative-control"],
            &[],
            progress,
        ),
        Stage::Functions => in_l1_without_bench(
            &setup.on_stock_kernel(),
            &["/src/runner/l1/functions"],
            &FUNCTIONS,
            minutes(3),
            progress,
        ),
        Stage::Packages => ktap_script("packages-test.sh", minutes(30), progress),
        Stage::Arm64 => ktap_script("arm64-test.sh", minutes(1), progress),
        Stage::ThereAndBack => scenario(setup, "there-and-back", progress),
        Stage::CancelAndRetry => scenario(setup, "cancel-and-retry", progress),
        Stage::L2File => scenario(setup, "file", progress),
        Stage::Reset => scenario(setup, "reset", progress),
        Stage::NextGuest => scenario(setup, "next-guest", progress),
        Stage::DriverLater => scenario(setup, "driver-later", progress),
        Stage::TwoFunctions => scenario(setup, "two-functions", progress),
        Stage::SwitchoverAck => scenario(setup, "switchover-ack", progress),
        Stage::Multifd => scenario(setup, "multifd", progress),
    }
}

/// What else can happen to a guest on its way.
fn scenario(setup: &Setup, name: &str, progress: &mut Progress) -> Result<Counts> {
    let arguments = ["--scenario", name, "--expect-teller", "iommu"];
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
    let mut counts = ktap::parse(&outcome.output);
    if outcome.timed_out() {
        counts.fail(
            name,
            format!("not finished within {} s", job.timeout.as_secs()),
        );
    } else if ![0, KSFT_SKIP].contains(&outcome.status) && counts.failed.is_empty() {
        counts.fail(name, format!("exit status {}", outcome.status));
    }
    match outcome.alarms.first() {
        None => counts.passed += 1,
        Some(first) => counts.fail(
            "kernel log is clean",
            format!(
                "{} lines, the first: {}",
                outcome.alarms.len(),
                first.trim()
            ),
        ),
    }
    if !counts.failed.is_empty() {
        outcome.dir.keep();
        eprintln!("    logs: {}", outcome.dir.path().display());
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_failure_of_one_line() {
        let error = anyhow::anyhow!("L1's kernel panicked (logs: /x)\n    console: y");
        let counts = failure("L1 selftests", &error);
        assert_eq!(counts.total(), 1);
        assert_eq!(
            counts.failed[0].to_string(),
            "L1 selftests: L1's kernel panicked (logs: /x)"
        );
    }
}
