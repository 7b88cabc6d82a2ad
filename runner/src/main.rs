// SPDX-License-Identifier: GPL-2.0
//! `vvp-run`: runs a job in the host under test, all tests, or the demo.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use vvp_run::check;
use vvp_run::kernel::Kernel;
use vvp_run::l1::{self, Job};
use vvp_run::setup::Setup;
use vvp_run::stage::{Extent, Stage};
use vvp_run::{benchmark, demo, interrupt, matrix, paths, proof};

/// Runs the bench, the virtual machine that plays the host under test, and
/// tests in it.
#[derive(Parser)]
#[command(name = "vvp-run")]
struct Options {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run one command in a fresh L1 with the bench attached.
    L1(L1),
    /// Run the tests and sum them up.
    Check {
        #[command(flatten)]
        common: Common,
        /// Run only these stages.
        #[arg(long = "stage", value_enum)]
        stages: Vec<Stage>,
        /// Run some of each kind, within five minutes.
        #[arg(long, conflicts_with = "stages")]
        quick: bool,
        /// Run the long stages, too.
        #[arg(long, conflicts_with_all = ["stages", "quick"])]
        all: bool,
    },
    /// Measure this driver beside the in-tree one, and report.
    Benchmark {
        #[command(flatten)]
        common: Common,
        /// Where the results go; made if it is missing.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Small contexts and few repetitions, to see that everything works.
        #[arg(long)]
        small: bool,
        /// The project's revision, for the report.
        #[arg(long, env = "VVP_REVISION", default_value = "unknown")]
        revision: String,
    },
    /// Make the documentation's support matrix of the records of test runs.
    Matrix {
        /// Directories that are records, or have records.
        #[arg(value_name = "DIR", default_value = paths::RESULTS)]
        records: Vec<PathBuf>,
        /// The page.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Make the documentation's page of what fuzzing and torture have counted.
    Proof {
        /// The page.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Migrate a live guest and print a report.
    Demo {
        #[command(flatten)]
        common: Common,
        /// The driver that the VFs are bound to.
        #[arg(long, value_parser = ["rs", "c"], default_value = "rs")]
        driver: String,
        /// Keep the run directory with all logs.
        #[arg(long)]
        keep: bool,
    },
}

#[derive(Args)]
struct Common {
    /// Build directory of the kernel under test.
    #[arg(long, env = "VVP_KERNEL", value_name = "DIR")]
    kernel: PathBuf,
    /// The module under test.
    #[arg(long, env = "VVP_MODULE", value_name = "FILE")]
    module: PathBuf,
    /// Where the kernel's own selftests are installed.
    #[arg(long, env = "VVP_KERNEL_SELFTESTS", value_name = "DIR")]
    kernel_selftests: PathBuf,
    /// A distribution's kernel, as it is.
    #[arg(long, env = "VVP_STOCK_KERNEL", value_name = "DIR")]
    stock_kernel: PathBuf,
    /// The module, built for that one.
    #[arg(long, env = "VVP_STOCK_MODULE", value_name = "FILE")]
    stock_module: PathBuf,
    /// A kernel that looks for its own faults.
    #[arg(long, env = "VVP_DEBUG_KERNEL", value_name = "DIR")]
    debug_kernel: PathBuf,
    /// The module, built for that one.
    #[arg(long, env = "VVP_DEBUG_MODULE", value_name = "FILE")]
    debug_module: PathBuf,
}

#[derive(Args)]
struct L1 {
    #[command(flatten)]
    common: Common,
    /// Memory of L1.
    #[arg(long, default_value = "4G")]
    memory: String,
    /// The bench program, if not the one beside this program.
    #[arg(long, value_name = "PROGRAM")]
    bench: Option<PathBuf>,
    /// An argument for the bench.
    #[arg(long = "bench-arg", value_name = "ARG", allow_hyphen_values = true)]
    bench_arguments: Vec<String>,
    /// An argument for QEMU.
    #[arg(long = "qemu-arg", value_name = "ARG", allow_hyphen_values = true)]
    qemu_arguments: Vec<String>,
    /// Boot the distribution's kernel, and test the module that was built for it.
    #[arg(long)]
    stock: bool,
    /// Boot the kernel that looks for its own faults, and test the module that was built
    /// for it.
    #[arg(long, conflicts_with = "stock")]
    debug: bool,
    /// Boot without the bench.
    #[arg(long, conflicts_with_all = ["bench", "bench_arguments"])]
    no_bench: bool,
    /// Seconds that the command may take.
    #[arg(long, value_name = "S", default_value_t = 600)]
    timeout: u64,
    /// Keep the run directory with all logs.
    #[arg(long)]
    keep: bool,
    /// Put there what the command leaves in the directory `results` of the one that it is
    /// run in.
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// The command, as L1's shell finds it.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Common {
    fn setup(&self) -> Setup {
        Setup {
            kernel: Kernel::new(&self.kernel),
            module: self.module.clone(),
            kernel_selftests: self.kernel_selftests.clone(),
            stock_kernel: Kernel::new(&self.stock_kernel),
            stock_module: self.stock_module.clone(),
            debug_kernel: Kernel::new(&self.debug_kernel),
            debug_module: self.debug_module.clone(),
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match act(&options.command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The exit status of the command line.
fn act(command: &Action) -> Result<u8> {
    interrupt::install()?;
    let verdict = |good: bool| u8::from(!good);
    match command {
        Action::L1(options) => run_l1(options),
        Action::Check {
            common,
            stages,
            quick,
            all,
        } => {
            let stages = if stages.is_empty() {
                Stage::selection(match (quick, all) {
                    (true, _) => Extent::Quick,
                    (_, true) => Extent::All,
                    _ => Extent::Usual,
                })
            } else {
                stages.clone()
            };
            check::run(&common.setup(), &stages).map(verdict)
        }
        Action::Benchmark {
            common,
            out,
            small,
            revision,
        } => {
            let options = benchmark::Options {
                out,
                small: *small,
                revision,
            };
            benchmark::run(&common.setup(), &options).map(|()| 0)
        }
        Action::Matrix { records, out } => matrix::run(records, out).map(|()| 0),
        Action::Proof { out } => proof::run(Path::new(paths::SOURCE), out).map(|()| 0),
        Action::Demo {
            common,
            driver,
            keep,
        } => demo::run(&common.setup(), driver, *keep).map(verdict),
    }
}

fn run_l1(options: &L1) -> Result<u8> {
    let bench = match &options.bench {
        _ if options.no_bench => None,
        Some(program) => Some(program.clone()),
        None => Some(paths::program("vfio-bench")),
    };
    let setup = options.common.setup();
    let setup = match (options.stock, options.debug) {
        (true, _) => setup.on_stock_kernel(),
        (_, true) => setup.on_debug_kernel(),
        _ => setup,
    };
    let job = Job {
        kernel: setup.kernel.clone(),
        memory: options.memory.clone(),
        bench,
        bench_arguments: options.bench_arguments.clone(),
        qemu_arguments: options.qemu_arguments.clone(),
        timeout: Duration::from_secs(options.timeout),
        keep: options.keep,
        environment: setup.environment(),
        command: options.command.clone(),
    };
    let outcome = l1::run(&job, &mut |line| {
        if let Some(line) = line {
            println!("{line}");
        }
    })?;
    if let Some(to) = &options.results {
        take_results(&outcome.dir.file("results"), to)?;
    }
    for alarm in &outcome.alarms {
        eprintln!("kernel log: {alarm}");
    }
    let panic = outcome.bench_panic();
    if let Some(panic) = &panic {
        eprintln!("bench: {panic}");
    }
    let sound = outcome.alarms.is_empty() && panic.is_none();
    if outcome.timed_out() {
        eprintln!("the command did not end within {} s", options.timeout);
    }
    if outcome.status != 0 || !sound || options.keep {
        eprintln!("logs: {}", paths::outside(outcome.dir.path()).display());
    }
    let status = u8::try_from(outcome.status).unwrap_or(1);
    Ok(if sound { status } else { status.max(1) })
}

/// Copies the files in `from` to `to`.
fn take_results(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("no results in {from:?}"))?;
    for entry in entries {
        let entry = entry?;
        let place = to.join(entry.file_name());
        fs::copy(entry.path(), &place).with_context(|| format!("cannot write {place:?}"))?;
    }
    Ok(())
}
