// SPDX-License-Identifier: GPL-2.0
//! Whether what is required is so.

use serde::Serialize;

/// Whether a requirement is met.
pub type Outcome = Result<(), Problem>;

/// Why a requirement is not met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Problem {
    /// The fact to judge was never collected.
    NotReached,
    /// It is not as it must be.
    Found(String),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Problem::Found(problem)
    }
}

/// The fact, if there is one.
pub fn reached<T>(fact: &Option<T>) -> Result<&T, Problem> {
    fact.as_ref().ok_or(Problem::NotReached)
}

/// `problem` unless `condition`.
pub fn ensure(condition: bool, problem: impl FnOnce() -> String) -> Outcome {
    if condition {
        Ok(())
    } else {
        Err(problem().into())
    }
}
