// SPDX-License-Identifier: GPL-2.0
//! `vvp-run benchmark`: measures this driver beside the in-tree one, and reports.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use report::{Environment, Point, Results, Series, Subject, Writer, overview, summary};
use serde_json::Value;

use crate::console;
use crate::l1::{self, Job};
use crate::paths;
use crate::progress::Progress;
use crate::setup::Setup;

/// Measurements of each kind at each point, with each driver.
const REPETITIONS: u64 = 10;
/// The same where an emulator that counts instructions is slow, and does not vary.
const COUNTED: u64 = 3;

/// Every function of a PF, an object for each, and, for the in-tree driver, commands of
/// more descriptors than the queue has.
const DEVICE: [&str; 5] = ["--vfs", "7", "--objects", "16", "--long-admin-chains"];

/// A clock that advances by a nanosecond with each instruction, and not while nothing runs.
const COUNTING: [&str; 4] = ["-icount", "shift=0,sleep=off", "-smp", "1"];

/// What `l2-migrate` leaves in the run directory.
const MIGRATION: &str = "report.json";

/// What to measure, and where the results go.
pub struct Options<'a> {
    /// A directory; made if it is missing.
    pub out: &'a Path,
    /// Small contexts and few repetitions, to see that everything works.
    pub small: bool,
    /// The project's revision.
    pub revision: &'a str,
}

/// Measures, writes the report, and prints its summary.
pub fn run(setup: &Setup, options: &Options) -> Result<()> {
    let repetitions = if options.small { 2 } else { REPETITIONS };
    let out = options.out;
    fs::create_dir_all(out).with_context(|| format!("{}: choose another --out", out.display()))?;
    let path = out.join("results.jsonl");
    let file =
        File::create(&path).with_context(|| format!("{}: choose another --out", path.display()))?;
    let environment = environment(setup, options, repetitions)?;
    let mut writer = Writer::new(file, &environment).context("writing results")?;
    for part in parts(repetitions, options.small) {
        for series in part.measure(setup)? {
            writer.write(&series).context("writing results")?;
        }
    }
    let input = report::read(BufReader::new(File::open(&path)?))?;
    let results = Results::new(&input);
    report::write_all(&results, out)?;
    for item in summary::summary(&results) {
        println!("- {item}");
    }
    println!("\n{}", overview::overview(&results));
    println!("{} has the page.", out.join("performance.rst").display());
    Ok(())
}

/// Something to measure in an L1 of its own.
struct Part {
    name: &'static str,
    limit: Duration,
    memory: &'static str,
    bench_arguments: Vec<String>,
    qemu_arguments: Vec<String>,
    command: Vec<String>,
    /// A migration of a guest, with this driver, instead of lines of results.
    guest: Option<Subject>,
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

fn parts(repetitions: u64, small: bool) -> Vec<Part> {
    let measure = |what: &[&str], repetitions: u64| {
        let mut command = strings(&["vvp-benchmark", "--repetitions"]);
        command.push(repetitions.to_string());
        command.extend(small.then(|| "--small".to_string()));
        command.extend(strings(what));
        command
    };
    let part = |name, minutes: u64, command| Part {
        name,
        limit: Duration::from_secs(60 * minutes),
        memory: "4G",
        bench_arguments: strings(&DEVICE),
        qemu_arguments: Vec::new(),
        command,
        guest: None,
    };
    let guest = |name, driver: &str, subject| Part {
        memory: "3G",
        bench_arguments: Vec::new(),
        guest: Some(subject),
        ..part(
            name,
            6,
            strings(&[
                "l2-migrate",
                "--driver",
                driver,
                "--scenario",
                "there-and-back",
                "--expect-tracker",
                "iommu",
                "--json",
                MIGRATION,
            ]),
        )
    };
    vec![
        part(
            "switchover",
            20,
            measure(
                &[
                    "commands",
                    "questions",
                    "memory",
                    "phases",
                    "many",
                    "switchover",
                ],
                repetitions,
            ),
        ),
        Part {
            qemu_arguments: strings(&COUNTING),
            ..part("instructions", 10, measure(&["instructions"], COUNTED))
        },
        Part {
            bench_arguments: Vec::new(),
            ..part("reports of dirty pages", 10, strings(&["dirty-benchmark"]))
        },
        guest("guest, this driver", "rs", Subject::Rs),
        guest("guest, in-tree driver", "c", Subject::C),
    ]
}

impl Part {
    fn measure(self, setup: &Setup) -> Result<Vec<Series>> {
        let mut progress = Progress::start(self.name);
        let job = Job {
            kernel: setup.kernel.clone(),
            memory: self.memory.to_string(),
            bench: Some(paths::program("vfio-bench")),
            bench_arguments: self.bench_arguments,
            qemu_arguments: self.qemu_arguments,
            timeout: self.limit,
            keep: false,
            environment: setup.environment(),
            command: self.command,
        };
        let mut series = Vec::new();
        let mut refused = None;
        let mut outcome = l1::run(&job, &mut |line| {
            match line {
                Some(line) if line.starts_with('{') => match serde_json::from_str(line) {
                    Ok(found) => series.push(found),
                    Err(error) => refused = Some(format!("{error}: {line}")),
                },
                Some(line) => progress.message(line),
                None => {}
            }
            progress.tick();
        })?;
        if let Some(refused) = refused {
            bail!("a result that is none: {refused}");
        }
        let panic = outcome.bench_panic();
        if outcome.status != 0 || !outcome.alarms.is_empty() || panic.is_some() {
            outcome.dir.keep();
            progress.finish("FAILED");
            for line in console::tail(&outcome.output, 5) {
                eprintln!("    {line}");
            }
            for alarm in &outcome.alarms {
                eprintln!("    kernel of the host under test: {alarm}");
            }
            if let Some(panic) = panic {
                eprintln!("    bench: {panic}");
            }
            bail!(
                "{}: logs: {}",
                self.name,
                paths::outside(outcome.dir.path()).display()
            );
        }
        if let Some(subject) = self.guest {
            let path = outcome.dir.file(MIGRATION);
            let text = fs::read(&path).with_context(|| format!("cannot read {path:?}"))?;
            series.push(downtime(&serde_json::from_slice(&text)?, subject)?);
        }
        ensure!(!series.is_empty(), "{}: nothing was measured", self.name);
        progress.finish(&format!("{} series", series.len()));
        Ok(series)
    }
}

/// The downtimes that QEMU states, one for each time that the guest moved.
fn downtime(report: &Value, subject: Subject) -> Result<Series> {
    let hops = report["hops"].as_array().context("a report without hops")?;
    let values: Vec<f64> = hops
        .iter()
        .filter_map(|hop| hop["migration"]["downtime_ms"].as_f64())
        .collect();
    ensure!(!values.is_empty(), "a report without downtimes");
    Ok(Series {
        figure: "qemu-downtime".into(),
        unit: "ms".into(),
        subject,
        point: Point::default(),
        values,
    })
}

fn environment(setup: &Setup, options: &Options, repetitions: u64) -> Result<Environment> {
    let qemu = Command::new("qemu-system-x86_64")
        .arg("--version")
        .output()
        .context("running QEMU")?;
    let qemu = String::from_utf8_lossy(&qemu.stdout);
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    let date = Command::new("date")
        .args(["-u", "+%Y-%m-%d"])
        .output()
        .context("running date")?;
    let mut other = BTreeMap::new();
    other.insert("bench".into(), DEVICE.join(" "));
    if options.small {
        other.insert("kind".into(), "a trial with small contexts".into());
    }
    Ok(Environment {
        date: String::from_utf8_lossy(&date.stdout).trim().into(),
        revision: options.revision.into(),
        kernel: setup.kernel.release()?,
        qemu: qemu.lines().next().unwrap_or("unknown").into(),
        cpu: cpu.into(),
        repetitions,
        other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn downtimes_are_taken_from_a_report() {
        let report = json!({"hops": [
            {"migration": {"downtime_ms": 90}},
            {"migration": null},
            {"migration": {"downtime_ms": 70}},
        ]});
        let series = downtime(&report, Subject::C).unwrap();
        assert_eq!(series.values, [90.0, 70.0]);
        assert!(downtime(&json!({"hops": []}), Subject::C).is_err());
        assert!(downtime(&json!({}), Subject::C).is_err());
    }

    #[test]
    fn a_trial_is_small_everywhere() {
        for part in parts(2, true) {
            let own = part.command[0] == "vvp-benchmark";
            assert_eq!(own, part.command.contains(&"--small".to_string()));
        }
    }
}
