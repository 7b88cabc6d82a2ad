// SPDX-License-Identifier: GPL-2.0
//! The AMD-Vi model (AMD I/O Virtualization Technology specification, 48882)
//! and the memory that devices see through it.
//!
//! - `dma`: memory as a requester sees it;
//! - [`mod@unit`]: registers in action, commands, events, translation;
//! - `registers`, `device_table`, `page_table`, `command`, `event`: the formats;
//! - `cache`: IOTLB and device table cache;
//! - [`ivrs`]: the ACPI table.

pub use dma::{DmaMemory, Requester, Route};
pub use unit::Unit;

pub mod ivrs;
pub mod unit;

mod cache;
mod command;
mod device_table;
mod dma;
mod event;
mod page_table;
pub mod registers;
