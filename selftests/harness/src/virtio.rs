// SPDX-License-Identifier: GPL-2.0
//! What userspace drivers of all virtio device types share: where registers are,
//! how a device is brought up, and rings.

mod layout;
mod registers;
mod ring;

pub use layout::{Layout, Window, common};
pub use registers::{F_ACCESS_PLATFORM, F_VERSION_1, NO_VECTOR, Registers};
pub use ring::{Part, RING_BYTES, Ring};
