// SPDX-License-Identifier: GPL-2.0
//! How long the guest may take, and telling who waits.

use std::time::Duration;

/// How long the guest may take to boot and get to work. It took 20 s on an idle machine.
pub const GUEST_UP: Duration = Duration::from_secs(150);
/// How long the guest may take to go on, on the target.
pub const RESUMED: Duration = Duration::from_secs(60);

/// Tells the reader of the log, and who waits, what is going on.
pub fn say(what: &str) {
    println!("# {what}");
}
