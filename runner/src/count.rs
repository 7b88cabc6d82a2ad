// SPDX-License-Identifier: GPL-2.0
//! What a run of tests came to, whatever language its report spoke.

use std::collections::HashSet;
use std::fmt;

/// A test that did not simply pass, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub test: String,
    pub reason: String,
}

impl Remark {
    fn new(test: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            test: test.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason.is_empty() {
            f.write_str(&self.test)
        } else {
            write!(f, "{}: {}", self.test, self.reason)
        }
    }
}

/// Results of any number of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Names of the tests that passed.
    pub passed: Vec<String>,
    pub failed: Vec<Remark>,
    pub skipped: Vec<Remark>,
    /// What was seen and told, and is nobody's to judge here: what the in-tree driver
    /// does, for example. Neither passed nor failed.
    pub observed: Vec<Remark>,
    /// What tests found worth telling though they passed.
    pub reports: Vec<String>,
    /// The text that all this was read from, for the record.
    pub log: String,
}

impl Counts {
    /// How many tests gave a verdict.
    pub fn judged(&self) -> usize {
        self.passed.len() + self.failed.len()
    }

    /// Notes a success.
    pub fn pass(&mut self, test: impl Into<String>) {
        self.passed.push(test.into());
    }

    /// Notes a failure.
    pub fn fail(&mut self, test: impl Into<String>, reason: impl Into<String>) {
        self.failed.push(Remark::new(test, reason));
    }

    /// Notes a skip.
    pub fn skip(&mut self, test: impl Into<String>, reason: impl Into<String>) {
        self.skipped.push(Remark::new(test, reason));
    }

    /// Notes something that is told and not judged.
    pub fn observe(&mut self, test: impl Into<String>, what: impl Into<String>) {
        self.observed.push(Remark::new(test, what));
    }

    /// Adds the results of `other`.
    pub fn add(&mut self, other: Counts) {
        self.passed.extend(other.passed);
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
        self.observed.extend(other.observed);
        self.reports.extend(other.reports);
        self.log += &other.log;
    }

    /// The same with `stage` before each name, so that names are of one test in a run of
    /// many stages.
    pub fn of_stage(mut self, stage: &str) -> Self {
        let qualify = |name: &mut String| *name = format!("{stage}/{name}");
        self.passed.iter_mut().for_each(qualify);
        for remarks in [&mut self.failed, &mut self.skipped, &mut self.observed] {
            remarks
                .iter_mut()
                .for_each(|remark| qualify(&mut remark.test));
        }
        for report in &mut self.reports {
            qualify(report);
        }
        self
    }

    /// Makes a failure of each skip that `expected` has no reason for: whatever a test
    /// needs is there, so a test that finds it missing has found a fault.
    pub fn allow_skips(&mut self, expected: impl Fn(&str) -> bool) {
        let (kept, found) = std::mem::take(&mut self.skipped)
            .into_iter()
            .partition(|remark| expected(&remark.test));
        self.skipped = kept;
        for remark in found {
            self.fail(remark.test, format!("unexpected skip: {}", remark.reason));
        }
    }

    /// Makes a failure of each name that stands for two tests that passed: one of them
    /// could vanish, and nobody would see it.
    pub fn forbid_duplicates(&mut self) {
        let mut seen = HashSet::new();
        let twice: Vec<String> = self
            .passed
            .iter()
            .filter(|name| !seen.insert(name.as_str()))
            .cloned()
            .collect();
        for name in twice {
            self.fail(name, "two tests have this name");
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed.len(),
            self.failed.len(),
            self.skipped.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_prints() {
        let mut sum = Counts::default();
        sum.pass("x");
        sum.pass("y");
        let mut other = Counts::default();
        other.pass("z");
        other.fail("a", "broke");
        other.skip("b", "no hardware");
        other.observe("c", "is slow");
        sum.add(other);
        assert_eq!(sum.to_string(), "3 passed, 1 failed, 1 skipped");
        assert_eq!(sum.judged(), 4);
        assert_eq!(sum.failed[0].to_string(), "a: broke");
        let sum = sum.of_stage("l1");
        assert_eq!(sum.passed, ["l1/x", "l1/y", "l1/z"]);
        assert_eq!(sum.failed[0].to_string(), "l1/a: broke");
        assert_eq!(sum.observed[0].to_string(), "l1/c: is slow");
    }

    #[test]
    fn a_skip_that_nobody_expects_is_a_failure() {
        let mut counts = Counts::default();
        counts.skip("needs.kvm", "no KVM");
        counts.skip("needs.iommu", "no IOMMU");
        counts.allow_skips(|test| test == "needs.kvm");
        assert_eq!(counts.to_string(), "0 passed, 1 failed, 1 skipped");
        assert_eq!(
            counts.failed[0].to_string(),
            "needs.iommu: unexpected skip: no IOMMU"
        );
    }

    #[test]
    fn a_name_is_of_one_test() {
        let mut counts = Counts::default();
        for name in ["a", "b", "a"] {
            counts.pass(name);
        }
        counts.forbid_duplicates();
        assert_eq!(counts.failed.len(), 1);
        assert_eq!(counts.failed[0].test, "a");
    }
}
