// SPDX-License-Identifier: GPL-2.0
//! Live migration of a real guest (L2) inside the host under test (L1).
//!
//! Three programs share this crate: `l2-guest` is all that runs in the guest,
//! `l2-migrate` runs in L1, starts the guest under QEMU, plays its peer on the
//! physical function, migrates it, and judges what came of it; `l2-plain` does so
//! without a migration, on a device that has none.

pub mod capability;
pub mod control;
pub mod files;
pub mod guest;
#[cfg(feature = "host")]
pub mod host;
pub mod pattern;
pub mod stats;
pub mod traffic;
pub mod wire;
