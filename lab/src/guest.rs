// SPDX-License-Identifier: GPL-2.0
//! What runs in the guest, as its first and only process.

mod device;
mod disk_job;
mod mounts;
mod network;
mod page_job;
mod page_set;
mod patience;
mod port;
mod reader;
mod serve;
mod worker;
mod writer;

pub use serve::run;
