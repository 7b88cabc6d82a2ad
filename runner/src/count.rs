// SPDX-License-Identifier: GPL-2.0
//! What a run of tests came to, whatever language its report spoke.

use std::fmt;

/// A test that did not simply pass, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub test: String,
    pub reason: String,
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
    pub passed: usize,
    pub failed: Vec<Remark>,
    pub skipped: Vec<Remark>,
    /// What tests found worth telling though they passed.
    pub reports: Vec<String>,
}

impl Counts {
    /// How many tests these are.
    pub fn total(&self) -> usize {
        self.passed + self.failed.len() + self.skipped.len()
    }

    /// Notes a failure.
    pub fn fail(&mut self, test: impl Into<String>, reason: impl Into<String>) {
        self.failed.push(Remark {
            test: test.into(),
            reason: reason.into(),
        });
    }

    /// Notes a skip.
    pub fn skip(&mut self, test: impl Into<String>, reason: impl Into<String>) {
        self.skipped.push(Remark {
            test: test.into(),
            reason: reason.into(),
        });
    }

    /// Adds the results of `other`.
    pub fn add(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
        self.reports.extend(other.reports);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed,
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
        let mut sum = Counts {
            passed: 2,
            ..Counts::default()
        };
        let mut other = Counts {
            passed: 1,
            ..Counts::default()
        };
        other.fail("a", "broke");
        other.skip("b", "no hardware");
        sum.add(other);
        assert_eq!(sum.to_string(), "3 passed, 1 failed, 1 skipped");
        assert_eq!(sum.total(), 5);
        assert_eq!(sum.failed[0].to_string(), "a: broke");
    }
}
