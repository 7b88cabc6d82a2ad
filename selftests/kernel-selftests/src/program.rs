// SPDX-License-Identifier: GPL-2.0
//! One of the kernel's programs, run within a time limit.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use supervise::Supervised;
use vvp_harness::pci::Function;

/// What a program may take. Its own harness ends a test after 30 s, and most need
/// a fraction of a second.
const LIMIT: Duration = Duration::from_secs(120);

/// A program of a collection.
#[derive(Debug)]
pub struct Program {
    file: PathBuf,
    title: String,
    limit: Duration,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// All that it printed, on both streams.
    pub output: String,
}

impl Program {
    /// The program `name` in `directory`.
    pub fn new(directory: &Path, collection: &str, name: &str) -> Self {
        Self {
            file: directory.join(name),
            title: format!("{collection}.{name}"),
            limit: LIMIT,
        }
    }

    /// What KTAP calls it.
    pub fn title(&self) -> String {
        self.title.clone()
    }

    /// Runs it on `functions`. Its output stays in `logs`.
    pub fn run(&self, functions: &[Function], logs: &Path) -> Result<Ended> {
        let addresses = functions
            .iter()
            .map(|function| function.address().to_string());
        // A file instead of a pipe: a test that cannot be killed would hold the pipe open.
        let log = logs.join(format!("{}.log", self.title));
        let output = File::create(&log).with_context(|| format!("creating {log:?}"))?;
        let errors = output.try_clone()?;
        let mut child = Supervised::spawn(
            "a kernel selftest",
            Command::new(&self.file)
                .args(addresses)
                .stdin(Stdio::null())
                .stdout(output)
                .stderr(errors),
        )?;
        let Some(status) = child.wait(self.limit)? else {
            bail!(
                "{} did not end within {} s (its output: {log:?})",
                self.title,
                self.limit.as_secs()
            );
        };
        let output = fs::read(&log).with_context(|| format!("reading {log:?}"))?;
        Ok(Ended {
            status,
            output: String::from_utf8_lossy(&output).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<Ended> {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let file = directory.join("program");
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mut permissions = fs::metadata(&file).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        fs::set_permissions(&file, permissions).unwrap();
        let mut program = Program::new(directory, "vfio", "program");
        program.limit = limit;
        program.run(&[], directory)
    }

    #[test]
    fn both_streams_and_the_status_are_kept() {
        let ended = shell("echo a; echo b >&2; exit 4", LIMIT).unwrap();
        assert_eq!(ended.status.code(), Some(4));
        assert_eq!(ended.output, "a\nb\n");
    }

    #[test]
    fn a_program_that_hangs_is_an_error() {
        let error = shell("exec sleep 600", Duration::from_millis(1)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("vfio.program did not end within"),
            "{error}"
        );
    }
}
