// SPDX-License-Identifier: GPL-2.0
//! Tables of several reports, as reStructuredText.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::report::{Entry, Kind, Report};
use crate::rules;

/// How often a case may be named before the others are only counted.
const SAID: usize = 300;

/// The tables.
pub fn rst(reports: &[Report]) -> String {
    let mut out = String::new();
    runs(&mut out, reports);
    subjects(&mut out, reports);
    deviations(&mut out, reports);
    cited(&mut out, reports);
    out
}

fn heading(out: &mut String, text: &str) {
    let _ = writeln!(out, "\n{text}\n{}\n", "-".repeat(text.len()));
}

fn list_table(out: &mut String, head: &[&str], rows: &[Vec<String>]) {
    let _ = writeln!(out, ".. list-table::\n   :header-rows: 1\n");
    let head: Vec<String> = head.iter().map(|text| (*text).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        for (index, cell) in row.iter().enumerate() {
            let mark = if index == 0 { "   * -" } else { "     -" };
            let _ = writeln!(out, "{}", format!("{mark} {cell}").trim_end());
        }
    }
}

/// Who was tested, and what it came to.
fn runs(out: &mut String, reports: &[Report]) {
    heading(out, "Runs");
    let rows: Vec<Vec<String>> = reports
        .iter()
        .map(|report| {
            let mut row = vec![
                report.title.clone(),
                report.way.clone(),
                report.flags.join(", "),
                report.kernel.clone(),
                report.date.clone(),
                report.revision.clone(),
            ];
            let kinds = [Kind::Pass, Kind::Advice, Kind::Error, Kind::Skip];
            row.extend(kinds.map(|kind| report.count(kind).to_string()));
            row
        })
        .collect();
    let head = [
        "subject",
        "by",
        "announces",
        "kernel",
        "date",
        "revision",
        "pass",
        "advice",
        "error",
        "skip",
    ];
    list_table(out, &head, &rows);
}

/// Cases by their first word, with passed ones of those that apply.
fn subjects(out: &mut String, reports: &[Report]) {
    heading(out, "Passed, of the cases that apply");
    let mut groups: BTreeSet<&str> = BTreeSet::new();
    for entry in reports.iter().flat_map(|report| &report.cases) {
        groups.insert(group(&entry.name));
    }
    let rows: Vec<Vec<String>> = groups
        .into_iter()
        .map(|name| {
            let mut row = vec![format!("``{name}``")];
            for report in reports {
                let cases = || {
                    report
                        .cases
                        .iter()
                        .filter(|entry| group(&entry.name) == name)
                };
                let apply = cases().filter(|entry| entry.result != Kind::Skip).count();
                let passed = cases().filter(|entry| entry.result == Kind::Pass).count();
                row.push(if apply == 0 {
                    "none applies".into()
                } else {
                    format!("{passed} of {apply}")
                });
            }
            row
        })
        .collect();
    list_table(out, &columns("cases", reports), &rows);
}

fn columns<'a>(first: &'a str, reports: &'a [Report]) -> Vec<&'a str> {
    std::iter::once(first)
        .chain(reports.iter().map(|report| report.title.as_str()))
        .collect()
}

fn group(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Each case that deviates anywhere, and what was said.
fn deviations(out: &mut String, reports: &[Report]) {
    heading(out, "Deviations");
    // By case and rule: what is seen, and of whom.
    let mut found: BTreeMap<(&str, &str), Vec<(&str, String)>> = BTreeMap::new();
    for report in reports {
        let deviates = |entry: &&Entry| matches!(entry.result, Kind::Advice | Kind::Error);
        for entry in report.cases.iter().filter(deviates) {
            let all = found.entry((&entry.name, &entry.rule)).or_default();
            all.push((&report.title, said(&entry.said)));
        }
    }
    if found.is_empty() {
        let _ = writeln!(out, "None.");
        return;
    }
    let mut rows = Vec::new();
    for ((case, rule), all) in found {
        // What several say alike is one row.
        let mut alike: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (title, text) in &all {
            alike.entry(text).or_default().push(title);
        }
        for (text, titles) in alike {
            rows.push(vec![
                format!("``{case}``"),
                rule.to_owned(),
                titles.join(", "),
                escape(text),
            ]);
        }
    }
    list_table(out, &["case", "rule", "of", "what is seen"], &rows);
}

/// What is said, shortened.
fn said(texts: &[String]) -> String {
    let mut out = String::new();
    for (index, text) in texts.iter().enumerate() {
        if !out.is_empty() && out.len() + text.len() > SAID {
            let _ = write!(out, "; and {} more", texts.len() - index);
            break;
        }
        let _ = write!(out, "{}{text}", if out.is_empty() { "" } else { "; " });
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('*', "\\*")
        .replace('`', "\\`")
        .replace('|', "\\|")
        .replace('_', "\\_")
}

/// The rules of the cases.
fn cited(out: &mut String, reports: &[Report]) {
    heading(out, "Rules");
    let used: BTreeSet<&str> = reports
        .iter()
        .flat_map(|report| &report.cases)
        .map(|entry| entry.rule.as_str())
        .collect();
    let rows: Vec<Vec<String>> = rules::ALL
        .iter()
        .filter(|rule| used.contains(rule.id))
        .map(|rule| vec![rule.id.to_owned(), escape(rule.place), escape(rule.says)])
        .collect();
    list_table(out, &["rule", "place", "in other words"], &rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(title: &str, result: Kind, said: &str) -> Report {
        let entry = |name: &str, result| Entry {
            name: name.into(),
            rule: "DATA_SIZE".into(),
            result,
            said: vec![said.into()],
        };
        Report {
            title: title.into(),
            version: "1".into(),
            date: "2026-11-27".into(),
            kernel: "7.3".into(),
            revision: "r".into(),
            driver: "d".into(),
            device: "x".into(),
            peer: None,
            way: "cdev".into(),
            flags: vec!["STOP_COPY".into()],
            cases: vec![
                entry("a.b", result),
                entry("a.c", Kind::Pass),
                entry("z", Kind::Skip),
            ],
        }
    }

    #[test]
    fn what_is_said_alike_is_said_once() {
        let reports = [
            report("one", Kind::Error, "error: it is *so*"),
            report("two", Kind::Error, "error: it is *so*"),
            report("three", Kind::Pass, ""),
        ];
        let text = rst(&reports);
        assert!(text.contains(
            "   * - ``a.b``\n     - DATA_SIZE\n     - one, two\n     - error: it is \\*so\\*\n"
        ));
        assert!(text.contains("   * - ``a``\n     - 1 of 2\n     - 1 of 2\n     - 2 of 2\n"));
        assert!(text.contains("none applies"));
    }
}
