// SPDX-License-Identifier: GPL-2.0
//! What the records say of each stage on each kernel.

use std::collections::BTreeMap;

use super::claim::Host;
use super::record::{Outcome, Record};
use crate::stage::Stage;

/// What is known of a stage on a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    NotRun,
    /// The numbers are those of the runs.
    Passed(usize),
    Failed(usize),
}

/// The newest outcome of each stage on each kernel, and the runs that they are of.
pub struct Evidence {
    /// Those with an outcome that no newer one has replaced, the newest first.
    runs: Vec<Record>,
}

impl Evidence {
    /// Of `records`, the oldest first.
    pub fn new(records: Vec<Record>) -> Self {
        let mut newest = BTreeMap::new();
        for (index, record) in records.iter().enumerate() {
            for outcome in &record.stages {
                let kernels = (&record.kernel, &record.stock_kernel);
                newest.insert((kernels, &outcome.name), index);
            }
        }
        let keeps = |index: usize, record: &Record, outcome: &Outcome| {
            let kernels = (&record.kernel, &record.stock_kernel);
            newest[&(kernels, &outcome.name)] == index
        };
        let mut runs = Vec::new();
        for (index, record) in records.iter().enumerate().rev() {
            let mut record = record.clone();
            let stages = std::mem::take(&mut record.stages);
            let stages = stages.into_iter();
            let stages: Vec<Outcome> = stages
                .filter(|stage| keeps(index, &record, stage))
                .collect();
            record.stages = stages;
            if !record.stages.is_empty() {
                runs.push(record);
            }
        }
        Self { runs }
    }

    /// The runs, by their numbers less one.
    pub fn runs(&self) -> &[Record] {
        &self.runs
    }

    /// The kernels that runs were about, the newest first.
    pub fn kernels(&self, host: Host) -> Vec<&str> {
        let mut kernels: Vec<&str> = self.runs.iter().map(|run| release(run, host)).collect();
        kernels.retain(|kernel| !kernel.is_empty());
        kernels.sort_by_key(|kernel| std::cmp::Reverse(version(kernel)));
        kernels.dedup();
        kernels
    }

    /// What is known of `stage` on `kernel`.
    pub fn verdict(&self, stage: Stage, host: Host, kernel: &str) -> Verdict {
        let name = stage.name();
        for (number, run) in (1..).zip(&self.runs) {
            if release(run, host) != kernel {
                continue;
            }
            match run.stages.iter().find(|outcome| outcome.name == name) {
                Some(outcome) if outcome.failed > 0 => return Verdict::Failed(number),
                Some(outcome) if outcome.passed > 0 => return Verdict::Passed(number),
                _ => {}
            }
        }
        Verdict::NotRun
    }
}

/// The kernel of a run that a claim is about.
fn release(run: &Record, host: Host) -> &str {
    match host {
        Host::TestKernel => &run.kernel,
        Host::StockKernel => &run.stock_kernel,
    }
}

/// The numbers of a release, for comparing.
fn version(release: &str) -> Vec<u64> {
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.');
    let numbers = release[..end.unwrap_or(release.len())].split('.');
    numbers.filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// A run of stages with so many tests that passed and failed.
    pub fn record(date: &str, kernel: &str, stages: &[(&str, u64, u64)]) -> Record {
        let stages = stages.iter().map(|(name, passed, failed)| Outcome {
            name: (*name).to_owned(),
            passed: *passed,
            failed: *failed,
            skipped: 0,
            reported: 0,
        });
        Record {
            revision: "abc".into(),
            date: date.into(),
            kernel: kernel.into(),
            stock_kernel: format!("{kernel}+deb13-amd64"),
            arch: "x86_64".into(),
            qemu: "QEMU emulator version 11.1.3 (Debian)".into(),
            module_sha256: "0123456789abcdef".into(),
            stages: stages.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::record;
    use super::*;

    fn evidence() -> Evidence {
        Evidence::new(vec![
            record("2026-01-01", "7.3.4", &[("l1", 9, 0), ("migration", 2, 0)]),
            record("2026-01-02", "7.2.12", &[("l1", 9, 1), ("stock", 0, 0)]),
            record("2026-01-03", "7.3.4", &[("l1", 8, 2)]),
            record("2026-01-04", "7.3.4", &[("l1", 9, 0), ("stock", 1, 0)]),
        ])
    }

    #[test]
    fn the_newest_outcome_counts() {
        let evidence = evidence();
        let of = |stage, kernel| evidence.verdict(stage, Host::TestKernel, kernel);
        assert_eq!(of(Stage::L1, "7.3.4"), Verdict::Passed(1));
        assert_eq!(of(Stage::Migration, "7.3.4"), Verdict::Passed(3));
        assert_eq!(of(Stage::L1, "7.2.12"), Verdict::Failed(2));
        // The run of the third day has nothing to say any more.
        assert_eq!(evidence.runs().len(), 3);
    }

    #[test]
    fn without_a_test_there_is_no_claim() {
        let evidence = evidence();
        let stock = |kernel| evidence.verdict(Stage::Stock, Host::StockKernel, kernel);
        assert_eq!(stock("7.3.4+deb13-amd64"), Verdict::Passed(1));
        assert_eq!(stock("7.2.12+deb13-amd64"), Verdict::NotRun);
        let wide = evidence.verdict(Stage::Wide, Host::TestKernel, "7.3.4");
        assert_eq!(wide, Verdict::NotRun);
    }

    #[test]
    fn kernels_come_newest_first() {
        let evidence = evidence();
        assert_eq!(evidence.kernels(Host::TestKernel), ["7.3.4", "7.2.12"]);
        let stock = ["7.3.4+deb13-amd64", "7.2.12+deb13-amd64"];
        assert_eq!(evidence.kernels(Host::StockKernel), stock);
        assert!(version("7.10.1-x") > version("7.9.30"));
    }
}
