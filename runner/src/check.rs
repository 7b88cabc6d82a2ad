// SPDX-License-Identifier: GPL-2.0
//! `vvp-run check`: every stage of the project's tests, cheap ones first, and
//! one line that sums them up.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::count::Counts;
use crate::expected;
use crate::interrupt;
use crate::paths;
use crate::progress::Progress;
use crate::results::{Results, StageResult};
use crate::setup::Setup;
use crate::stage::Stage;
use crate::stages;
use crate::subject::Subject;

/// Runs `stages` and prints the result. True if all is well.
pub fn run(setup: &Setup, stages: &[Stage]) -> Result<bool> {
    let subject = Subject::find(setup, stages)?;
    subject.check()?;
    eprintln!("{subject}");
    let mut results = Results::create(Path::new(paths::RESULTS), subject)?;
    let mut sum = Counts::default();
    for &stage in stages {
        interrupt::check()?;
        let name = stage.name();
        let started = Instant::now();
        let mut progress = Progress::start(&name);
        let mut counts =
            stages::run(setup, stage, &mut progress).unwrap_or_else(|error| could_not_run(&error));
        interrupt::check()?;
        judge(&mut counts, stage);
        if let Err(error) = results.subject().is_unchanged() {
            counts.fail("subject", format!("{error:#}"));
        }
        progress.finish(&counts.to_string());
        let counts = counts.of_stage(&name);
        for remark in &counts.failed {
            eprintln!("    not ok: {remark}");
        }
        results.add(StageResult::new(&name, started.elapsed(), &counts), &counts)?;
        sum.add(counts);
    }
    let dir = results.finish()?;
    print_summary(&sum);
    eprintln!("results: {}", paths::outside(&dir).display());
    println!("{sum}");
    Ok(sum.failed.is_empty())
}

/// What a stage's own report does not show.
fn judge(counts: &mut Counts, stage: Stage) {
    counts.allow_skips(|test| expected::may_skip(stage, test));
    counts.forbid_duplicates();
    if counts.judged() == 0 {
        counts.fail("stage", "no test was run");
    }
}

/// A stage that could not be run to its end is one failure: the first line of
/// the error. Further lines are shown at once.
fn could_not_run(error: &anyhow::Error) -> Counts {
    let text = format!("{error:#}");
    let (reason, details) = text.split_once('\n').unwrap_or((&text, ""));
    if !details.is_empty() {
        eprintln!("{details}");
    }
    let mut counts = Counts::default();
    counts.fail("stage", reason);
    counts.log = text.clone();
    counts
}

/// What was seen and is not judged, reports, skips with reasons, and failures.
fn print_summary(sum: &Counts) {
    for remark in &sum.observed {
        println!("not judged: {remark}");
    }
    for report in &sum.reports {
        println!("report: {report}");
    }
    for remark in &sum.skipped {
        println!("skipped: {remark}");
    }
    for remark in &sum.failed {
        println!("failed: {remark}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_failure_of_one_line() {
        let error = anyhow::anyhow!("L1's kernel panicked (logs: /x)\n    console: y");
        let counts = could_not_run(&error);
        assert_eq!(counts.to_string(), "0 passed, 1 failed, 0 skipped");
        assert_eq!(
            counts.failed[0].to_string(),
            "stage: L1's kernel panicked (logs: /x)"
        );
    }

    #[test]
    fn a_stage_that_only_skips_has_run_nothing() {
        let mut counts = Counts::default();
        judge(&mut counts, Stage::L1);
        assert_eq!(counts.failed[0].reason, "no test was run");
    }
}
