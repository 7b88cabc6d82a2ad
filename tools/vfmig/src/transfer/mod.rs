// SPDX-License-Identifier: GPL-2.0
//! Moving the state of devices: to a file, from a file, to another device.

mod engine;
mod interrupt;
pub mod migrate;
mod progress;
mod pump;
mod recover;
pub mod restore;
pub mod save;
mod tracking;
mod verify;
