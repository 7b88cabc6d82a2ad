// SPDX-License-Identifier: GPL-2.0
//! The runner: starts the bench and L1 (the virtual machine that plays the host
//! under test), runs a job in it, and sums up what all the tests said.
//!
//! It runs inside the toolroot, where QEMU, the test kernel and the built
//! programs are.

pub mod bench;
pub mod benchmark;
pub mod check;
pub mod console;
pub mod count;
pub mod demo;
pub mod docs;
mod expected;
pub mod follow;
pub mod interrupt;
pub mod kernel;
pub mod ktap;
pub mod l1;
pub mod libtest;
pub mod matrix;
pub mod native;
pub mod nested;
pub mod paths;
pub mod progress;
pub mod proof;
pub mod qemu;
mod results;
pub mod rundir;
pub mod setup;
pub mod shell;
pub mod stage;
mod stages;
mod subject;
pub mod two_hosts;
