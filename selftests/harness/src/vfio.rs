// SPDX-License-Identifier: GPL-2.0
//! A VFIO and iommufd client for tests.
//!
//! Calls return the kernel's own errno, and arguments may be malformed on
//! purpose; that, and dirty tracking, is what the client crates lack.

mod call;
mod device;
mod dirty;
mod dma_buf;
mod dma_log;
mod mapping;
mod migration;
mod space;
mod unwritable;

pub use device::{
    BAR0, CONFIG, Device, FEATURE_HEADER, Info, Interrupts, IrqInfo, MSIX, REQUEST, Region,
};
pub use dirty::{Bitmap, DirtyTracking};
pub use dma_log::Range;
pub use mapping::{DmaBuffer, Mapping, PAGE, Plain};
pub use migration::{DataFd, Flags, Precopy, State, errno_of};
pub use space::{Access, Space};
pub use unwritable::Unwritable;
