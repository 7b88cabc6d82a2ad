// SPDX-License-Identifier: GPL-2.0
//! Allocations of the kernel that fail when a test wants them to
//! (Documentation/fault-injection/fault-injection.rst in the kernel).

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::skip;

const SETTINGS: &str = "/sys/kernel/debug/failslab";
/// The same for whole pages, where the kernel has that.
const PAGES: &str = "/sys/kernel/debug/fail_page_alloc";
/// Of the thread that opens it.
const NTH: &str = "/proc/thread-self/fail-nth";

/// Allocations that may wait for memory can be made to fail, until this is dropped.
#[derive(Debug)]
pub struct Failslab {
    /// Pages are among them.
    pages: bool,
}

impl Failslab {
    /// Of slab objects. Skips the test on a kernel that has no such thing.
    pub fn enable() -> Result<Self> {
        if !Path::new(NTH).exists() || !Path::new(SETTINGS).exists() {
            skip!("the kernel has no CONFIG_FAILSLAB");
        }
        prepare(SETTINGS)?;
        Ok(Self { pages: false })
    }

    /// Of slab objects and, with CONFIG_FAIL_PAGE_ALLOC, of pages, too.
    pub fn enable_with_pages() -> Result<Self> {
        let mut enabled = Self::enable()?;
        if Path::new(PAGES).exists() {
            enabled.pages = true;
            prepare(PAGES)?;
            set(PAGES, "ignore-gfp-highmem", "N")?;
            set(PAGES, "min-order", "0")?;
        }
        Ok(enabled)
    }

    /// Runs `f`, in which the `nth` allocation of this thread fails, counted from
    /// 1. Says whether there was one.
    pub fn failing<R>(&self, nth: u32, f: impl FnOnce() -> R) -> Result<(R, bool)> {
        // Opened before: opening allocates.
        let file = File::options()
            .read(true)
            .write(true)
            .open(NTH)
            .context(NTH)?;
        file.write_all_at(nth.to_string().as_bytes(), 0)
            .context(NTH)?;
        let result = f();
        let mut left = [0; 16];
        let length = file.read_at(&mut left, 0).context(NTH)?;
        file.write_all_at(b"0", 0).context(NTH)?;
        // The count goes down to 0 at the allocation that fails.
        Ok((result, left[..length].trim_ascii() == b"0"))
    }
}

impl Drop for Failslab {
    fn drop(&mut self) {
        let _ = set(SETTINGS, "ignore-gfp-wait", "Y");
        if self.pages {
            let _ = set(PAGES, "ignore-gfp-wait", "Y");
            let _ = set(PAGES, "ignore-gfp-highmem", "Y");
            let _ = set(PAGES, "min-order", "1");
        }
    }
}

/// Nothing fails but what `failing` asks for, and that may be any allocation.
fn prepare(settings: &str) -> Result<()> {
    set(settings, "ignore-gfp-wait", "N")?;
    set(settings, "probability", "0")?;
    set(settings, "verbose", "0")
}

fn set(settings: &str, name: &str, value: &str) -> Result<()> {
    let path = Path::new(settings).join(name);
    fs::write(&path, value).with_context(|| path.display().to_string())
}
