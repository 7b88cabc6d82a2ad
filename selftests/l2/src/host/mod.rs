// SPDX-License-Identifier: GPL-2.0
//! What runs in the host under test: prepares it, starts the virtual machines,
//! plays the guest's peer, migrates, and judges.

mod disk;
mod disk_verdict;
mod guest;
mod lines;
mod load;
mod network;
mod peer;
mod prepare;
mod qmp;
mod render;
mod report;
mod scenario;
mod tracking;
mod verdict;
mod vm;

pub use prepare::{DeviceType, Driver};
pub use render::render;
pub use report::Report;
pub use scenario::{Options, run};
pub use tracking::{Teller, Tracking};
pub use verdict::{Verdict, verdicts};
