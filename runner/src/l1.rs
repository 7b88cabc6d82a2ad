// SPDX-License-Identifier: GPL-2.0
//! Runs one job in a fresh L1: bench up, L1 up, job, everything down.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::bench::{self, Bench};
use crate::console;
use crate::follow::Follow;
use crate::interrupt;
use crate::kernel::Kernel;
use crate::nested;
use crate::paths;
use crate::qemu::Machine;
use crate::rundir::RunDir;
use crate::shell;
use supervise::{POLL, Supervised};

/// How long L1 may take to reach its init. The debug kernel needs 20 s on an idle
/// machine, and minutes on a busy one.
const BOOT: Duration = Duration::from_secs(600);
/// How long L1 may take to power off after the job.
const DOWN: Duration = Duration::from_secs(30);
/// What bash's `timeout` answers when it had to end the job.
const TIMED_OUT: i32 = 124;

/// A job for L1 and the L1 to run it in.
#[derive(Clone, Debug)]
pub struct Job {
    /// The kernel that L1 boots and takes modules from.
    pub kernel: Kernel,
    /// Size of L1's memory.
    pub memory: String,
    /// The bench program; without one L1 has no virtio VFs.
    pub bench: Option<PathBuf>,
    pub bench_arguments: Vec<String>,
    /// More arguments for QEMU, for devices of its own.
    pub qemu_arguments: Vec<String>,
    /// Limit for the job itself.
    pub timeout: Duration,
    /// Keep the run directory even if all went well.
    pub keep: bool,
    /// Additional environment of the job.
    pub environment: Vec<(String, String)>,
    pub command: Vec<String>,
}

/// How a job ended that could be run to its end.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status of the job.
    pub status: i32,
    /// All that the job printed.
    pub output: String,
    /// Lines of L1's kernel log that report a fault of the kernel.
    pub alarms: Vec<String>,
    /// The run directory. The owner decides if it is kept.
    pub dir: RunDir,
}

impl Outcome {
    /// Whether the job took longer than it may.
    pub fn timed_out(&self) -> bool {
        self.status == TIMED_OUT
    }

    /// What the bench said when one of its threads panicked, if one did: the others go on,
    /// and what they show is not to be trusted.
    pub fn bench_panic(&self) -> Option<String> {
        let log = fs::read(self.dir.file(bench::LOG)).ok()?;
        bench::panic_in(&String::from_utf8_lossy(&log))
    }
}

/// Runs `job`; `line` is called with each line that the job prints.
///
/// An error means that the job could not be run to its end: the bench or QEMU
/// died, the kernel panicked, L1 hung. Its text says which, with the last
/// console lines and the directory where the logs were kept.
pub fn run(job: &Job, line: &mut dyn FnMut(Option<&str>)) -> Result<Outcome> {
    job.kernel.check()?;
    let mut dir = RunDir::create(Path::new(paths::RUNS))?;
    write_job(job, &dir)?;
    match attempt(job, &dir, line) {
        Ok(status) => {
            let output = fs::read(dir.file("job.log")).unwrap_or_default();
            let console = fs::read(dir.file("console.log")).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            let alarms: Vec<String> = console::alarms(&console)
                .into_iter()
                .map(str::to_string)
                .collect();
            if job.keep || status != 0 || !alarms.is_empty() {
                dir.keep();
            }
            Ok(Outcome {
                status,
                output: String::from_utf8_lossy(&output).into_owned(),
                alarms,
                dir,
            })
        }
        Err(error) => {
            dir.keep();
            let console = fs::read(dir.file("console.log")).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            // The first faults say more than what followed from them.
            let faults = console::alarms(&console).into_iter().take(3);
            let lines: Vec<String> = faults
                .chain(console::tail(&console, 6))
                .map(|line| format!("\n    console: {}", line.trim()))
                .collect();
            let logs = paths::outside(dir.path());
            let logs = logs.display();
            Err(anyhow!("{error:#} (logs: {logs}){}", lines.concat()))
        }
    }
}

/// Writes the script that L1's init runs.
fn write_job(job: &Job, dir: &RunDir) -> Result<()> {
    let mut script = String::from("# What this run of L1 does.\n");
    let environment = [("VVP_KERNEL", job.kernel.dir().display().to_string())];
    let environment = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    let more = job
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in environment.chain(more) {
        script += &format!("export {name}={}\n", shell::quote(value)?);
    }
    // The command may be a program of this workspace.
    let programs = shell::quote(&paths::programs().display().to_string())?;
    script += &format!("export PATH={programs}:$PATH\n");
    script += &format!("exec {}\n", shell::join(&job.command)?);
    let path = dir.file("job.sh");
    fs::write(&path, script).with_context(|| format!("cannot write {path:?}"))
}

/// The run itself, up to the job's exit status. All children end with it.
fn attempt(job: &Job, dir: &RunDir, line: &mut dyn FnMut(Option<&str>)) -> Result<i32> {
    // Declared first, so dropped last: QEMU goes before the bench it talks to.
    let mut bench = None;
    let mut arguments = Vec::new();
    if let Some(program) = &job.bench {
        bench = Some(Bench::start(program, dir.path(), &job.bench_arguments)?);
        arguments = Bench::qemu_arguments(dir.path())?;
    }
    let mut qemu = Machine {
        kernel: &job.kernel,
        memory: &job.memory,
        dir: dir.path(),
        job_timeout: job.timeout.as_secs(),
        bench: &arguments,
        more: &job.qemu_arguments,
    }
    .start()?;
    let status = watch(job, dir, &mut qemu, &mut bench, line)?;
    if qemu.wait(DOWN)?.is_none() {
        bail!(
            "L1 did not power off within {} s after the job",
            DOWN.as_secs()
        );
    }
    if let Some(bench) = &mut bench {
        bench.check()?;
        bench.end();
    }
    Ok(status)
}

/// Waits for the job's exit status, and for everything that may prevent it.
fn watch(
    job: &Job,
    dir: &RunDir,
    qemu: &mut Supervised,
    bench: &mut Option<Bench>,
    line: &mut dyn FnMut(Option<&str>),
) -> Result<i32> {
    let (up, status) = (dir.file("up"), dir.file("status"));
    let mut log = Follow::new(&dir.file("job.log"));
    let booted_by = Instant::now() + BOOT;
    // L1's own timeout comes first; this one is for an L1 that hangs.
    let mut ended_by = None;
    loop {
        interrupt::check()?;
        let down = qemu.ended()?;
        let found = read_status(&status)?;
        for text in log.lines()? {
            line(Some(&text));
        }
        line(None);
        if let Some(found) = found {
            return Ok(found);
        }
        if let Some(exit) = down {
            let own = fs::read_to_string(dir.file("qemu.log")).unwrap_or_default();
            let console = fs::read(dir.file("console.log")).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            if console.contains("Kernel panic") {
                if console.contains(nested::SWITCH) {
                    bail!("L1's kernel panicked {}", nested::DIED_IN_SWITCH);
                }
                bail!("L1's kernel panicked");
            }
            bail!(
                "QEMU ended before the job did ({exit}) {}",
                console::tail(&own, 3).join(" | ")
            );
        }
        if let Some(bench) = bench {
            bench.check()?;
        }
        match ended_by {
            None if up.exists() => {
                ended_by = Some(Instant::now() + job.timeout + Duration::from_secs(60));
            }
            None if Instant::now() > booted_by => {
                bail!("L1 did not boot within {} s", BOOT.as_secs());
            }
            Some(deadline) if Instant::now() > deadline => {
                bail!("L1 hangs: the job's time limit passed and L1 did not end it");
            }
            _ => sleep(POLL),
        }
    }
}

/// The job's exit status, once init has left it.
fn read_status(path: &Path) -> Result<Option<i32>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path:?}"))?;
    let status = text
        .trim()
        .parse()
        .with_context(|| format!("bad status {text:?}"))?;
    Ok(Some(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_script_runs_the_command_with_its_environment() {
        let parent = tempfile::tempdir().unwrap();
        let dir = RunDir::create(parent.path()).unwrap();
        let job = Job {
            kernel: Kernel::new(Path::new("/k")),
            memory: "1G".into(),
            bench: None,
            bench_arguments: Vec::new(),
            qemu_arguments: Vec::new(),
            timeout: Duration::from_secs(1),
            keep: false,
            environment: vec![("VVP_NO_ADMIN".into(), "it's 1".into())],
            command: vec![
                "sh".into(),
                "-c".into(),
                "echo $VVP_KERNEL $VVP_NO_ADMIN".into(),
            ],
        };
        write_job(&job, &dir).unwrap();
        let output = std::process::Command::new("sh")
            .arg(dir.file("job.sh"))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "/k it's 1\n");
    }

    #[test]
    fn status_is_read_only_when_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status");
        assert_eq!(read_status(&path).unwrap(), None);
        fs::write(&path, "4\n").unwrap();
        assert_eq!(read_status(&path).unwrap(), Some(4));
        fs::write(&path, "?").unwrap();
        assert!(read_status(&path).is_err());
    }
}
