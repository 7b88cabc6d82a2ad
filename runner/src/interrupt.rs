// SPDX-License-Identifier: GPL-2.0
//! SIGINT, SIGTERM and SIGHUP ask for an orderly end: the loops here poll
//! [`requested`] and unwind, so that every child is ended on the way out.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static REQUESTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_signal: i32) {
    REQUESTED.store(true, Ordering::Relaxed);
}

/// Installs the handlers, for the whole process.
pub fn install() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { sigaction(signal, &action)? };
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
