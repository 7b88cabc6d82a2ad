// SPDX-License-Identifier: GPL-2.0
//! The AMD-Vi model (AMD I/O Virtualization Technology specification, 48882)
//! and the memory that devices see through it.

pub use dma::{DmaMemory, Requester, Route};

mod dma;
