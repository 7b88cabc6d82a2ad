// SPDX-License-Identifier: GPL-2.0
//! `vfmig check`: is this host ready for live migration, and what is to be done if not.

mod function;
mod iommu;
mod kernel;
mod modules;
mod rights;

use anyhow::Result;
use serde::Serialize;

use crate::cli;
use crate::exit::Exit;
use crate::host::Host;
use crate::output;

/// How a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it must be.
    Ok,
    /// Works, with less.
    Warning,
    /// Does not work.
    Failed,
    /// Cannot be known from here.
    Unknown,
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    what: String,
    status: Status,
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn new(what: &str, status: Status, found: impl Into<String>, remedy: Option<String>) -> Self {
        Self {
            what: what.to_owned(),
            status,
            found: found.into(),
            remedy,
        }
    }

    /// All is well.
    pub fn ok(what: &str, found: impl Into<String>) -> Self {
        Self::new(what, Status::Ok, found, None)
    }

    /// It works, but `remedy` were better.
    pub fn warning(what: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(what, Status::Warning, found, Some(remedy.into()))
    }

    /// It does not work without `remedy`.
    pub fn failed(what: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(what, Status::Failed, found, Some(remedy.into()))
    }

    /// It cannot be known unless `remedy` is done.
    pub fn unknown(what: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(what, Status::Unknown, found, Some(remedy.into()))
    }

    fn row(&self) -> Vec<String> {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Failed => "FAILED",
            Status::Unknown => "unknown",
        };
        let found = match &self.remedy {
            Some(remedy) => format!("{}: {remedy}", self.found),
            None => self.found.clone(),
        };
        vec![status.to_owned(), self.what.clone(), found]
    }
}

#[derive(Debug, Serialize)]
struct Report {
    ready: bool,
    findings: Vec<Finding>,
}

/// Runs the command.
pub fn run(arguments: &cli::Check, json: bool) -> Result<Exit> {
    let host = Host::here();
    let mut findings = machine(&host);
    if let Some(address) = &arguments.function {
        findings.extend(function::findings(&host, address, arguments.opening)?);
    }
    let report = Report {
        ready: is_ready(&findings),
        findings,
    };
    if json {
        output::json(&report)?;
    } else {
        output::text(&text(&report))?;
    }
    Ok(if report.ready { Exit::Ok } else { Exit::No })
}

fn machine(host: &Host) -> Vec<Finding> {
    let mut findings = kernel::findings(host);
    findings.extend(iommu::findings(host));
    findings.extend(modules::findings(host));
    findings.extend(rights::findings(host));
    findings
}

fn is_ready(findings: &[Finding]) -> bool {
    !findings
        .iter()
        .any(|finding| finding.status == Status::Failed)
}

fn text(report: &Report) -> String {
    let rows: Vec<Vec<String>> = report.findings.iter().map(Finding::row).collect();
    let failed = report
        .findings
        .iter()
        .filter(|finding| finding.status == Status::Failed)
        .count();
    let verdict = match failed {
        0 => "ready\n".to_owned(),
        count => format!("not ready: {count} failed\n"),
    };
    output::table(&rows) + &verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_machine_is_not_ready() {
        let root = tempfile::tempdir().unwrap();
        let findings = machine(&Host::below(root.path()));
        assert!(!is_ready(&findings));
        for finding in &findings {
            // One line, and every failure with something to do.
            assert_eq!(finding.row()[2].lines().count(), 1);
            assert!(finding.remedy.is_some() || finding.status == Status::Ok);
        }
    }

    #[test]
    fn warnings_do_not_count() {
        let findings = vec![
            Finding::ok("a", "b"),
            Finding::warning("c", "d", "e"),
            Finding::unknown("f", "g", "h"),
        ];
        let report = Report {
            ready: is_ready(&findings),
            findings,
        };
        assert_eq!(
            text(&report),
            "ok       a  b\nwarning  c  d: e\nunknown  f  g: h\nready\n"
        );
    }
}
