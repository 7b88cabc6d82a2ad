// SPDX-License-Identifier: GPL-2.0

//! Loops that may take long.

use crate::abi;
use kernel::prelude::*;

/// Lets others run, in a loop that may take long. May sleep, as taking a mutex may: where
/// that is forbidden it is a defect, which the kernel reports, and not unsound.
///
/// # Errors
///
/// EINTR if the process is being killed.
pub(crate) fn pause() -> Result {
    // SAFETY: The function has no requirements.
    unsafe { abi::vvp_cond_resched() };
    // SAFETY: The function has no requirements.
    if unsafe { abi::vvp_fatal_signal_pending() } {
        return Err(EINTR);
    }
    Ok(())
}
