// SPDX-License-Identifier: GPL-2.0
//! What runs in the host under test: prepares it, starts the virtual machines,
//! plays the guest's peer, migrates, and judges. [`plain`] does so without migrating.

mod bench;
mod common;
mod disk;
mod disk_verdict;
mod guest;
mod kernel_log;
mod lines;
mod load;
mod migration;
mod network;
mod options;
mod outcome;
mod page_verdict;
mod patience;
mod peer;
pub mod plain;
mod plain_verdict;
mod play;
mod plot;
mod prepare;
mod render;
mod report;
pub mod scenario;
mod trace;
mod tracking;
mod traffic_verdict;
mod transfer;
pub mod two_hosts;
mod verdict;
mod virtual_iommu;
pub mod vmm;
mod way;
mod whereabouts;

pub use common::Common;
pub use options::Options;
pub use plain_verdict::verdicts as plain_verdicts;
pub use play::run;
pub use prepare::Driver;
pub use render::render;
pub use report::Report;
pub use tracking::{DirtyTracker, Tracking};
pub use verdict::{Verdict, verdicts};
