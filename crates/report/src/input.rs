// SPDX-License-Identifier: GPL-2.0
//! Reads measurements.

use std::io::{self, BufRead};

use serde::Deserialize;
use thiserror::Error;

use crate::{Environment, Series};

/// All that a file has.
#[derive(Clone, Debug)]
pub struct Input {
    pub environment: Environment,
    /// In the file's order, never empty.
    pub series: Vec<Series>,
}

/// Why a file is of no use, and what to do.
#[derive(Debug, Error)]
pub enum InputError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("line {line}: {error}; correct it, or remove it if a run was cut short there")]
    Line {
        line: usize,
        error: serde_json::Error,
    },
    #[error("line {0} is not the environment; it must come first, as the benchmark writes it")]
    NoEnvironment(usize),
    #[error("line {0} is a second environment; report on each run by itself")]
    Environments(usize),
    #[error("there is no series in it; run the benchmark to its end")]
    Empty,
}

#[derive(Deserialize)]
struct First {
    environment: Environment,
}

/// Reads a file of one JSON object a line. Empty lines are passed over.
pub fn read(input: impl BufRead) -> Result<Input, InputError> {
    let mut environment = None;
    let mut series = Vec::new();
    for (index, text) in input.lines().enumerate() {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        let line = index + 1;
        let bad = |error| InputError::Line { line, error };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(bad)?;
        match (value.get("environment").is_some(), &environment) {
            (true, None) => {
                environment = Some(First::deserialize(value).map_err(bad)?.environment);
            }
            (true, Some(_)) => return Err(InputError::Environments(line)),
            (false, None) => return Err(InputError::NoEnvironment(line)),
            (false, Some(_)) => series.push(Series::deserialize(value).map_err(bad)?),
        }
    }
    match environment {
        Some(environment) if !series.is_empty() => Ok(Input {
            environment,
            series,
        }),
        _ => Err(InputError::Empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVIRONMENT: &str = r#"{"environment":{"date":"2000-01-01","revision":"0","kernel":"0","qemu":"0","cpu":"none","repetitions":1,"vcpus":"2"}}"#;
    const SERIES: &str =
        r#"{"figure":"save","unit":"us","subject":"rs","point":{},"values":[1.0,2]}"#;

    fn error(lines: &[&str]) -> String {
        let error = read(lines.join("\n").as_bytes()).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    }

    #[test]
    fn a_file_is_read() {
        let text = [ENVIRONMENT, "", SERIES, SERIES].join("\n");
        let input = read(text.as_bytes()).unwrap();
        assert_eq!(input.environment.other["vcpus"], "2");
        assert_eq!(input.series.len(), 2);
        assert_eq!(input.series[0].values, [1.0, 2.0]);
    }

    #[test]
    fn a_line_that_does_not_parse_has_its_number() {
        let cut = error(&[ENVIRONMENT, SERIES, &SERIES[..30]]);
        assert!(cut.starts_with("line 3: "), "{cut}");
        let unknown = error(&[ENVIRONMENT, "", &SERIES.replace("\"rs\"", "\"pascal\"")]);
        assert!(unknown.starts_with("line 3: "), "{unknown}");
        assert!(unknown.contains("pascal"), "{unknown}");
        let missing = error(&[&ENVIRONMENT.replace("kernel", "colonel")]);
        assert!(missing.contains("`kernel`"), "{missing}");
    }

    #[test]
    fn a_file_without_series_is_refused() {
        assert!(error(&[]).contains("no series"));
        assert!(error(&[ENVIRONMENT]).contains("no series"));
    }

    #[test]
    fn the_environment_comes_first_and_once() {
        assert!(error(&[SERIES, ENVIRONMENT]).contains("line 1 is not the environment"));
        assert!(error(&[ENVIRONMENT, SERIES, ENVIRONMENT]).contains("line 3 is a second"));
    }
}
