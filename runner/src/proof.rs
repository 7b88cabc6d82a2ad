// SPDX-License-Identifier: GPL-2.0
//! `vvp-run proof`: the page of the documentation that says what fuzzing and torture have
//! counted, made of the records that they leave.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use report::rst;
use report::table::{Align, Table};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The page's name in the documentation.
pub const PAGE: &str = "proof";

const FUZZ: &str = "Documentation/proof/fuzz.json";
const TORTURE: &str = "Documentation/proof/torture.json";

const HEAD: &str = "\
.. SPDX-License-Identifier: GPL-2.0
.. Made by 'make proof' of the files in Documentation/proof: do not edit.

";

const INTRODUCTION: &str = "\
What was run, and counted, and found nothing. The figures are sums over all runs so far that \
ended well; each run adds its own to ``Documentation/proof/fuzz.json`` or \
``Documentation/proof/torture.json``, with date and revision, and ``make proof`` makes this page of \
them. What a run has found is mended, and is in no figure here.";

const ABOUT_TORTURE: &str = "\
``make torture TIME=1h`` reproduces it, and ``SEED=N`` makes the decisions of an earlier run \
again. Clients do anything with two functions while allocations fail, the device misbehaves, and \
functions, PF and module go away; after each of the rounds both functions migrate, no object is \
left on the device, and the kernel has nothing to say. :doc:`selftests` has more, as the fixture \
``torture``. The device is emulated (:doc:`bench`).";

const ABOUT_FUZZING: &str = "\
``make fuzz TIME=1h`` reproduces it; :doc:`fuzzing` says what each target does, and what must \
hold.";

const ABOUT_COVERAGE: &str = "\
What the files of ``fuzz/corpus`` reach in the code that a target is about. \
``scripts/fuzz.sh coverage`` measures it.";

/// Makes the page `out` of the records of the project at `top`.
pub fn run(top: &Path, out: &Path) -> Result<()> {
    fs::write(out, page(top)?)
        .with_context(|| format!("cannot write {out:?}: choose another --out"))
}

/// The page that the records at `top` make.
pub fn page(top: &Path) -> Result<String> {
    let mut page = HEAD.to_owned();
    page += &rst::title("Figures");
    page += &rst::paragraph(INTRODUCTION);
    page += &of_torture(&read(top, TORTURE)?);
    page += &of_fuzzing(&read(top, FUZZ)?);
    page.truncate(page.trim_end().len());
    Ok(page + "\n")
}

fn read<T: DeserializeOwned>(top: &Path, name: &str) -> Result<T> {
    let text = fs::read(top.join(name)).with_context(|| format!("cannot read {name}"))?;
    serde_json::from_slice(&text).with_context(|| name.to_owned())
}

/// What `scripts/torture-record.py` writes.
#[derive(Deserialize)]
struct Torture {
    runs: Vec<TortureRun>,
}

#[derive(Deserialize)]
struct TortureRun {
    date: String,
    kernel: String,
    checks: String,
    seconds: u64,
    counted: BTreeMap<String, u64>,
}

/// What `scripts/fuzz-record.py` writes.
#[derive(Deserialize)]
struct Fuzzing {
    executions: Vec<Executions>,
    coverage: Coverage,
}

#[derive(Deserialize)]
struct Executions {
    target: String,
    executions: u64,
    seconds: u64,
    last: String,
}

#[derive(Deserialize)]
struct Coverage {
    revision: String,
    targets: BTreeMap<String, Reached>,
}

#[derive(Deserialize)]
struct Reached {
    lines: Share,
    regions: Share,
}

#[derive(Deserialize)]
struct Share {
    covered: u64,
    all: u64,
}

/// What is counted, as `selftests/tests/src/torture/tally.rs` calls it, and in words.
const COUNTED: [(&str, &str); 17] = [
    ("transitions", "changes of state"),
    ("refused_transitions", "changes of state that were refused"),
    ("streams_loaded", "streams loaded"),
    (
        "streams_refused",
        "streams refused, or cut short by something else",
    ),
    ("transfers", "reads and writes of data descriptors"),
    (
        "transfers_by_device_memory",
        "the same, with a mapped BAR as the buffer",
    ),
    ("requests", "other requests"),
    ("resets", "resets"),
    ("failed_allocations", "allocations made to fail"),
    ("faults", "faults of the device"),
    ("kills", "clients killed"),
    ("removals", "functions pulled out"),
    ("unbinds", "functions and PFs unbound under a client"),
    ("sriov_changes", "functions disabled under a client"),
    ("unloads", "times the module was unloaded"),
    ("debugfs_reads", "files read in debugfs meanwhile"),
    ("rounds", "rounds"),
];

fn of_torture(record: &Torture) -> String {
    let mut page = rst::section("Torture");
    page += &rst::paragraph(ABOUT_TORTURE);
    // The checks that a kernel has are what a run on it is worth.
    let kinds = [
        ("debug", "with KASAN, lockdep and kmemleak"),
        ("plain", "without"),
    ];
    let of = |kind: &str| {
        let runs = record.runs.iter().filter(move |run| run.checks == kind);
        runs.collect::<Vec<_>>()
    };
    let mut columns = vec![("what".to_owned(), Align::Left)];
    columns.extend(kinds.map(|(_, title)| (title.to_owned(), Align::Right)));
    columns.push(("in all".to_owned(), Align::Right));
    let mut table = Table::new(columns);
    let mut row = |what: &str, number: &dyn Fn(&TortureRun) -> u64, show: fn(u64) -> String| {
        let counts = kinds.map(|(kind, _)| of(kind).iter().map(|run| number(run)).sum::<u64>());
        let all = [counts[0], counts[1], counts.iter().sum()];
        let mut cells = vec![what.to_owned()];
        cells.extend(all.map(show));
        table.row(cells);
    };
    row("hours", &|run| run.seconds, hours);
    for (name, what) in COUNTED {
        row(
            what,
            &|run| run.counted.get(name).copied().unwrap_or(0),
            grouped,
        );
    }
    page += &table.to_rst();
    page += "\n";
    let mut kernels: Vec<_> = record.runs.iter().map(|run| run.kernel.as_str()).collect();
    kernels.sort_unstable();
    kernels.dedup();
    let last = record.runs.iter().map(|run| run.date.as_str()).max();
    page += &rst::paragraph(&match last {
        None => "No run is recorded yet.".to_owned(),
        Some(last) => format!(
            "{} runs, on Linux {}; the last on {last}.",
            record.runs.len(),
            kernels.join(", ")
        ),
    });
    page
}

fn of_fuzzing(record: &Fuzzing) -> String {
    let mut page = rst::section("Fuzzing");
    page += &rst::paragraph(ABOUT_FUZZING);
    let mut targets: BTreeMap<&str, (u64, u64, &str)> = BTreeMap::new();
    for run in &record.executions {
        let sum = targets.entry(&run.target).or_default();
        sum.0 += run.executions;
        sum.1 += run.seconds;
        sum.2 = sum.2.max(run.last.as_str());
    }
    let mut table = Table::new(vec![
        ("target".to_owned(), Align::Left),
        ("executions".to_owned(), Align::Right),
        ("hours".to_owned(), Align::Right),
        ("last".to_owned(), Align::Left),
    ]);
    let all = targets.values().fold((0, 0, ""), |sum, of| {
        (sum.0 + of.0, sum.1 + of.1, sum.2.max(of.2))
    });
    let rows = targets.iter().map(|(name, sum)| (name.to_string(), *sum));
    for (name, (executions, seconds, last)) in rows.chain([("in all".to_owned(), all)]) {
        table.row(vec![
            name,
            grouped(executions),
            hours(seconds),
            last.to_owned(),
        ]);
    }
    page += &table.to_rst();
    page += "\n";
    page += &rst::section("Coverage");
    page += &rst::paragraph(ABOUT_COVERAGE);
    let mut table = Table::new(vec![
        ("target".to_owned(), Align::Left),
        ("lines".to_owned(), Align::Right),
        ("regions".to_owned(), Align::Right),
    ]);
    for (name, reached) in &record.coverage.targets {
        let shares = [&reached.lines, &reached.regions].map(share);
        table.row([vec![name.clone()], shares.to_vec()].concat());
    }
    page += &table.to_rst();
    page += "\n";
    page += &rst::paragraph(&format!(
        "Measured of revision {}.",
        rst::escape(&record.coverage.revision)
    ));
    page
}

fn share(share: &Share) -> String {
    let percent = 100 * share.covered / share.all.max(1);
    format!("{} of {} ({percent} %)", share.covered, share.all)
}

fn hours(seconds: u64) -> String {
    format!("{:.1}", seconds as f64 / 3600.0)
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn numbers_are_readable() {
        let numbers = [0, 999, 1000, 1234567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1 000", "1 234 567"]);
        assert_eq!(hours(5400), "1.5");
    }

    #[test]
    fn runs_are_added_up_by_what_the_kernel_checks() {
        let run = |checks: &str, seconds, transitions| TortureRun {
            date: "2026-11-27".into(),
            kernel: "7.3".into(),
            checks: checks.into(),
            seconds,
            counted: BTreeMap::from([("transitions".into(), transitions)]),
        };
        let runs = vec![
            run("debug", 3600, 1000),
            run("plain", 1800, 20),
            run("plain", 0, 3),
        ];
        let page = of_torture(&Torture { runs });
        let row = |what: &str| {
            let line = page.lines().find(|line| line.starts_with(what)).unwrap();
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            row("changes of state  "),
            ["changes of state", "1 000", "23", "1 023"]
        );
        assert_eq!(row("hours"), ["hours", "1.0", "0.5", "1.5"]);
    }

    #[test]
    fn all_that_is_counted_is_on_the_page() {
        let tally = fs::read_to_string(top().join("selftests/tests/src/torture/tally.rs")).unwrap();
        for (name, _) in COUNTED {
            assert!(tally.contains(&format!("\"{name}\"")), "{name}");
        }
        let record: Torture = read(&top(), TORTURE).unwrap();
        for run in &record.runs {
            for name in run.counted.keys() {
                assert!(COUNTED.iter().any(|(known, _)| known == name), "{name}");
            }
        }
    }
}
