// SPDX-License-Identifier: GPL-2.0
//! A virtio-net driver in userspace, over a VFIO device, that can be carried from
//! one virtual function to another, and a peer for it to talk to.
//!
//! It is a driver of its own because no existing one fits: rcore-os'
//! `virtio-drivers` knows no MSI-X vectors and needs a newer compiler.

mod driver;
mod frame;
mod legacy;
mod page_writer;
mod peer;

pub use driver::{FRAME_LIMIT, NetDriver, RX_VECTOR, TX_VECTOR};
pub use frame::{Frame, Mac, Sequence, mac_from_text};
pub use legacy::{Io, LegacyDriver, register};
pub use page_writer::PageWriter;
pub use peer::Peer;
