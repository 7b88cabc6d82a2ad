// SPDX-License-Identifier: GPL-2.0
//! The kernel that L1 boots: one that the project built, or a distribution's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// A kernel's directory.
///
/// A build directory has an image that can do all that L1 needs to get to its root file
/// system, and modules where they were built. A distribution's kernel
/// (`scripts/stock-kernel.sh`) has `vmlinuz`, `initrd.gz`, and in `modules` what belongs
/// into `/lib/modules`.
#[derive(Clone, Debug)]
pub struct Kernel {
    dir: PathBuf,
}

impl Kernel {
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether it is a distribution's.
    pub fn is_stock(&self) -> bool {
        self.dir.join("vmlinuz").exists()
    }

    /// Fails if there is nothing to boot.
    pub fn check(&self) -> Result<()> {
        let image = self.image();
        ensure!(
            image.exists(),
            "no kernel at {image:?}: 'make setup' makes it ('make setup-debug' that for --debug)"
        );
        Ok(())
    }

    /// Its release, as `uname -r` would say it.
    pub fn release(&self) -> Result<String> {
        let path = if self.is_stock() {
            self.dir.join("release")
        } else {
            self.dir.join("include/config/kernel.release")
        };
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path:?}"))?;
        Ok(text.trim().into())
    }

    /// What QEMU boots.
    pub fn image(&self) -> PathBuf {
        if self.is_stock() {
            self.dir.join("vmlinuz")
        } else {
            self.dir.join("arch/x86/boot/bzImage")
        }
    }

    /// The initial file system, if it needs one.
    pub fn initrd(&self) -> Option<PathBuf> {
        self.is_stock().then(|| self.dir.join("initrd.gz"))
    }

    /// What belongs into `/lib/modules`, if anything does.
    pub fn modules(&self) -> Option<PathBuf> {
        self.is_stock().then(|| self.dir.join("modules"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_directory_is_all_there_is_to_it() {
        let kernel = Kernel::new(Path::new("/k"));
        assert_eq!(kernel.image(), Path::new("/k/arch/x86/boot/bzImage"));
        assert_eq!((kernel.initrd(), kernel.modules()), (None, None));
        let error = kernel.check().unwrap_err().to_string();
        assert!(error.contains("make setup"), "{error}");
    }

    #[test]
    fn a_distribution_s_kernel_has_an_initrd_and_modules() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path();
        fs::write(dir.join("vmlinuz"), "").unwrap();
        let kernel = Kernel::new(dir);
        assert!(kernel.check().is_ok());
        assert_eq!(kernel.initrd(), Some(dir.join("initrd.gz")));
        assert_eq!(kernel.modules(), Some(dir.join("modules")));
    }
}
