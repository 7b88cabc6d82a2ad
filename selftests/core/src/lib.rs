// SPDX-License-Identifier: GPL-2.0
//! The driver's plain logic (`rust/core`), compiled for the development machine.
//!
//! The module compiles the same files; its unit tests run here, and the tests
//! in `tests/` drive it with random input.

#[path = "../../../rust/core/mod.rs"]
pub mod logic;

pub use logic::*;
