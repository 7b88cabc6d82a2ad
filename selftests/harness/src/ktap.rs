// SPDX-License-Identifier: GPL-2.0
//! A test runner that speaks KTAP version 1 and keeps kselftest's habits.
//!
//! Every test runs in a child process of its own, so that a crash, a leaked file
//! descriptor or a hang harms that test only: when the time is up, the child is
//! killed and the test has failed. The kernel log is followed from the first test to
//! behind the last; a warning, an oops or a sanitizer's report fails the test that
//! caused it.

mod child;
mod complaints;
mod outcome;

use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use child::Limits;
use complaints::Complaints;
use outcome::{Outcome, Totals};

/// Exit status: everything that ran has passed.
pub const PASS: u8 = 0;
/// Exit status: something failed.
pub const FAIL: u8 = 1;
/// Exit status: nothing could run.
pub const SKIP: u8 = 4;

/// Time a test gets unless it asks for another. The machine is emulated.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The error that means "not here", with the reason.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// Ends a test as skipped; the reason is formatted as by `format!`.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {
        return Err($crate::ktap::Skip(format!($($reason)*)).into())
    };
}

/// Prints a diagnostic line.
#[macro_export]
macro_rules! note {
    ($($text:tt)*) => {
        $crate::ktap::diagnose(&format!($($text)*))
    };
}

/// Fails the test unless the two are equal, saying what was expected and what was found.
#[macro_export]
macro_rules! expect_eq {
    ($found:expr, $expected:expr, $($what:tt)*) => {
        match (&$found, &$expected) {
            (found, expected) => if *found != *expected {
                ::anyhow::bail!(
                    "{}: expected {:?}, found {:?} ({}:{})",
                    format!($($what)*), expected, found, file!(), line!()
                )
            }
        }
    };
}

/// Fails the test unless the condition holds.
#[macro_export]
macro_rules! expect {
    ($condition:expr, $($what:tt)*) => {
        if !$condition {
            ::anyhow::bail!("{} ({}:{})", format!($($what)*), file!(), line!())
        }
    };
}

/// Prints `text` as KTAP diagnostics.
pub fn diagnose(text: &str) {
    for line in text.lines() {
        println!("# {line}");
    }
}

/// A test that was carried out before it is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    pub title: String,
    /// Why it failed, if it did.
    pub problem: Option<String>,
}

/// Finished tests as KTAP, behind `notes` as diagnostics.
pub fn report_finished(notes: &str, tests: impl IntoIterator<Item = Finished>) -> String {
    let mut lines = String::new();
    let mut count = 0;
    for test in tests {
        count += 1;
        lines += &match &test.problem {
            None => format!("ok {count} {}\n", test.title),
            Some(problem) => {
                let problem = problem.replace('\n', " ");
                format!("not ok {count} {} # {problem}\n", test.title)
            }
        };
    }
    let notes: String = notes.lines().map(|line| format!("# {line}\n")).collect();
    format!("KTAP version 1\n1..{count}\n{notes}{lines}")
}

/// One test.
pub struct Test {
    fixture: &'static str,
    variant: String,
    name: String,
    limit: Duration,
    /// Whatever is selected.
    always: bool,
    /// Whether it has a result. If not, what it came to is told, and in no sum.
    judged: bool,
    body: Box<dyn Fn() -> Result<()>>,
}

impl Test {
    /// A test that is judged if it is selected.
    pub fn new(
        fixture: &'static str,
        variant: impl Into<String>,
        name: impl Into<String>,
        limit: Duration,
        body: impl Fn() -> Result<()> + 'static,
    ) -> Self {
        Self {
            fixture,
            variant: variant.into(),
            name: name.into(),
            limit,
            always: false,
            judged: true,
            body: Box::new(body),
        }
    }

    /// Run whatever tests are selected: it judges what they left.
    pub fn always(self) -> Self {
        Self {
            always: true,
            ..self
        }
    }

    /// Of something that is not ours to judge, but that judged tests rest on.
    pub fn foreign(self) -> Self {
        Self {
            judged: false,
            ..self
        }
    }

    /// What KTAP calls it.
    pub fn title(&self) -> String {
        format!("{}.{}.{}", self.fixture, self.variant, self.name)
    }
}

/// A skip that is no failure where all others are.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedSkip {
    /// How the test's title begins.
    pub title: &'static str,
    /// A part of the reason that the test gives.
    pub reason: &'static str,
    /// Why that is as it should be.
    pub because: &'static str,
}

impl ExpectedSkip {
    fn is(&self, title: &str, reason: &str) -> bool {
        title.starts_with(self.title) && reason.contains(self.reason)
    }
}

/// The tests of a program, in the order they were added.
#[derive(Default)]
pub struct Suite {
    tests: Vec<Test>,
    /// Set where all skips but these are failures.
    expected_skips: Option<Vec<ExpectedSkip>>,
    /// Set by a signal that is to end the tests.
    interrupted: Arc<AtomicBool>,
}

impl Suite {
    /// Adds a test with the usual time limit.
    pub fn add(
        &mut self,
        fixture: &'static str,
        variant: impl Into<String>,
        name: impl Into<String>,
        body: impl Fn() -> Result<()> + 'static,
    ) {
        self.add_slow(fixture, variant, name, LIMIT, body);
    }

    /// Adds a test with a time limit of its own.
    pub fn add_slow(
        &mut self,
        fixture: &'static str,
        variant: impl Into<String>,
        name: impl Into<String>,
        limit: Duration,
        body: impl Fn() -> Result<()> + 'static,
    ) {
        self.add_test(Test::new(fixture, variant, name, limit, body));
    }

    /// Adds a test.
    pub fn add_test(&mut self, test: Test) {
        self.tests.push(test);
    }

    /// From now on a skip is a failure, unless it is one of `expected`: everything that
    /// tests need is there, and who finds it missing has found a fault.
    pub fn forbid_skips(&mut self, expected: Vec<ExpectedSkip>) {
        self.expected_skips = Some(expected);
    }

    /// From now on a signal that would end this process ends the tests instead: the one that
    /// runs, and with it all, so that the caller can put things back.
    pub fn stop_at_signals(&mut self) -> Result<()> {
        for signal in child::ENDING {
            signal_hook::flag::register(signal as i32, Arc::clone(&self.interrupted))
                .with_context(|| format!("handling {signal}"))?;
        }
        Ok(())
    }

    /// Keeps the tests whose title contains any of `filters` (all, if there are none). The
    /// error is a filter that no test was kept for.
    pub fn retain(&mut self, filters: &[String]) -> Result<(), String> {
        let selects = |filter: &String, test: &Test| test.title().contains(filter);
        if let Some(idle) = filters
            .iter()
            .find(|filter| !self.tests.iter().any(|test| selects(filter, test)))
        {
            return Err(idle.clone());
        }
        if !filters.is_empty() {
            self.tests
                .retain(|test| test.always || filters.iter().any(|filter| selects(filter, test)));
        }
        Ok(())
    }

    /// What the tests are called, in their order.
    pub fn titles(&self) -> Vec<String> {
        self.tests.iter().map(Test::title).collect()
    }

    /// Prints the titles.
    pub fn list(&self) {
        for title in self.titles() {
            println!("{title}");
        }
    }

    /// A title that two tests have: one of them could vanish, and nobody would see it.
    fn duplicate(&self) -> Option<String> {
        let mut seen = HashSet::new();
        self.titles()
            .into_iter()
            .find(|title| !seen.insert(title.clone()))
    }

    /// Runs everything and prints KTAP.
    pub fn run(&self) -> ExitCode {
        if let Some(title) = self.duplicate() {
            return bail_out(&format!("two tests are named {title}"));
        }
        let mut complaints = match Complaints::follow() {
            Ok(complaints) => complaints,
            Err(error) => return bail_out(&format!("{error:#}")),
        };
        println!("KTAP version 1");
        let judged = self.tests.iter().filter(|test| test.judged);
        println!("1..{}", judged.count());
        let mut totals = Totals::default();
        for test in &self.tests {
            let start = Instant::now();
            let outcome = self
                .run_one(test, &mut complaints)
                .unwrap_or_else(|error| Outcome::Fail(format!("runner: {error:#}")));
            println!("# {:.2} s", start.elapsed().as_secs_f64());
            if test.judged {
                totals.count(&outcome);
                report(totals.all(), &test.title(), &outcome);
            } else {
                diagnose(&format!(
                    "reported: {}: {}",
                    test.title(),
                    outcome.in_words()
                ));
            }
            if outcome == Outcome::Stuck {
                println!("Bail out! a test cannot be killed; the device or the kernel is stuck");
                break;
            }
            if self.interrupted.load(Ordering::Relaxed) {
                println!("{totals}");
                return bail_out("interrupted");
            }
        }
        println!("{totals}");
        match complaints.take() {
            Ok(None) => ExitCode::from(totals.exit_status()),
            Ok(Some(text)) => {
                diagnose(&text);
                bail_out("the kernel complained after the last test")
            }
            Err(error) => bail_out(&format!("{error:#}")),
        }
    }

    fn run_one(&self, test: &Test, complaints: &mut Complaints) -> Result<Outcome> {
        let before = match test.judged {
            true => complaints.take()?,
            false => None,
        };
        let outcome = child::run(&test.body, Limits::for_verdict(test.limit), &mut || {
            complaints.listen()?;
            Ok(self.interrupted.load(Ordering::Relaxed))
        })?;
        let outcome = match outcome {
            Outcome::Skip(reason) if !self.may_skip(&test.title(), &reason) => {
                Outcome::UnexpectedSkip(reason)
            }
            other => other,
        };
        // What the kernel says of a test that is not judged is on the next one.
        if outcome == Outcome::Stuck || !test.judged {
            return Ok(outcome);
        }
        let during = complaints.take()?;
        let found: Vec<String> = [
            before.map(|text| format!("the kernel complained before this test:\n{text}")),
            during.map(|text| format!("the kernel complained:\n{text}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if found.is_empty() {
            return Ok(outcome);
        }
        if let Outcome::Fail(reason) = &outcome {
            diagnose(reason);
        }
        Ok(Outcome::Fail(found.join("\n")))
    }

    fn may_skip(&self, title: &str, reason: &str) -> bool {
        self.expected_skips
            .as_ref()
            .is_none_or(|expected| expected.iter().any(|skip| skip.is(title, reason)))
    }
}

/// Says why there is no report, or none of use.
pub fn bail_out(reason: &str) -> ExitCode {
    println!("Bail out! {}", one_line(reason));
    ExitCode::from(FAIL)
}

fn report(number: usize, title: &str, outcome: &Outcome) {
    match outcome {
        Outcome::Pass => println!("ok {number} {title}"),
        Outcome::Skip(reason) => println!("ok {number} {title} # SKIP {}", one_line(reason)),
        Outcome::UnexpectedSkip(reason) => println!(
            "not ok {number} {title} # unexpected skip: {}",
            one_line(reason)
        ),
        Outcome::Fail(reason) => {
            diagnose(reason);
            println!("not ok {number} {title}");
        }
        Outcome::Stuck => println!("not ok {number} {title}"),
    }
    // The runner's terminal is a serial line; nothing else flushes a pipe.
    let _ = std::io::stdout().flush();
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(titles: &[(&'static str, &str)]) -> Suite {
        let mut suite = Suite::default();
        for (fixture, name) in titles {
            suite.add(fixture, "rs", *name, || Ok(()));
        }
        suite
    }

    #[test]
    fn filters_select_by_part_of_the_title() {
        let mut suite = suite(&[("arcs", "a"), ("quiet", "a"), ("quiet", "b")]);
        suite.add_test(Test::new("kmemleak", "kernel", "x", LIMIT, || Ok(())).always());
        suite.retain(&["quiet.rs.a".to_owned()]).unwrap();
        assert_eq!(suite.titles(), ["quiet.rs.a", "kmemleak.kernel.x"]);
    }

    #[test]
    fn a_filter_that_selects_nothing_is_a_mistake() {
        let mut suite = suite(&[("arcs", "a")]);
        let filters = ["arcs".to_owned(), "arks".to_owned()];
        assert_eq!(suite.retain(&filters), Err("arks".to_owned()));
        assert_eq!(suite.retain(&[]), Ok(()));
    }

    #[test]
    fn names_are_unique() {
        assert_eq!(
            suite(&[("f", "a"), ("f", "b"), ("g", "a")]).duplicate(),
            None
        );
        assert_eq!(
            suite(&[("f", "a"), ("f", "b"), ("f", "a")]).duplicate(),
            Some("f.rs.a".to_owned())
        );
    }

    #[test]
    fn skips_may_have_to_be_expected() {
        let mut suite = suite(&[]);
        assert!(suite.may_skip("a.b.c", "no KVM"));
        suite.forbid_skips(vec![ExpectedSkip {
            title: "a.",
            reason: "no KVM",
            because: "of the weather",
        }]);
        assert!(suite.may_skip("a.b.c", "no KVM here"));
        assert!(!suite.may_skip("a.b.c", "no IOMMU"));
        assert!(!suite.may_skip("b.b.c", "no KVM"));
    }
}
