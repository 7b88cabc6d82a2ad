// SPDX-License-Identifier: GPL-2.0
//! Conformance of the virtio models, seen from a driver.
//!
//! The driver here is written from the specification alone: rings are built
//! byte by byte, and [`wire`] has its own copies of all constants, so that a
//! mistake in the model's does not hide itself.

mod admin;
mod blk;
mod blk_durability;
mod blk_migration;
mod choices;
mod concurrency;
mod control_queue;
mod driver;
mod faults;
mod legacy;
mod legacy_driver;
mod linking;
mod malformed;
mod net;
mod page_writer;
mod parts;
mod random_deltas;
mod random_parts;
mod random_rings;
mod rig;
mod stop;
mod switching;
mod transport;
mod varieties;
mod wire;
