// SPDX-License-Identifier: GPL-2.0
//! A directory for one run: sockets, logs, the job. Kept when the run fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// How many directories of earlier failed runs are kept for the reader.
const KEPT: usize = 12;

/// A run directory. Dropping it removes it, unless [`RunDir::keep`] was called.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    keep: bool,
}

impl RunDir {
    /// Makes a new directory in `parent`, and removes the oldest of those that
    /// ended runs left there.
    pub fn create(parent: &Path) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(parent).with_context(|| format!("cannot create {parent:?}"))?;
        prune(parent);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        // Short: the names of the sockets inside must fit in 108 bytes.
        let path = parent.join(format!("{}-{number}", std::process::id()));
        if path.exists() {
            // Of an earlier process with this id.
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {path:?}"))?;
        }
        fs::create_dir(&path).with_context(|| format!("cannot create {path:?}"))?;
        Ok(Self { path, keep: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in the directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Leaves the directory, for the reader.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.path);
            return;
        }
        // Sockets are of no use to a reader.
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|end| end == "sock") {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Removes all but the newest directories of runs that have ended.
fn prune(parent: &Path) {
    let mut ended: Vec<_> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !owner_lives(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    ended.sort();
    let surplus = ended.len().saturating_sub(KEPT);
    for (_, path) in ended.into_iter().take(surplus) {
        let _ = fs::remove_dir_all(path);
    }
}

/// Whether the process that made a directory of this name is still there. Names
/// that are not ours count as in use.
fn owner_lives(name: &str) -> bool {
    let Some((pid, _)) = name.split_once('-') else {
        return true;
    };
    match pid.parse::<u32>() {
        Ok(pid) => Path::new("/proc").join(pid.to_string()).exists(),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_unless_kept_and_old_ones_go() {
        let temporary = tempfile::tempdir().unwrap();
        let parent = temporary.path();
        let first = RunDir::create(parent).unwrap();
        let path = first.path().to_path_buf();
        assert!(path.is_dir());
        drop(first);
        assert!(!path.exists());

        let mut second = RunDir::create(parent).unwrap();
        fs::write(second.file("a.sock"), "").unwrap();
        fs::write(second.file("a.log"), "").unwrap();
        second.keep();
        let path = second.path().to_path_buf();
        drop(second);
        assert!(path.join("a.log").exists());
        assert!(!path.join("a.sock").exists());

        // Pids beyond the kernel's limit never live.
        for number in 0..KEPT + 3 {
            fs::create_dir(parent.join(format!("99999999-{number}"))).unwrap();
        }
        fs::create_dir(parent.join("unrelated")).unwrap();
        prune(parent);
        // The kept ones, the one of this living process, and the stranger.
        assert_eq!(fs::read_dir(parent).unwrap().count(), KEPT + 2);
    }
}
