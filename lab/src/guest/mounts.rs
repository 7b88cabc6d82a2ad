// SPDX-License-Identifier: GPL-2.0
//! The few file systems that the first process needs.

use std::fs;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

/// Mounts proc, sysfs and devtmpfs.
pub fn mount_all() -> Result<()> {
    for (kind, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs::create_dir_all(target).with_context(|| format!("creating {target}"))?;
        mount(
            Some(kind),
            target,
            Some(kind),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("mounting {target}"))?;
    }
    Ok(())
}
