// SPDX-License-Identifier: GPL-2.0
//! Reads the report of Rust's own test harness, as `cargo test` prints it.

use crate::count::Counts;

/// Counts the results in the output of one or several libtest binaries.
///
/// Only what a summary line confirms counts as passed; a binary that died in
/// the middle shows through cargo's exit status, which is the caller's to judge.
pub fn parse(output: &str) -> Counts {
    let mut counts = Counts::default();
    for line in output.lines() {
        if let Some(rest) = line.strip_prefix("test result: ") {
            counts.passed += number_before(rest, " passed");
        } else if let Some((name, result)) = result_line(line) {
            match result {
                "FAILED" => counts.fail(name, ""),
                _ if result.starts_with("ignored") => {
                    let reason = result
                        .trim_start_matches("ignored")
                        .trim_start_matches(", ");
                    let reason = if reason.is_empty() { "ignored" } else { reason };
                    counts.skip(name, reason);
                }
                _ => {}
            }
        }
    }
    counts
}

/// Splits `test NAME ... RESULT`.
fn result_line(line: &str) -> Option<(&str, &str)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name, result.trim_end()))
}

/// The number that stands right before `word`.
fn number_before(text: &str, word: &str) -> usize {
    text.split_once(word)
        .and_then(|(before, _)| before.rsplit(' ').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
running 3 tests
test records::header ... ok
test records::bounds ... FAILED
test slow::one ... ignored, takes an hour

failures:

---- records::bounds stdout ----
test result of something else

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 2 tests
test a ... ok
test b ... ignored

test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s
";

    #[test]
    fn counts_every_binary() {
        let counts = parse(REPORT);
        assert_eq!(counts.to_string(), "13 passed, 1 failed, 2 skipped");
        assert_eq!(counts.failed[0].test, "records::bounds");
        assert_eq!(counts.skipped[0].reason, "takes an hour");
        assert_eq!(counts.skipped[1].reason, "ignored");
    }

    #[test]
    fn a_compiler_error_is_no_test() {
        assert_eq!(parse("error[E0425]: cannot find value\n").total(), 0);
    }
}
