// SPDX-License-Identifier: GPL-2.0
//! What a run of tests is about: which state of the tree, which module, which kernels.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::paths;
use crate::setup::Setup;

/// Beside what was built: the revision that it was built from.
const BUILT_FROM: &str = "revision";

/// A state of the tree, and what it was tested with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The tree's revision, as git says it, with a hash of what is changed.
    pub revision: String,
    /// Release of the kernel under test.
    pub kernel: String,
    /// Release of the distribution's kernel.
    pub stock_kernel: String,
    pub arch: &'static str,
    /// Version of QEMU.
    pub qemu: String,
    /// SHA-256 of the module under test.
    pub module_sha256: String,
    /// SHA-256 of the module for the distribution's kernel.
    pub stock_module_sha256: String,
    #[serde(skip)]
    module_from: Option<String>,
    #[serde(skip)]
    programs_from: Option<String>,
}

impl Subject {
    /// Finds out. `VVP_REVISION` has the tree's revision.
    pub fn find(setup: &Setup) -> Result<Self> {
        let qemu = Command::new("qemu-system-x86_64")
            .arg("--version")
            .output()
            .context("running QEMU")?;
        let qemu = String::from_utf8_lossy(&qemu.stdout);
        Ok(Self {
            revision: std::env::var("VVP_REVISION").unwrap_or_else(|_| "unknown".into()),
            kernel: setup.kernel.release()?,
            stock_kernel: setup.stock_kernel.release()?,
            arch: std::env::consts::ARCH,
            qemu: qemu.lines().next().unwrap_or("unknown").into(),
            module_sha256: sha256(&setup.module)?,
            stock_module_sha256: sha256(&setup.stock_module)?,
            module_from: built_from(&setup.module),
            programs_from: built_from(&paths::programs()),
        })
    }

    /// Fails if what was built is of another state of the tree. What says nothing of its
    /// origin is somebody's own, and is taken as it is.
    pub fn check(&self) -> Result<()> {
        for (what, from) in [
            ("the module was", &self.module_from),
            ("the programs were", &self.programs_from),
        ] {
            let Some(from) = from else { continue };
            ensure!(
                *from == self.revision,
                "{what} built from {from}, the tree is {}: run 'make setup'",
                self.revision
            );
        }
        Ok(())
    }

    /// Fails if somebody has replaced a module meanwhile.
    pub fn is_unchanged(&self, setup: &Setup) -> Result<()> {
        for (file, hash) in [
            (&setup.module, &self.module_sha256),
            (&setup.stock_module, &self.stock_module_sha256),
        ] {
            ensure!(sha256(file)? == *hash, "{file:?} was replaced meanwhile");
        }
        Ok(())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  revision {}", self.revision)?;
        writeln!(f, "  module   sha256 {}", self.module_sha256)?;
        write!(
            f,
            "  kernel   {}, and {} as Debian has it; {}",
            self.kernel, self.stock_kernel, self.qemu
        )
    }
}

fn sha256(file: &Path) -> Result<String> {
    let content =
        fs::read(file).with_context(|| format!("cannot read {file:?}: 'make setup' makes it"))?;
    Ok(format!("{:x}", Sha256::digest(content)))
}

/// What the directory says of its origin that `file` is in, or that it is.
fn built_from(file: &Path) -> Option<String> {
    let dir = if file.is_dir() { file } else { file.parent()? };
    let text = fs::read_to_string(dir.join(BUILT_FROM)).ok()?;
    Some(text.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject {
            revision: "abc".into(),
            kernel: "7.3.4".into(),
            stock_kernel: "7.3.4+deb13-amd64".into(),
            arch: "x86_64",
            qemu: "QEMU emulator version 11".into(),
            module_sha256: "00".into(),
            stock_module_sha256: "11".into(),
            module_from: Some("abc".into()),
            programs_from: None,
        }
    }

    #[test]
    fn what_another_tree_built_is_not_tested() {
        assert!(subject().check().is_ok());
        let stale = Subject {
            module_from: Some("abd".into()),
            ..subject()
        };
        let error = stale.check().unwrap_err().to_string();
        assert_eq!(
            error,
            "the module was built from abd, the tree is abc: run 'make setup'"
        );
    }

    #[test]
    fn products_say_what_they_were_built_from() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path();
        assert_eq!(built_from(&dir.join("x.ko")), None);
        fs::write(dir.join(BUILT_FROM), "abc, with changes 12\n").unwrap();
        fs::write(dir.join("x.ko"), "module").unwrap();
        for path in [dir.to_path_buf(), dir.join("x.ko")] {
            assert_eq!(built_from(&path).unwrap(), "abc, with changes 12");
        }
        assert_eq!(sha256(&dir.join("x.ko")).unwrap().len(), 64);
    }
}
