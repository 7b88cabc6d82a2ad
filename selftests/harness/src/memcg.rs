// SPDX-License-Identifier: GPL-2.0
//! What the memory controller charges to who causes it, kernel memory among it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

/// A memory cgroup that this process is in. Removed in the end.
pub struct Group {
    root: TempDir,
    group: PathBuf,
}

impl Group {
    /// Makes one, and moves this process there.
    pub fn enter() -> Result<Self> {
        let root = tempfile::tempdir().context("making a directory")?;
        mount(
            Some("cgroup2"),
            root.path(),
            Some("cgroup2"),
            MsFlags::empty(),
            None::<&str>,
        )
        .context("mounting cgroup2")?;
        let group = root.path().join("vvp");
        let entered = Self { root, group };
        let write = |path: &Path, text: &str| {
            fs::write(path, text).with_context(|| format!("writing {}", path.display()))
        };
        write(
            &entered.root.path().join("cgroup.subtree_control"),
            "+memory",
        )?;
        fs::create_dir(&entered.group).context("creating a cgroup")?;
        write(&entered.group.join("cgroup.procs"), "0")?;
        Ok(entered)
    }

    fn current(&self) -> Result<u64> {
        number(&fs::read_to_string(self.group.join("memory.current"))?)
    }

    /// The most bytes that were charged at once while `f` ran, beyond what there was
    /// before. What `f` uses of its own memory should have been touched by then.
    pub fn peak(&self, f: impl FnOnce() -> Result<()>) -> Result<u64> {
        let mut peak = Peak::new(&self.group)?;
        let before = self.current()?;
        f()?;
        Ok(peak.read()?.saturating_sub(before))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.root.path().join("cgroup.procs"), "0");
        let _ = fs::remove_dir(&self.group);
        let _ = umount2(self.root.path(), MntFlags::MNT_DETACH);
    }
}

fn number(text: &str) -> Result<u64> {
    text.trim()
        .parse()
        .with_context(|| format!("'{}' is no number", text.trim()))
}

/// The most since this was made.
struct Peak(File);

impl Peak {
    fn new(group: &Path) -> Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(group.join("memory.peak"))
            .context("memory.peak")?;
        // Anything written begins anew, for this descriptor.
        file.write_all(b"reset").context("resetting memory.peak")?;
        Ok(Self(file))
    }

    fn read(&mut self) -> Result<u64> {
        let mut text = String::new();
        self.0.seek(SeekFrom::Start(0)).context("memory.peak")?;
        self.0.read_to_string(&mut text).context("memory.peak")?;
        number(&text)
    }
}
