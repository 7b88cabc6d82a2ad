// SPDX-License-Identifier: GPL-2.0
//! What runs in the guest, as its first and only process.

mod device;
mod mounts;
mod network;
mod page_set;
mod port;
mod serve;
mod writer;

pub use serve::run;
