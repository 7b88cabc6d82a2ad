// SPDX-License-Identifier: GPL-2.0
//! Reads the report of Rust's own test harness, as `cargo test` prints it.

use crate::count::Counts;

/// Counts the results in the output of one or several libtest binaries. Names have the
/// binary's name before them: modules are called alike in many.
///
/// Only what a summary line confirms counts as passed; a binary that died in
/// the middle shows through cargo's exit status, which is the caller's to judge.
pub fn parse(output: &str) -> Counts {
    let mut counts = Counts::default();
    let mut binary = String::new();
    let mut passed = Vec::new();
    for line in output.lines() {
        if let Some(name) = started(line) {
            binary = name;
            passed.clear();
        } else if let Some(rest) = line.strip_prefix("test result: ") {
            let confirmed = number_before(rest, " passed");
            if confirmed != passed.len() {
                counts.fail(
                    format!("{binary}report"),
                    format!("{confirmed} tests passed, {} are named", passed.len()),
                );
            }
            counts.passed.append(&mut passed);
        } else if let Some((name, result)) = result_line(line) {
            let name = format!("{binary}{name}");
            match result {
                "ok" => passed.push(name),
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

/// The binary that cargo says it runs: `Running unittests src/lib.rs (.../deps/NAME-HASH)`,
/// as a prefix of names. Programs and libraries of one package are told apart by their
/// files.
fn started(line: &str) -> Option<String> {
    let (what, path) = line
        .trim_start()
        .strip_prefix("Running ")?
        .split_once(" (")?;
    let (_, file) = path.strip_suffix(')')?.rsplit_once('/')?;
    let (name, _) = file.rsplit_once('-')?;
    let source = what.rsplit('/').next()?;
    Some(match source {
        "lib.rs" => format!("{name}::"),
        _ => format!("{name}({source})::"),
    })
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
     Running unittests src/lib.rs (/products/target/debug/deps/logic-0123456789abcdef)

running 3 tests
test records::header ... ok
test records::bounds ... FAILED
test slow::one ... ignored, takes an hour

failures:

---- records::bounds stdout ----
test result of something else

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

     Running tests/delta.rs (target/debug/deps/delta-0123456789abcdef)

running 2 tests
test a ... ok
test b ... ignored

test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s
";

    #[test]
    fn counts_every_binary() {
        let counts = parse(REPORT);
        assert_eq!(counts.to_string(), "2 passed, 1 failed, 2 skipped");
        assert_eq!(
            counts.passed,
            ["logic::records::header", "delta(delta.rs)::a"]
        );
        assert_eq!(counts.failed[0].test, "logic::records::bounds");
        assert_eq!(counts.skipped[0].reason, "takes an hour");
        assert_eq!(counts.skipped[1].reason, "ignored");
    }

    #[test]
    fn a_compiler_error_is_no_test() {
        assert_eq!(
            parse("error[E0425]: cannot find value\n"),
            Counts::default()
        );
    }

    #[test]
    fn names_and_sum_must_agree() {
        let counts = parse("test a ... ok\ntest result: ok. 2 passed; 0 failed; 0 ignored\n");
        assert_eq!(counts.failed[0].reason, "2 tests passed, 1 are named");
    }
}
