// SPDX-License-Identifier: GPL-2.0
//! Reads KTAP, the report format of the kernel's selftests
//! (Documentation/dev-tools/ktap.rst).

use crate::count::Counts;

/// How many diagnostic lines are taken for the reason of a failure.
const NOTES: usize = 3;

/// How a diagnostic line begins that is for the summary.
const REPORT: &str = "report: ";
/// How a diagnostic line begins that has a test's name and what was seen, not judged.
const OBSERVED: &str = "reported: ";

/// One level of nesting while reading.
#[derive(Default)]
struct Level {
    indent: usize,
    planned: Option<usize>,
    seen: usize,
    /// Whether a result of this level or below was a failure.
    failed: bool,
    /// Results of deeper levels since the last result of this one: they belong
    /// to the result line that comes next here.
    children: Option<Children>,
}

#[derive(Default)]
struct Children {
    failed: bool,
}

/// Counts the leaf results of a KTAP report. Lines that are not KTAP (kernel
/// messages, a program's own output) are passed over, as the format demands.
///
/// A plan that was not kept, a bail-out and a missing plan count as failures:
/// they are how a test program that died looks.
pub fn parse(report: &str) -> Counts {
    let mut counts = Counts::default();
    let mut levels = vec![Level::default()];
    let mut notes: Vec<&str> = Vec::new();
    for line in report.lines() {
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        if let Some(note) = text.strip_prefix("# ") {
            if let Some(report) = note.strip_prefix(REPORT) {
                counts.reports.push(report.trim().to_owned());
            } else if let Some(observed) = note.strip_prefix(OBSERVED) {
                let (test, what) = observed.split_once(": ").unwrap_or((observed, ""));
                counts.observe(test.trim(), what.trim());
            } else {
                notes.push(note.trim());
            }
        } else if let Some(reason) = text.strip_prefix("Bail out!") {
            counts.fail("bail out", reason.trim());
        } else if let Some(planned) = plan(text) {
            enter(&mut levels, indent, &mut counts).planned = Some(planned);
        } else if let Some(result) = TestLine::parse(text) {
            let level = enter(&mut levels, indent, &mut counts);
            level.seen += 1;
            if result.number != level.seen {
                let (number, seen) = (result.number, level.seen);
                counts.fail(
                    result.description,
                    format!("result {seen} has number {number}: one is missing"),
                );
                level.seen = number;
            }
            let children = level.children.take();
            let failed_before = counts.failed.len();
            result.count(children.as_ref(), &notes, &mut counts);
            notes.clear();
            level.failed |= counts.failed.len() > failed_before
                || children.is_some_and(|children| children.failed);
        }
    }
    let top = enter(&mut levels, 0, &mut counts);
    if top.planned.is_none() {
        counts.fail(
            "report",
            "no test plan (1..N): the program ended before it began",
        );
    } else {
        close(top, &mut counts);
    }
    counts
}

/// Moves to the level at `indent`, closing deeper ones.
fn enter<'a>(levels: &'a mut Vec<Level>, indent: usize, counts: &mut Counts) -> &'a mut Level {
    while levels.len() > 1 && levels[levels.len() - 1].indent > indent {
        let Some(level) = levels.pop() else { break };
        let failed_before = counts.failed.len();
        close(&level, counts);
        let broken = counts.failed.len() > failed_before;
        if let Some(parent) = levels.last_mut() {
            parent.children.get_or_insert_default().failed |= level.failed || broken;
        }
    }
    if levels.last().is_none_or(|level| level.indent < indent) {
        levels.push(Level {
            indent,
            ..Level::default()
        });
    }
    let last = levels.len() - 1;
    &mut levels[last]
}

/// Judges a level whose report has ended.
fn close(level: &Level, counts: &mut Counts) {
    match level.planned {
        Some(planned) if planned != level.seen => counts.fail(
            "report",
            format!("{planned} tests were planned, {} reported", level.seen),
        ),
        None if level.seen > 0 => {
            counts.fail("report", "results without a test plan (1..N)");
        }
        _ => {}
    }
}

/// The N of `1..N`.
fn plan(text: &str) -> Option<usize> {
    let count = text.strip_prefix("1..")?;
    count.split_whitespace().next()?.parse().ok()
}

/// A line `ok N - description # DIRECTIVE reason`.
struct TestLine<'a> {
    ok: bool,
    number: usize,
    description: &'a str,
    directive: &'a str,
    reason: &'a str,
}

impl<'a> TestLine<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (ok, rest) = if let Some(rest) = text.strip_prefix("ok ") {
            (true, rest)
        } else {
            (false, text.strip_prefix("not ok ")?)
        };
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = rest[..digits].parse().ok()?;
        let rest = rest[digits..].trim_start();
        let rest = rest.strip_prefix("- ").unwrap_or(rest);
        // A result without a name begins with what is behind it.
        let (description, comment) = match rest.strip_prefix("# ") {
            Some(comment) => ("", comment),
            None => rest.split_once(" # ").unwrap_or((rest, "")),
        };
        let (directive, reason) = comment.split_once(' ').unwrap_or((comment, ""));
        Some(Self {
            ok,
            number,
            description: description.trim(),
            directive: directive.trim_end_matches(':'),
            reason: reason.trim(),
        })
    }

    /// `notes` are the diagnostics printed before the line; the last ones say
    /// why a test failed, where the line itself does not.
    fn count(&self, children: Option<&Children>, notes: &[&str], counts: &mut Counts) {
        match (self.ok, self.directive) {
            (_, "SKIP") | (false, "TODO") => {
                let reason = match self.reason {
                    "" => "no reason given",
                    reason => reason,
                };
                counts.skip(self.description, reason);
            }
            (false, "XFAIL") => counts.pass(self.description),
            // The result of a group repeats what its members said.
            (true, _) if children.is_some() => {}
            (true, _) => counts.pass(self.description),
            (false, _) if children.is_some_and(|children| children.failed) => {}
            (false, _) => {
                let comment = format!("{} {}", self.directive, self.reason);
                let reason = match comment.trim() {
                    "" => reason_in(notes),
                    comment => comment.to_string(),
                };
                counts.fail(self.description, reason);
            }
        }
    }
}

/// Why a test failed, out of the diagnostics before its result: the lines behind
/// the time it took, which our own tests print between what they say while they
/// run and the reason; without such a line, the last ones.
fn reason_in(notes: &[&str]) -> String {
    let is_time = |note: &&str| {
        note.strip_suffix(" s")
            .is_some_and(|number| number.parse::<f64>().is_ok())
    };
    let lines = match notes.iter().rposition(is_time) {
        Some(at) => &notes[at + 1..],
        None => &notes[notes.len().saturating_sub(NOTES)..],
    };
    lines[..lines.len().min(NOTES)].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_report() {
        let counts = parse(
            "TAP version 13\n1..4\n# Starting 4 tests\n[    3.1] vfio: noise\n\
             ok 1 arcs.ours.running_to_stop\n\
             not ok 2 - arcs.ours.stop_copy # wrong state\n\
             ok 3 dirty # SKIP no IOMMU\n\
             not ok 4 later # XFAIL known\n# Totals: pass:2\n",
        );
        assert_eq!(counts.to_string(), "2 passed, 1 failed, 1 skipped");
        assert_eq!(
            counts.failed[0].to_string(),
            "arcs.ours.stop_copy: wrong state"
        );
        assert_eq!(counts.skipped[0].to_string(), "dirty: no IOMMU");
    }

    #[test]
    fn reports_are_kept_and_are_no_reason() {
        let counts = parse("1..2\n# report: a is so\nok 1 a\n# report: b\n# broken\nnot ok 2 b\n");
        assert_eq!(counts.reports, ["a is so", "b"]);
        assert_eq!(counts.failed[0].to_string(), "b: broken");
    }

    #[test]
    fn diagnostics_are_the_reason_if_the_line_gives_none() {
        let counts = parse(
            "1..3\n# of a\nok 1 a\n# said by b\n# 0.12 s\n# the kernel complained:\n\
             # WARNING\n# at x\n# RAX\nnot ok 2 b\n# first\n# expected 1, found 2\nnot ok 3 c\n",
        );
        assert_eq!(
            counts.failed[0].to_string(),
            "b: the kernel complained:; WARNING; at x"
        );
        assert_eq!(
            counts.failed[1].to_string(),
            "c: first; expected 1, found 2"
        );
    }

    #[test]
    fn groups_are_counted_by_their_members() {
        let counts = parse(
            "KTAP version 1\n1..2\n  KTAP version 1\n  1..2\n  ok 1 a\n  not ok 2 b\n\
             not ok 1 group\nok 2 single\n",
        );
        assert_eq!(counts.to_string(), "2 passed, 1 failed, 0 skipped");
        assert_eq!(counts.failed[0].test, "b");
    }

    #[test]
    fn a_group_that_fails_by_itself_counts() {
        let counts = parse("KTAP version 1\n1..1\n  1..1\n  ok 1 a\nnot ok 1 group # leaked\n");
        assert_eq!(counts.to_string(), "1 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn unkept_plan_is_a_failure() {
        let counts = parse("KTAP version 1\n1..3\nok 1 a\n");
        assert_eq!(counts.to_string(), "1 passed, 1 failed, 0 skipped");
        assert_eq!(counts.failed[0].reason, "3 tests were planned, 1 reported");
        let counts = parse("KTAP version 1\n1..1\n  1..2\n  ok 1 a\nok 1 group\n");
        assert_eq!(counts.failed.len(), 1);
    }

    #[test]
    fn a_skip_without_a_name_is_no_pass() {
        let counts = parse("1..2\nok 1 # SKIP no IOMMU\nok 2 - # SKIP\n");
        assert_eq!(counts.to_string(), "0 passed, 0 failed, 2 skipped");
        assert_eq!(counts.skipped[0].reason, "no IOMMU");
    }

    #[test]
    fn a_result_that_is_missing_is_a_failure() {
        let counts = parse("1..3\nok 1 a\nok 3 c\n");
        assert_eq!(counts.to_string(), "2 passed, 1 failed, 0 skipped");
        let counts = parse("1..1\n  ok 1 a\nok 1 group\n");
        assert_eq!(
            counts.failed[0].reason,
            "results without a test plan (1..N)"
        );
    }

    #[test]
    fn what_is_not_judged_is_kept_apart() {
        let counts = parse("1..1\n# reported: c.b01: it hangs\nok 1 a\n");
        assert_eq!(counts.to_string(), "1 passed, 0 failed, 0 skipped");
        assert_eq!(counts.observed[0].to_string(), "c.b01: it hangs");
    }

    #[test]
    fn silence_and_bail_out_are_failures() {
        assert_eq!(parse("").failed.len(), 1);
        assert_eq!(parse("bash: no such file\n").failed.len(), 1);
        let counts = parse("1..1\nBail out! no VF\nok 1 a\n");
        assert_eq!(counts.failed[0].reason, "no VF");
    }
}
