// SPDX-License-Identifier: GPL-2.0
//! In a process of its own, since the request is one to the whole process.

use nix::sys::signal::{Signal, raise};
use vvp_run::interrupt;

#[test]
fn a_signal_is_a_request_to_end() {
    interrupt::install().unwrap();
    assert!(interrupt::check().is_ok());
    raise(Signal::SIGHUP).unwrap();
    assert!(interrupt::requested());
    assert_eq!(interrupt::check().unwrap_err().to_string(), "interrupted");
}
