// SPDX-License-Identifier: GPL-2.0
//! A test of the tests: answers of the kernel that are made up. With the feature `lies`, and
//! `VFIO_MIG_LIE` set to one of [`NAMES`], a device that is fine looks broken in that way. Each
//! case must fail with at least one of them; a case that does not can never fail.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use nix::errno::Errno;
use nix::libc::c_ulong;

use crate::uapi;

/// The ways to lie.
pub const NAMES: [&str; 15] = [
    "refusals_succeed",
    "features_fail",
    "states_stay",
    "state_is_other",
    "streams_are_empty",
    "streams_never_end",
    "dead_sessions_give",
    "writes_are_lost",
    "writes_are_taken",
    "polls_are_ready",
    "bytes_beyond",
    "info_fails",
    "bitmaps_are_inverted",
    "regions_change",
    "resets_do_nothing",
];

/// Lies are told within cases only, and not to what tidies up after them.
static TELLING: AtomicBool = AtomicBool::new(false);
/// How often the lie could have been told.
static CHANCES: AtomicU32 = AtomicU32::new(0);

/// From now on, lies are told, or not.
pub fn tell(telling: bool) {
    TELLING.store(telling, Ordering::Relaxed);
}

/// Whether this is the lie, and told now: `VFIO_MIG_LIE_AFTER` says how often the truth comes
/// first. Without the feature no lie is ever told.
pub fn is_told(name: &str) -> bool {
    debug_assert!(NAMES.contains(&name), "{name}");
    cfg!(feature = "lies")
        && TELLING.load(Ordering::Relaxed)
        && std::env::var("VFIO_MIG_LIE").is_ok_and(|told| told == name)
        && CHANCES.fetch_add(1, Ordering::Relaxed) >= truths()
}

fn truths() -> u32 {
    std::env::var("VFIO_MIG_LIE_AFTER")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(0)
}

/// The answer of an ioctl. Those with which a device is opened are spared.
pub fn answer(request: c_ulong, true_one: Result<i32, Errno>) -> Result<i32, Errno> {
    if uapi::OPENING.contains(&request) {
        return true_one;
    }
    if true_one.is_ok() && request == uapi::MIG_GET_PRECOPY_INFO && is_told("info_fails") {
        return Err(Errno::EIO);
    }
    match true_one {
        Err(_) if is_told("refusals_succeed") => Ok(0),
        Ok(_) if is_told("features_fail") => Err(Errno::EIO),
        answer => answer,
    }
}

/// A number that is another one each time, if that is the lie.
pub fn another() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    if is_told("regions_change") {
        return COUNT.fetch_add(1, Ordering::Relaxed);
    }
    0
}

/// What a bitmap has.
pub fn bitmap(true_one: Vec<u8>) -> Vec<u8> {
    if is_told("bitmaps_are_inverted") {
        return true_one.into_iter().map(|byte| !byte).collect();
    }
    true_one
}

/// How much was read; `room` bytes could have been.
pub fn read(true_one: Result<usize, Errno>, room: usize) -> Result<usize, Errno> {
    match true_one {
        Ok(_) if is_told("streams_are_empty") => Ok(0),
        Ok(0) if is_told("streams_never_end") && room > 0 => Err(Errno::ENOMSG),
        Err(_) if is_told("dead_sessions_give") && room > 0 => Ok(1),
        answer => answer,
    }
}

/// How much was written of `length` bytes.
pub fn written(true_one: Result<usize, Errno>, length: usize) -> Result<usize, Errno> {
    match true_one {
        Err(_) if is_told("writes_are_taken") => Ok(length),
        answer => answer,
    }
}
