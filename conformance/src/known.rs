// SPDX-License-Identifier: GPL-2.0
//! Deviations that are known of a driver. The list is compared both ways: what is in it and
//! does not happen is as wrong as what happens and is not in it.
//!
//! A line has a case's name, `error`, `advice`, `skip` or `crash`, and after `#` whatever
//! explains it. A case that would crash the kernel counts as an error, and is not run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::report::{Kind, Report};

/// What cases are known to come to.
#[derive(Debug, Default)]
pub struct Known {
    results: BTreeMap<String, Kind>,
    crashes: BTreeSet<String>,
}

impl Known {
    /// Reads a list.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut known = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            let (name, kind) = match words[..] {
                [] => continue,
                [name, "error"] => (name, Kind::Error),
                [name, "crash"] => {
                    known.crashes.insert(name.to_owned());
                    (name, Kind::Error)
                }
                [name, "advice"] => (name, Kind::Advice),
                [name, "skip"] => (name, Kind::Skip),
                _ => bail!(
                    "line {}: not 'CASE error', 'CASE advice', 'CASE skip' or 'CASE crash'",
                    number + 1
                ),
            };
            ensure!(
                known.results.insert(name.to_owned(), kind).is_none(),
                "line {}: {name} is there twice",
                number + 1
            );
        }
        Ok(known)
    }

    /// What the case called `name` is known to come to.
    pub fn get(&self, name: &str) -> Option<Kind> {
        self.results.get(name).copied()
    }

    /// Whether the case called `name` is known to crash the kernel.
    pub fn crashes(&self, name: &str) -> bool {
        self.crashes.contains(name)
    }

    /// Names in the list that are of no case.
    pub fn strangers<'a>(&'a self, cases: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.results
            .keys()
            .map(String::as_str)
            .filter(|name| !cases.contains(name))
    }
}

/// The list that makes a run like that of `report` a good one.
pub fn list(report: &Report) -> String {
    let not_passed = || {
        report
            .cases
            .iter()
            .filter(|entry| entry.result != Kind::Pass)
    };
    let width = not_passed()
        .map(|entry| entry.name.len())
        .max()
        .unwrap_or(0);
    not_passed()
        .map(|entry| {
            let kind = match entry.result {
                Kind::Skip => "skip",
                Kind::Advice => "advice",
                Kind::Error | Kind::Pass => "error",
            };
            let said = entry.said.first().map_or("", String::as_str);
            format!("{:width$} {kind:6} # {said}\n", entry.name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let known = Known::parse("# of a driver\n\na.b crash  # why\nc advice\n").unwrap();
        assert_eq!(
            (known.get("a.b"), known.get("c"), known.get("d")),
            (Some(Kind::Error), Some(Kind::Advice), None)
        );
        assert!(known.crashes("a.b") && !known.crashes("c"));
        assert_eq!(known.strangers(&["c"]).collect::<Vec<_>>(), ["a.b"]);
        for bad in ["a", "a worse", "a error twice", "a error\na advice"] {
            assert!(Known::parse(bad).is_err(), "{bad}");
        }
    }
}
