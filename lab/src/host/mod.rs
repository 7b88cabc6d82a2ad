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
mod network;
mod page_verdict;
mod patience;
mod peer;
pub mod plain;
mod plain_verdict;
mod prepare;
mod qmp;
mod render;
mod report;
mod scenario;
mod tracking;
mod traffic_verdict;
mod transfer;
pub mod two_hosts;
mod verdict;
mod virtual_iommu;
mod vm;

pub use common::Common;
pub use plain_verdict::verdicts as plain_verdicts;
pub use prepare::{DeviceType, Driver};
pub use render::render;
pub use report::Report;
pub use scenario::{Options, Scenario, run};
pub use tracking::{Teller, Tracking};
pub use verdict::{Verdict, ktap, verdicts};
pub use virtual_iommu::VirtualIommu;
