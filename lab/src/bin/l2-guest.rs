// SPDX-License-Identifier: GPL-2.0
//! First and only process of the guest that is migrated.

use nix::sys::reboot::{RebootMode, reboot};

fn main() {
    if let Err(error) = vvp_lab::guest::run() {
        println!("l2-guest: error: {error:#}");
    }
    // The first process must not end. If powering off fails it does, and the
    // kernel's panic ends the machine just as well.
    let Err(errno) = reboot(RebootMode::RB_POWER_OFF);
    println!("l2-guest: cannot power off: {errno}");
}
