// SPDX-License-Identifier: GPL-2.0
//! The driver's plain logic (`rust/logic`), compiled for the development machine.
//!
//! The module compiles the same files; its unit tests run here, and the tests
//! in `tests/` drive it with random input.

#[path = "../../../rust/logic/mod.rs"]
#[allow(clippy::module_inception)]
pub mod logic;

pub mod vfio;

pub use logic::*;
pub use vfio::span;

/// CRC-32C as `logic::seal` wants it, without the inversions at either end.
pub fn crc32c(register: u32, bytes: &[u8]) -> u32 {
    !::crc32c::crc32c_append(!register, bytes)
}
