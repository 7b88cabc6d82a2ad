// SPDX-License-Identifier: GPL-2.0
//! Running the program.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use vvp_harness::expect;
use vvp_harness::ktap::{self, Skip};

/// What the program did.
pub struct Run {
    arguments: String,
    code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// The program is beside this one.
pub fn command() -> Result<Command> {
    let program = std::env::current_exe()
        .context("path of this program")?
        .with_file_name("vfmig");
    if !program.exists() {
        return Err(Skip(format!("no {}", program.display())).into());
    }
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    Ok(command)
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Result<Run> {
    let output = command()?
        .args(arguments)
        .output()
        .context("running vfmig")?;
    Ok(Run {
        arguments: arguments.join(" "),
        code: output.status.code(),
        out: String::from_utf8(output.stdout).context("output")?,
        err: String::from_utf8(output.stderr).context("errors")?,
    })
}

impl Run {
    /// What another way of running it gave.
    pub fn of(arguments: &str, output: std::process::Output) -> Result<Self> {
        Ok(Self {
            arguments: arguments.to_owned(),
            code: output.status.code(),
            out: String::from_utf8(output.stdout).context("output")?,
            err: String::from_utf8(output.stderr).context("errors")?,
        })
    }

    /// It must have ended so.
    pub fn expect(self, code: i32) -> Result<Self> {
        if self.code != Some(code) {
            bail!(
                "vfmig {} ended with {:?} instead of {code}: {} {}",
                self.arguments,
                self.code,
                self.out,
                self.err
            );
        }
        Ok(self)
    }

    /// It must have said one line, with `text` in it.
    pub fn expect_error(&self, text: &str) -> Result<()> {
        ktap::diagnose(&self.err);
        expect!(self.err.lines().count() == 1, "one line: {}", self.err);
        expect!(self.err.contains(text), "'{text}' in: {}", self.err);
        Ok(())
    }

    /// What it printed, as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.out).with_context(|| format!("vfmig {}", self.arguments))
    }

    /// Shows what it printed.
    pub fn note(&self) {
        ktap::diagnose(&format!("$ vfmig {}\n{}", self.arguments, self.out));
    }
}

/// A directory for a test's files, which goes with them.
pub fn directory() -> Result<TempDir> {
    tempfile::tempdir().context("making a directory")
}

/// A path as an argument.
pub fn text(path: &std::path::Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}
