// SPDX-License-Identifier: GPL-2.0
//! Quoting for the job script that L1's shell reads.

/// `word` as one word of a POSIX shell.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A command line out of its words.
pub fn join<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word.as_ref())).collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        let words = ["plain", "", "two words", "it's", "$HOME", "a;b", "`x`", "*"];
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("printf '%s\\0' {}", join(&words))])
            .output()
            .unwrap();
        let expected = words.join("\0") + "\0";
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}
