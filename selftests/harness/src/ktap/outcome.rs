// SPDX-License-Identifier: GPL-2.0
//! What a test came to, and the sums of that.

use std::fmt;

use super::{FAIL, PASS, SKIP, one_line};

#[derive(Debug, PartialEq)]
pub enum Outcome {
    Pass,
    Fail(String),
    Skip(String),
    /// Skipped where nothing should be.
    UnexpectedSkip(String),
    /// Failed, and cannot even be killed.
    Stuck,
}

impl Outcome {
    /// As sent through the pipe: a letter and the text.
    pub fn encode(&self) -> String {
        match self {
            Self::Pass => "P".to_owned(),
            Self::Fail(text) => format!("F{text}"),
            Self::Skip(text) => format!("S{text}"),
            Self::UnexpectedSkip(text) => format!("U{text}"),
            Self::Stuck => "X".to_owned(),
        }
    }

    /// For who only tells it.
    pub fn in_words(&self) -> String {
        match self {
            Self::Pass => "as expected".to_owned(),
            Self::Fail(text) => format!("otherwise than expected: {}", one_line(text)),
            Self::Skip(text) | Self::UnexpectedSkip(text) => {
                format!("not seen: {}", one_line(text))
            }
            Self::Stuck => "hangs".to_owned(),
        }
    }

    pub fn decode(message: &str) -> Option<Self> {
        let text = message.get(1..)?.to_owned();
        match message.as_bytes()[0] {
            b'P' => Some(Self::Pass),
            b'F' => Some(Self::Fail(text)),
            b'S' => Some(Self::Skip(text)),
            b'U' => Some(Self::UnexpectedSkip(text)),
            b'X' => Some(Self::Stuck),
            _ => None,
        }
    }
}

/// How many tests came to what.
#[derive(Default)]
pub struct Totals {
    pub pass: usize,
    pub fail: usize,
    pub skip: usize,
}

impl Totals {
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Pass => self.pass += 1,
            Outcome::Skip(_) => self.skip += 1,
            Outcome::Fail(_) | Outcome::UnexpectedSkip(_) | Outcome::Stuck => self.fail += 1,
        }
    }

    pub fn all(&self) -> usize {
        self.pass + self.fail + self.skip
    }

    pub fn exit_status(&self) -> u8 {
        match (self.fail, self.pass) {
            (0, 0) => SKIP,
            (0, _) => PASS,
            _ => FAIL,
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "# Totals: pass:{} fail:{} xfail:0 xpass:0 skip:{} error:0",
            self.pass, self.fail, self.skip
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_survive_the_pipe() {
        for outcome in [
            Outcome::Pass,
            Outcome::Fail("a: expected 1, found 2\nb".into()),
            Outcome::Skip("no VF".into()),
            Outcome::UnexpectedSkip("no VF".into()),
            Outcome::Stuck,
        ] {
            assert_eq!(Outcome::decode(&outcome.encode()), Some(outcome));
        }
        assert_eq!(Outcome::decode(""), None);
    }

    #[test]
    fn exit_status_follows_kselftest() {
        let totals = |pass, fail, skip| Totals { pass, fail, skip }.exit_status();
        assert_eq!(totals(3, 0, 1), PASS);
        assert_eq!(totals(3, 1, 1), FAIL);
        assert_eq!(totals(0, 0, 2), SKIP);
        assert_eq!(totals(0, 1, 0), FAIL);
    }
}
