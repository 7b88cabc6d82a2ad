// SPDX-License-Identifier: GPL-2.0
//! SIGINT, SIGTERM and SIGHUP ask for an orderly end: the loops here poll
//! [`requested`] and unwind, so that every child is ended on the way out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::Result;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Installs the handlers, for the whole process.
pub fn install() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, REQUESTED.clone())?;
    }
    Ok(())
}

/// Whether the user or the system asked this process to end.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Fails once an end was asked for: `?` on it unwinds to the owner of the children.
pub fn check() -> Result<()> {
    anyhow::ensure!(!requested(), "interrupted");
    Ok(())
}
