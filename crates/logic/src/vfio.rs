// SPDX-License-Identifier: GPL-2.0
//! What the logic uses of the layer below it (`rust/vfio`).

#[path = "../../../rust/vfio/span.rs"]
pub mod span;

pub use span::{merge, Span};
