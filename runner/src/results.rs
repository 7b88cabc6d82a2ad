// SPDX-License-Identifier: GPL-2.0
//! The record of a run of tests: `run.json` (what was tested, and how each stage ended),
//! the same as a page (`summary.rst`), `junit.xml` (every test), and each stage's report as
//! it was printed.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;

use crate::count::{Counts, Remark};
use crate::subject::{Subject, shown};

/// How many records are kept.
const KEPT: usize = 20;

/// How a stage ended.
#[derive(Clone, Debug, Serialize)]
pub struct StageResult {
    name: String,
    passed: usize,
    failed: usize,
    skipped: usize,
    /// What was seen and not judged.
    reported: usize,
    seconds: u64,
}

impl StageResult {
    pub fn new(name: &str, took: Duration, counts: &Counts) -> Self {
        Self {
            name: name.into(),
            passed: counts.passed.len(),
            failed: counts.failed.len(),
            skipped: counts.skipped.len(),
            reported: counts.observed.len(),
            seconds: took.as_secs(),
        }
    }
}

#[derive(Serialize)]
struct Run<'a> {
    #[serde(flatten)]
    subject: &'a Subject,
    /// When it began, in UTC.
    date: &'a str,
    /// Whether all stages that were asked for have ended.
    complete: bool,
    stages: &'a [StageResult],
}

/// The directory of a run's record.
pub struct Results {
    dir: PathBuf,
    subject: Subject,
    date: String,
    stages: Vec<StageResult>,
    report: Report,
}

impl Results {
    /// Makes a directory in `parent`, and removes the oldest ones there.
    pub fn create(parent: &Path, subject: Subject) -> Result<Self> {
        let date = date()?;
        fs::create_dir_all(parent).with_context(|| format!("cannot create {parent:?}"))?;
        let dir = own_directory(&parent.join(date.replace([':', ' '], "-")))?;
        prune(parent);
        Ok(Self {
            dir,
            subject,
            date,
            stages: Vec::new(),
            report: Report::new("virtio_vfio_pci_rs"),
        })
    }

    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Adds a stage's results, and writes what there is: a run can be interrupted.
    pub fn add(&mut self, result: StageResult, counts: &Counts) -> Result<()> {
        self.write(&format!("{}.log", result.name), counts.log.as_bytes())?;
        self.report.add_test_suite(suite(&result, counts));
        self.stages.push(result);
        self.write_all(false)
    }

    /// The record is whole. Says where it is.
    pub fn finish(self) -> Result<PathBuf> {
        self.write_all(true)?;
        Ok(self.dir)
    }

    fn write_all(&self, complete: bool) -> Result<()> {
        let run = Run {
            subject: &self.subject,
            date: &self.date,
            complete,
            stages: &self.stages,
        };
        self.write("run.json", &serde_json::to_vec_pretty(&run)?)?;
        self.write("summary.rst", self.summary().as_bytes())?;
        let junit = self.report.to_string().context("writing JUnit")?;
        self.write("junit.xml", junit.as_bytes())
    }

    /// A page for the documentation.
    fn summary(&self) -> String {
        let subject = &self.subject;
        let title = "Results of the last full run";
        let rule = "=".repeat(title.len());
        let seconds: u64 = self.stages.iter().map(|stage| stage.seconds).sum();
        let mut page = format!(
            ":orphan:\n\n.. SPDX-License-Identifier: GPL-2.0\n.. Made by 'make check-all'.\n\n{rule}\n{title}\n{rule}\n\n\
             :Date: {} UTC\n:Revision: {}\n:Kernel: {}, and Debian's {}\n:QEMU: {}\n\
             :Module: SHA-256 ``{}``\n:Duration: {} minutes\n\n\
             *Reported* is what was seen and is not judged, such as what the in-tree driver does.\n\n\
             .. list-table::\n   :header-rows: 1\n\n",
            self.date,
            subject.revision,
            shown(&subject.kernel),
            shown(&subject.stock_kernel),
            subject.qemu,
            shown(&subject.module_sha256),
            seconds.div_ceil(60),
        );
        let mut row = |cells: [&dyn std::fmt::Display; 6]| {
            for (number, cell) in cells.iter().enumerate() {
                page += if number == 0 { "   * - " } else { "     - " };
                page += &format!("{cell}\n");
            }
        };
        row([
            &"stage",
            &"passed",
            &"failed",
            &"skipped",
            &"reported",
            &"seconds",
        ]);
        for stage in &self.stages {
            let name = format!("``{}``", stage.name);
            row([
                &name,
                &stage.passed,
                &stage.failed,
                &stage.skipped,
                &stage.reported,
                &stage.seconds,
            ]);
        }
        page
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {path:?}"))
    }
}

fn suite(result: &StageResult, counts: &Counts) -> TestSuite {
    let mut suite = TestSuite::new(result.name.as_str());
    suite.set_time(Duration::from_secs(result.seconds));
    let passed = counts
        .passed
        .iter()
        .map(|name| (name, TestCaseStatus::success()));
    let failed = counts.failed.iter().map(|remark| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(remark.reason.as_str());
        (&remark.test, status)
    });
    let not_run = counts.skipped.iter().chain(&counts.observed);
    let not_run = not_run.map(|Remark { test, reason }| {
        let mut status = TestCaseStatus::skipped();
        status.set_message(reason.as_str());
        (test, status)
    });
    for (name, status) in passed.chain(failed).chain(not_run) {
        suite.add_test_case(TestCase::new(name.as_str(), status));
    }
    suite
}

fn date() -> Result<String> {
    let date = Command::new("date")
        .args(["-u", "+%Y-%m-%d %H:%M:%S"])
        .output()
        .context("running date")?;
    Ok(String::from_utf8_lossy(&date.stdout).trim().into())
}

/// Makes a directory of this name, or, if another run has begun in the same second, of one
/// that comes next.
fn own_directory(wanted: &Path) -> Result<PathBuf> {
    let mut dir = wanted.to_path_buf();
    let mut number = 1;
    loop {
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                number += 1;
                dir = PathBuf::from(format!("{}-{number}", wanted.display()));
            }
            made => {
                made.with_context(|| format!("cannot create {dir:?}"))?;
                return Ok(dir);
            }
        }
    }
}

/// Removes all but the newest records; their names are dates.
fn prune(parent: &Path) {
    let found: BTreeSet<PathBuf> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    for path in found.iter().rev().skip(KEPT) {
        let _ = fs::remove_dir_all(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_a_suite_of_all_its_tests() {
        let mut counts = Counts::default();
        counts.pass("l1/a");
        counts.fail("l1/b", "broke <here>");
        counts.skip("l1/c", "no hardware");
        counts.observe("l1/d", "is slow");
        let result = StageResult::new("l1", Duration::from_secs(3), &counts);
        let mut report = Report::new("x");
        report.add_test_suite(suite(&result, &counts));
        let text = report.to_string().unwrap();
        for expected in [
            r#"tests="4""#,
            r#"failures="1""#,
            r#"name="l1/a""#,
            r#"message="broke &lt;here&gt;""#,
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn runs_of_one_second_have_records_of_their_own() {
        let temporary = tempfile::tempdir().unwrap();
        let parent = temporary.path();
        let wanted = parent.join("2026-01-01");
        let names = [(); 3].map(|()| own_directory(&wanted).unwrap());
        assert_eq!(names[0], wanted);
        assert_eq!(names[2], parent.join("2026-01-01-3"));
    }

    #[test]
    fn old_records_go() {
        let temporary = tempfile::tempdir().unwrap();
        let parent = temporary.path();
        for number in 0..KEPT + 3 {
            fs::create_dir_all(parent.join(format!("2026-01-{number:02}"))).unwrap();
        }
        prune(parent);
        assert_eq!(fs::read_dir(parent).unwrap().count(), KEPT);
        assert!(!parent.join("2026-01-02").exists());
    }
}
