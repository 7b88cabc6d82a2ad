// SPDX-License-Identifier: GPL-2.0
//! A test runner that speaks KTAP version 1 and keeps kselftest's habits.
//!
//! Every test runs in a child process of its own, so that a crash, a leaked file
//! descriptor or a hang harms that test only: when the time is up, the child is
//! killed and the test has failed. After each test the kernel log is read; a
//! warning, an oops or a sanitizer's report fails the test that caused it.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe};

use crate::kmsg;

/// Exit status: everything that ran has passed.
pub const PASS: u8 = 0;
/// Exit status: something failed.
pub const FAIL: u8 = 1;
/// Exit status: nothing could run.
pub const SKIP: u8 = 4;

/// Time a test gets unless it asks for another. The machine is emulated.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How long a killed child may take to die before the device is given up.
const DEATH: Duration = Duration::from_secs(15);

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
    body: Box<dyn Fn() -> Result<()>>,
}

impl Test {
    /// What KTAP calls it.
    pub fn title(&self) -> String {
        format!("{}.{}.{}", self.fixture, self.variant, self.name)
    }
}

/// The tests of a program, in the order they were added.
#[derive(Default)]
pub struct Suite {
    tests: Vec<Test>,
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
        self.tests.push(Test {
            fixture,
            variant: variant.into(),
            name: name.into(),
            limit,
            body: Box::new(body),
        });
    }

    /// Keeps the tests whose title contains any of `filters` (all, if there are none).
    pub fn retain(&mut self, filters: &[String]) {
        if !filters.is_empty() {
            self.tests
                .retain(|test| filters.iter().any(|filter| test.title().contains(filter)));
        }
    }

    /// Prints the titles.
    pub fn list(&self) {
        for test in &self.tests {
            println!("{}", test.title());
        }
    }

    /// Runs everything and prints KTAP.
    pub fn run(&self) -> ExitCode {
        println!("KTAP version 1");
        println!("1..{}", self.tests.len());
        let mut totals = Totals::default();
        for (index, test) in self.tests.iter().enumerate() {
            let start = Instant::now();
            let outcome =
                run_one(test).unwrap_or_else(|error| Outcome::Fail(format!("runner: {error:#}")));
            println!("# {:.2} s", start.elapsed().as_secs_f64());
            totals.count(&outcome);
            report(index + 1, &test.title(), &outcome);
            if matches!(outcome, Outcome::Stuck) {
                println!("Bail out! a test cannot be killed; the device or the kernel is stuck");
                break;
            }
        }
        println!("{totals}");
        ExitCode::from(totals.exit_status())
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Pass,
    Fail(String),
    Skip(String),
    /// Failed, and cannot even be killed.
    Stuck,
}

impl Outcome {
    /// As sent through the pipe: a letter and the text.
    fn encode(&self) -> String {
        match self {
            Self::Pass => "P".to_owned(),
            Self::Fail(text) => format!("F{text}"),
            Self::Skip(text) => format!("S{text}"),
            Self::Stuck => "X".to_owned(),
        }
    }

    fn decode(message: &str) -> Option<Self> {
        let text = message.get(1..)?.to_owned();
        match message.as_bytes()[0] {
            b'P' => Some(Self::Pass),
            b'F' => Some(Self::Fail(text)),
            b'S' => Some(Self::Skip(text)),
            b'X' => Some(Self::Stuck),
            _ => None,
        }
    }
}

fn report(number: usize, title: &str, outcome: &Outcome) {
    match outcome {
        Outcome::Pass => println!("ok {number} {title}"),
        Outcome::Skip(reason) => println!("ok {number} {title} # SKIP {}", one_line(reason)),
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

#[derive(Default)]
struct Totals {
    pass: usize,
    fail: usize,
    skip: usize,
}

impl Totals {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Pass => self.pass += 1,
            Outcome::Skip(_) => self.skip += 1,
            Outcome::Fail(_) | Outcome::Stuck => self.fail += 1,
        }
    }

    fn exit_status(&self) -> u8 {
        match (self.fail, self.pass) {
            (0, 0) => SKIP,
            (0, _) => PASS,
            _ => FAIL,
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "# Totals: pass:{} fail:{} xfail:0 xpass:0 skip:{} error:0",
            self.pass, self.fail, self.skip
        )
    }
}

fn run_one(test: &Test) -> Result<Outcome> {
    let mut log = kmsg::Log::follow()?;
    let outcome = in_child(test)?;
    let trouble: Vec<String> = log
        .messages()?
        .into_iter()
        .skip_while(|message| !kmsg::is_trouble(message))
        .take(40)
        .collect();
    if trouble.is_empty() || outcome == Outcome::Stuck {
        return Ok(outcome);
    }
    if let Outcome::Fail(reason) = &outcome {
        diagnose(reason);
    }
    Ok(Outcome::Fail(format!(
        "the kernel complained:\n{}",
        trouble.join("\n")
    )))
}

fn in_child(test: &Test) -> Result<Outcome> {
    let (reader, writer) = pipe().context("pipe")?;
    let (mut reader, mut writer) = (File::from(reader), File::from(writer));
    std::io::stdout().flush().context("flushing stdout")?;
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Child => {
            drop(reader);
            // The parent's end must be the child's, even if the parent is killed.
            let _ = prctl::set_pdeathsig(Signal::SIGKILL);
            let message = verdict(test).encode();
            let sent = writer.write_all(message.as_bytes());
            std::process::exit(i32::from(sent.is_err()))
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
            let limit = PollTimeout::try_from(test.limit).unwrap_or(PollTimeout::MAX);
            let in_time = poll(&mut fds, limit).context("poll")? > 0;
            let mut message = String::new();
            if in_time {
                reader
                    .read_to_string(&mut message)
                    .context("reading the child's verdict")?;
            } else {
                diagnose(&whereabouts(child));
                kill(child, Signal::SIGKILL).context("kill")?;
            }
            let Some(status) = reap(child)? else {
                return Ok(Outcome::Stuck);
            };
            if !in_time {
                return Ok(Outcome::Fail(format!(
                    "not done after {} s",
                    test.limit.as_secs()
                )));
            }
            Ok(Outcome::decode(&message)
                .unwrap_or_else(|| Outcome::Fail(format!("the test's process died: {status:?}"))))
        }
    }
}

fn verdict(test: &Test) -> Outcome {
    // This is the test's own process; nobody else's panics are affected.
    std::panic::set_hook(Box::new(|panic| diagnose(&panic.to_string())));
    match catch_unwind(AssertUnwindSafe(|| (test.body)())) {
        Ok(Ok(())) => Outcome::Pass,
        Ok(Err(error)) => match error.downcast_ref::<Skip>() {
            Some(Skip(reason)) => Outcome::Skip(reason.clone()),
            None => Outcome::Fail(format!("{error:#}")),
        },
        // The hook has said where and why.
        Err(_) => Outcome::Fail("panicked".to_owned()),
    }
}

/// What a hanging child is doing in the kernel.
fn whereabouts(child: Pid) -> String {
    let stack = std::fs::read_to_string(format!("/proc/{child}/stack")).unwrap_or_default();
    let wchan = std::fs::read_to_string(format!("/proc/{child}/wchan")).unwrap_or_default();
    format!("hangs in: {wchan}\n{stack}")
}

/// Waits for the child's end; `None` if it does not end.
fn reap(child: Pid) -> Result<Option<WaitStatus>> {
    let start = Instant::now();
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)).context("waitpid")? {
            WaitStatus::StillAlive if start.elapsed() > DEATH => return Ok(None),
            WaitStatus::StillAlive => std::thread::sleep(Duration::from_millis(1)),
            status => return Ok(Some(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_survive_the_pipe() {
        for outcome in [
            Outcome::Pass,
            Outcome::Fail("a: expected 1, found 2\nb".into()),
            Outcome::Skip("no VF".into()),
            Outcome::Stuck,
        ] {
            assert_eq!(Outcome::decode(&outcome.encode()), Some(outcome));
        }
        assert_eq!(Outcome::decode(""), None);
    }

    #[test]
    fn exit_status_follows_kselftest() {
        let totals = |pass, fail, skip| Totals { pass, fail, skip }.exit_status();
        assert_eq!(totals(3, 0, 1), PASS);
        assert_eq!(totals(3, 1, 1), FAIL);
        assert_eq!(totals(0, 0, 2), SKIP);
        assert_eq!(totals(0, 1, 0), FAIL);
    }

    #[test]
    fn skips_are_told_from_failures() {
        let test = |body: fn() -> Result<()>| Test {
            fixture: "f",
            variant: "v".into(),
            name: "n".into(),
            limit: LIMIT,
            body: Box::new(body),
        };
        assert_eq!(
            verdict(&test(|| skip!("no {}", "VF"))),
            Outcome::Skip("no VF".into())
        );
        assert_eq!(verdict(&test(|| Ok(()))), Outcome::Pass);
        let Outcome::Fail(text) = verdict(&test(|| {
            expect_eq!(1 + 1, 3, "sum");
            Ok(())
        })) else {
            panic!("an unequal pair passed");
        };
        assert!(text.starts_with("sum: expected 3, found 2"), "{text}");
    }

    #[test]
    fn filters_select_by_part_of_the_title() {
        let mut suite = Suite::default();
        suite.add("arcs", "rs", "a", || Ok(()));
        suite.add("arcs", "c", "a", || Ok(()));
        suite.retain(&["arcs.c".to_owned()]);
        assert_eq!(suite.tests.len(), 1);
    }
}
