// SPDX-License-Identifier: GPL-2.0
//! What a run of tests is about: which state of the tree, which module, which kernels.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::paths;
use crate::setup::Setup;
use crate::stage::{Host, Stage};

/// Beside what was built: the revision that it was built from.
const BUILT_FROM: &str = "revision";

/// A state of the tree, and what it was tested with. What no stage uses may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The tree's revision, as git says it, with a hash of what is changed.
    pub revision: String,
    /// Release of the kernel under test.
    pub kernel: Option<String>,
    /// Release of the distribution's kernel.
    pub stock_kernel: Option<String>,
    pub arch: &'static str,
    /// Version of QEMU.
    pub qemu: String,
    /// SHA-256 of the module under test.
    pub module_sha256: Option<String>,
    /// SHA-256 of the module for the distribution's kernel.
    pub stock_module_sha256: Option<String>,
    /// SHA-256 of the module for the kernel that looks for faults.
    pub debug_module_sha256: Option<String>,
    /// The modules that stages use.
    #[serde(skip)]
    modules: Vec<Module>,
    #[serde(skip)]
    programs_from: Option<String>,
}

/// A module's file, when the run began.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Module {
    file: PathBuf,
    sha256: String,
    from: Option<String>,
}

impl Subject {
    /// Finds out; an error, if something is missing that a stage uses. `VVP_REVISION` has the
    /// tree's revision.
    pub fn find(setup: &Setup, stages: &[Stage]) -> Result<Self> {
        let qemu = Command::new("qemu-system-x86_64")
            .arg("--version")
            .output()
            .context("running QEMU")?;
        let qemu = String::from_utf8_lossy(&qemu.stdout);
        let mut modules = Vec::new();
        let mut find = |host: Host| -> Result<(Option<String>, Option<String>)> {
            let found = find_host(setup, host);
            if !stages.iter().any(|stage| stage.hosts().contains(&host)) {
                return Ok(found
                    .map(|(release, module)| (Some(release), Some(module.sha256)))
                    .unwrap_or_default());
            }
            let (release, module) = found?;
            let sha256 = module.sha256.clone();
            modules.push(module);
            Ok((Some(release), Some(sha256)))
        };
        let (kernel, module_sha256) = find(Host::TestKernel)?;
        let (stock_kernel, stock_module_sha256) = find(Host::StockKernel)?;
        let (_, debug_module_sha256) = find(Host::DebugKernel)?;
        Ok(Self {
            revision: std::env::var("VVP_REVISION").unwrap_or_else(|_| "unknown".into()),
            kernel,
            stock_kernel,
            arch: std::env::consts::ARCH,
            qemu: qemu.lines().next().unwrap_or("unknown").into(),
            module_sha256,
            stock_module_sha256,
            debug_module_sha256,
            modules,
            programs_from: built_from(&paths::programs()),
        })
    }

    /// Fails if what was built is of another state of the tree. What says nothing of its
    /// origin is somebody's own, and is taken as it is.
    pub fn check(&self) -> Result<()> {
        let modules = self.modules.iter().map(|module| {
            let what = format!("{:?} was", module.file);
            (what, &module.from)
        });
        let programs = [("the programs were".to_owned(), &self.programs_from)];
        for (what, from) in modules.chain(programs) {
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
    pub fn is_unchanged(&self) -> Result<()> {
        for module in &self.modules {
            let file = &module.file;
            ensure!(
                sha256(file)? == module.sha256,
                "{file:?} was replaced meanwhile"
            );
        }
        Ok(())
    }
}

/// The release of the kernel `host`, and its module.
fn find_host(setup: &Setup, host: Host) -> Result<(String, Module)> {
    let (kernel, file, target) = match host {
        Host::TestKernel => (&setup.kernel, &setup.module, "setup"),
        Host::StockKernel => (&setup.stock_kernel, &setup.stock_module, "setup"),
        Host::DebugKernel => (&setup.debug_kernel, &setup.debug_module, "setup-debug"),
    };
    let advice = || format!("'make {target}' makes what is missing");
    let module = Module {
        sha256: sha256(file).with_context(advice)?,
        from: built_from(file),
        file: file.clone(),
    };
    Ok((kernel.release().with_context(advice)?, module))
}

/// What may be missing, as it is shown.
pub fn shown(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("(none)")
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  revision {}", self.revision)?;
        writeln!(f, "  module   sha256 {}", shown(&self.module_sha256))?;
        write!(
            f,
            "  kernel   {}, and {} as Debian has it; {}",
            shown(&self.kernel),
            shown(&self.stock_kernel),
            self.qemu
        )
    }
}

fn sha256(file: &Path) -> Result<String> {
    let content = fs::read(file).with_context(|| format!("cannot read {file:?}"))?;
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
    use crate::kernel::Kernel;

    fn setup(dir: &Path) -> Setup {
        let kernel = |name: &str| Kernel::new(&dir.join(name));
        Setup {
            kernel: kernel("test"),
            module: dir.join("test.ko"),
            kernel_selftests: dir.join("selftests"),
            stock_kernel: kernel("stock"),
            stock_module: dir.join("stock.ko"),
            debug_kernel: kernel("debug"),
            debug_module: dir.join("debug.ko"),
        }
    }

    /// The kernel `name`, and its module.
    fn make(dir: &Path, name: &str) {
        let release = dir.join(name).join("include/config");
        fs::create_dir_all(&release).unwrap();
        fs::write(release.join("kernel.release"), "7.3.4\n").unwrap();
        fs::write(dir.join(name).with_extension("ko"), "module").unwrap();
    }

    fn error(subject: &Subject) -> String {
        subject.check().unwrap_err().to_string()
    }

    #[test]
    fn what_another_tree_built_is_not_tested() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("x.ko");
        fs::write(&file, "module").unwrap();
        let module = Module {
            sha256: sha256(&file).unwrap(),
            from: Some("abc".into()),
            file: file.clone(),
        };
        let mut subject = Subject {
            revision: "abc".into(),
            kernel: None,
            stock_kernel: None,
            arch: "x86_64",
            qemu: "QEMU emulator version 11".into(),
            module_sha256: None,
            stock_module_sha256: None,
            debug_module_sha256: None,
            modules: vec![module],
            programs_from: None,
        };
        assert!(subject.check().is_ok());
        assert!(subject.is_unchanged().is_ok());
        fs::write(&file, "another").unwrap();
        assert!(subject.is_unchanged().is_err());
        subject.modules[0].from = Some("abd".into());
        let expected = "was built from abd, the tree is abc: run 'make setup'";
        assert!(error(&subject).ends_with(expected), "{}", error(&subject));
    }

    #[test]
    fn only_what_a_stage_uses_must_be_there() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path();
        let uses = |stage: Stage| {
            let missing = |host| find_host(&setup(dir), host).is_err();
            stage
                .hosts()
                .iter()
                .copied()
                .filter(|host| missing(*host))
                .count()
        };
        assert_eq!(uses(Stage::Docs), 0);
        assert_eq!(uses(Stage::StockMigration), 2);
        make(dir, "test");
        assert_eq!(uses(Stage::L1), 0);
        assert_eq!(uses(Stage::StockMigration), 1);
        assert_eq!(uses(Stage::Debug), 1);
        make(dir, "debug");
        assert_eq!(uses(Stage::Debug), 0);
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
