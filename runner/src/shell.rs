// SPDX-License-Identifier: GPL-2.0
//! Quoting for the job script that L1's shell reads.

use anyhow::{Context, Result};

/// `word` as one word of a POSIX shell.
pub fn quote(word: &str) -> Result<String> {
    let quoted = shlex::try_quote(word).with_context(|| format!("{word:?} for a shell"))?;
    Ok(quoted.into_owned())
}

/// A command line out of its words.
pub fn join<S: AsRef<str>>(words: &[S]) -> Result<String> {
    let words = words.iter().map(AsRef::as_ref);
    shlex::try_join(words).context("a command for a shell")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        let words = ["plain", "", "two words", "it's", "$HOME", "a;b", "`x`", "*"];
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("printf '%s\\0' {}", join(&words).unwrap())])
            .output()
            .unwrap();
        let expected = words.join("\0") + "\0";
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}
