// SPDX-License-Identifier: GPL-2.0

//! Plain logic of the driver: everything that can be decided without the kernel.
//!
//! These files use `core` and [`Span`](crate::vfio::Span) only. They are compiled into
//! the module and, on the development machine, into the crate `logic`
//! (`selftests/logic`), where they are unit-tested and property-tested.

pub mod admin_command;
pub mod admin_status;
pub mod cause;
pub mod delta;
pub mod dma_log;
pub mod features;
pub mod frames;
pub mod identity;
pub mod leaf_edges;
pub mod leftover;
pub mod legacy;
pub mod load;
pub mod load_error;
pub mod log_limit;
pub mod parts;
pub mod pieces;
pub mod precopy;
pub mod record;
pub mod seal;
pub mod stats;
