// SPDX-License-Identifier: GPL-2.0
//! A value of a file in sysfs or procfs that is another one for a while.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::pci;

/// Puts back, when it is dropped, what the file had.
#[derive(Debug)]
pub struct Setting {
    path: PathBuf,
    before: String,
}

impl Setting {
    /// Writes `value` to the file at `path`.
    pub fn change(path: impl Into<PathBuf>, value: &str) -> Result<Self> {
        let path = path.into();
        let before =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        pci::write(&path, value)?;
        Ok(Self {
            path,
            before: before.trim_end().to_owned(),
        })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        // It may be gone, with the device whose it was.
        let _ = fs::write(&self.path, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_put_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("setting");
        fs::write(&path, "1000\n").unwrap();
        let setting = Setting::change(&path, "0").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "0");
        drop(setting);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1000");
    }
}
