// SPDX-License-Identifier: GPL-2.0
//! What the exit status says.

use std::fmt;
use std::process::ExitCode;

/// Exit statuses, beside 2, which is clap's for a command line that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, and the answer is yes.
    Ok = 0,
    /// Something failed.
    Failed = 1,
    /// Done, and the answer is no: not ready, different, or a faulty stream.
    No = 3,
    /// The function is in use.
    Busy = 4,
    /// A signal asked for the end.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An error with an exit status of its own.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
}

impl Failure {
    /// One that says `what`.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
        }
    }

    /// The exit status that an error asks for.
    pub fn exit_of(error: &anyhow::Error) -> Exit {
        let failure = error.downcast_ref::<Self>();
        failure.map_or(Exit::Failed, |failure| failure.exit)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_exit_status_survives_context() {
        let busy = Err::<(), _>(Failure::new(Exit::Busy, "in use")).context("binding");
        let error = busy.unwrap_err();
        assert_eq!(Failure::exit_of(&error), Exit::Busy);
        assert_eq!(format!("{error:#}"), "binding: in use");
        assert_eq!(Failure::exit_of(&anyhow::anyhow!("x")), Exit::Failed);
    }
}
