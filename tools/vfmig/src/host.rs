// SPDX-License-Identifier: GPL-2.0
//! Files that tell about the machine, below a directory that tests can choose.

use std::fs;
use std::path::{Path, PathBuf};

/// A machine as its files show it.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// This one.
    pub fn here() -> Self {
        Self { root: "/".into() }
    }

    /// One whose files are below `root`.
    #[cfg(test)]
    pub fn below(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// Where a file is.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// A file's text without the white space around it.
    pub fn text(&self, absolute: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(absolute)).ok()?;
        Some(text.trim().to_owned())
    }

    /// Names in a directory, sorted; none if it is not there.
    pub fn names(&self, absolute: &str) -> Vec<String> {
        names(&self.path(absolute))
    }

    /// Is the module loaded, or built in and with parameters?
    pub fn has_module(&self, name: &str) -> bool {
        self.path("/sys/module").join(name).exists()
    }
}

/// Names in a directory, sorted; none if it cannot be read.
pub fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
