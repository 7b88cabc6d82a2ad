// SPDX-License-Identifier: GPL-2.0
//! Reads what a program of the kernel's reports (TAP, by kselftest_harness.h) and
//! reports it anew: under names that are unique, and with its skips judged.

use std::fmt::Write;

use crate::expected::Skip;
use crate::program::Ended;

/// Exit status of a kselftest program that skipped everything.
const KSFT_SKIP: i32 = 4;
/// How much deeper a program's own tests are indented.
const INDENT: &str = "    ";

/// What became of a program.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    /// All of it was skipped, as expected.
    Skip(String),
    Fail(String),
}

/// A program's report.
#[derive(Debug)]
pub struct Report {
    /// Its tests as KTAP subtests, with all else it said as diagnostics.
    pub subtests: String,
    pub outcome: Outcome,
}

/// Reads the output of the program called `title`.
pub fn read(title: &str, ended: &Ended, expected: &[Skip]) -> Report {
    let mut subtests = String::new();
    let mut tests = Tests::default();
    for line in ended.output.lines() {
        // Writing to a string cannot fail.
        let _ = match Line::of(line) {
            Line::Plan { tests: 0, reason } => {
                tests.said = reason.to_string();
                writeln!(subtests, "{INDENT}# {line}")
            }
            Line::Plan { tests, .. } => {
                writeln!(subtests, "{INDENT}KTAP version 1\n{INDENT}1..{tests}")
            }
            Line::Result(result) => {
                let text = tests.judge(title, &result, expected);
                writeln!(subtests, "{INDENT}{text}")
            }
            Line::Version => Ok(()),
            Line::Diagnostic(text) => {
                if tests.reported == 0 && !text.is_empty() {
                    tests.said = text.to_string();
                }
                writeln!(subtests, "{INDENT}# {text}")
            }
        };
    }
    let outcome = tests.outcome(title, ended.status.code(), expected);
    Report { subtests, outcome }
}

/// The tests of a program so far.
#[derive(Debug, Default)]
struct Tests {
    reported: usize,
    failed: usize,
    /// What the program said last before it reported a test.
    said: String,
}

impl Tests {
    /// The result line that says what `result` means here.
    fn judge(&mut self, program: &str, result: &TestResult, expected: &[Skip]) -> String {
        self.reported += 1;
        let number = self.reported;
        let title = format!("{program}.{}", result.name);
        let known = expected.iter().find(|skip| skip.title == title);
        let problem = match (result.ok, result.skipped, known) {
            (true, Some(said), Some(skip)) if said.contains(skip.said) => {
                return format!("ok {number} {title} # SKIP {said}: {}", skip.why);
            }
            (true, Some(said), _) => format!("unexpected skip: {said}"),
            (true, None, Some(_)) => "expected to be skipped, and was not".to_string(),
            (true, None, None) => return format!("ok {number} {title}"),
            (false, ..) => result.comment.to_string(),
        };
        self.failed += 1;
        match problem.as_str() {
            // The diagnostics before it say why.
            "" => format!("not ok {number} {title}"),
            problem => format!("not ok {number} {title} # {problem}"),
        }
    }

    /// What became of the program, given its exit status (`None`: a signal).
    fn outcome(&self, title: &str, status: Option<i32>, expected: &[Skip]) -> Outcome {
        let known = expected.iter().find(|skip| skip.title == title);
        match (self.reported, status, known) {
            (0, Some(KSFT_SKIP), Some(skip)) if self.said.contains(skip.said) => {
                Outcome::Skip(format!("{}: {}", self.said, skip.why))
            }
            (0, Some(KSFT_SKIP), _) => Outcome::Fail(format!("unexpected skip: {}", self.said)),
            (0, ..) => Outcome::Fail(format!("no test was reported: {}", self.said)),
            (_, _, Some(_)) => Outcome::Fail("expected to be skipped, and was not".to_string()),
            (_, None, _) => Outcome::Fail("died of a signal".to_string()),
            _ if self.failed > 0 => Outcome::Fail(format!("{} tests failed", self.failed)),
            (_, Some(0), _) => Outcome::Pass,
            (_, Some(status), _) => Outcome::Fail(format!("exit status {status}")),
        }
    }
}

/// A line of TAP.
enum Line<'a> {
    Version,
    Plan { tests: usize, reason: &'a str },
    Result(TestResult<'a>),
    Diagnostic(&'a str),
}

struct TestResult<'a> {
    ok: bool,
    name: &'a str,
    /// The reason of a skip.
    skipped: Option<&'a str>,
    /// All that follows the name.
    comment: &'a str,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let text = line.trim();
        if text.starts_with("TAP version ") {
            return Self::Version;
        }
        if let Some(plan) = text.strip_prefix("1..") {
            let (tests, comment) = plan.split_once('#').unwrap_or((plan, ""));
            if let Ok(tests) = tests.trim().parse() {
                let comment = comment.trim();
                let reason = comment.strip_prefix("SKIP").unwrap_or(comment).trim();
                return Self::Plan { tests, reason };
            }
        }
        match TestResult::of(text) {
            Some(result) => Self::Result(result),
            None => Self::Diagnostic(text.strip_prefix("# ").unwrap_or(text)),
        }
    }
}

impl<'a> TestResult<'a> {
    /// `ok N name # SKIP reason` and the like.
    fn of(text: &'a str) -> Option<Self> {
        let (ok, rest) = match text.strip_prefix("ok ") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("not ok ")?),
        };
        let (number, rest) = rest.split_once(' ')?;
        number.parse::<usize>().ok()?;
        let (name, comment) = rest.split_once(" # ").unwrap_or((rest, ""));
        Some(Self {
            ok,
            name: name.trim(),
            skipped: comment.strip_prefix("SKIP").map(str::trim),
            comment: comment.trim(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    const SKIPS: &[Skip] = &[
        Skip {
            title: "vfio.p.irq.msi",
            said: "not supported",
            why: "MSI-X only",
        },
        Skip {
            title: "vfio.whole",
            said: "No driver",
            why: "no such device",
        },
    ];

    fn exited(code: i32, output: &str) -> Ended {
        Ended {
            status: ExitStatus::from_raw(code << 8),
            output: output.to_string(),
        }
    }

    fn lines(report: &Report) -> Vec<&str> {
        report.subtests.lines().map(str::trim).collect()
    }

    #[test]
    fn tests_get_the_program_into_their_names() {
        let output = "Vendor: 1af4\nTAP version 13\n1..2\n# Starting 2 tests\n\
                      ok 1 device.reset\nok 2 irq.msi # SKIP MSI: not supported\n";
        let report = read("vfio.p", &exited(0, output), SKIPS);
        assert_eq!(report.outcome, Outcome::Pass);
        assert_eq!(
            lines(&report),
            [
                "# Vendor: 1af4",
                "KTAP version 1",
                "1..2",
                "# Starting 2 tests",
                "ok 1 vfio.p.device.reset",
                "ok 2 vfio.p.irq.msi # SKIP MSI: not supported: MSI-X only",
            ]
        );
    }

    #[test]
    fn a_failure_fails_test_and_program() {
        let output = "TAP version 13\n1..2\n# a.c:9:Expected 0 (0) == rc (-22)\n\
                      not ok 1 a\nok 2 b\n";
        let report = read("vfio.p", &exited(1, output), SKIPS);
        assert_eq!(report.outcome, Outcome::Fail("1 tests failed".into()));
        assert!(lines(&report).contains(&"not ok 1 vfio.p.a"));
        // It counts even if the program then says that all is well.
        let report = read("vfio.p", &exited(0, output), SKIPS);
        assert_eq!(report.outcome, Outcome::Fail("1 tests failed".into()));
    }

    #[test]
    fn only_expected_skips_are_skips() {
        for (line, expected) in [
            (
                "ok 1 irq.msi # SKIP no eventfd",
                "not ok 1 vfio.p.irq.msi # unexpected skip: no eventfd",
            ),
            (
                "ok 1 huge # SKIP MSI: not supported",
                "not ok 1 vfio.p.huge # unexpected skip: MSI: not supported",
            ),
            (
                "ok 1 irq.msi",
                "not ok 1 vfio.p.irq.msi # expected to be skipped, and was not",
            ),
        ] {
            let report = read("vfio.p", &exited(0, &format!("1..1\n{line}\n")), SKIPS);
            assert_eq!(lines(&report).last(), Some(&expected));
            assert_eq!(report.outcome, Outcome::Fail("1 tests failed".into()));
        }
    }

    #[test]
    fn a_program_may_skip_itself_if_that_is_expected() {
        let outcome = |title, status, output| read(title, &exited(status, output), SKIPS).outcome;
        let said = "No driver found for device\n";
        assert_eq!(
            outcome("vfio.whole", 4, said),
            Outcome::Skip("No driver found for device: no such device".into())
        );
        let planned = "TAP version 13\n1..0 # SKIP No driver today\n";
        assert_eq!(
            outcome("vfio.whole", 4, planned),
            Outcome::Skip("No driver today: no such device".into())
        );
        assert_eq!(
            outcome("vfio.other", 4, said),
            Outcome::Fail("unexpected skip: No driver found for device".into())
        );
        assert_eq!(
            outcome("vfio.whole", 4, "no VFIO\n"),
            Outcome::Fail("unexpected skip: no VFIO".into())
        );
        assert_eq!(
            outcome("vfio.whole", 0, "1..1\nok 1 a\n"),
            Outcome::Fail("expected to be skipped, and was not".into())
        );
    }

    #[test]
    fn silence_is_a_failure() {
        for (status, output) in [(0, ""), (0, "TAP version 13\n1..3\n"), (1, "Assertion\n")] {
            let report = read("vfio.whole", &exited(status, output), SKIPS);
            assert!(
                matches!(&report.outcome, Outcome::Fail(why) if why.starts_with("no test")),
                "{report:?}"
            );
        }
    }

    #[test]
    fn an_end_that_is_not_a_good_one_is_a_failure() {
        let output = "1..1\nok 1 a\n";
        let report = read("vfio.p", &exited(3, output), SKIPS);
        assert_eq!(report.outcome, Outcome::Fail("exit status 3".into()));
        let killed = Ended {
            status: ExitStatus::from_raw(9),
            output: output.to_string(),
        };
        let report = read("vfio.p", &killed, SKIPS);
        assert_eq!(report.outcome, Outcome::Fail("died of a signal".into()));
    }
}
