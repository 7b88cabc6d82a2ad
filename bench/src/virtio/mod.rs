// SPDX-License-Identifier: GPL-2.0
//! The virtio device models.
//!
//! A [`Machine`] is the PF and its VFs, all of one device type: behind one Ethernet
//! switch or in front of one disk. From the outside in:
//!
//! - [`machine`]: construction, threads, the [`Function`] of each device;
//! - [`world`]: everything the machine's lock protects, and work that involves
//!   several devices: notifications, switching, stop and resume;
//! - [`device`]: one function: registers, rings, device type, STOPPED mode;
//! - [`common`], [`queue`], [`chain`], [`bar`], [`page_writer`]: the transport;
//! - [`kind`]: what a device type has to supply, and the types, [`net`] and [`blk`];
//! - [`admin`] and [`parts`]: the PF's administration virtqueue, device parts;
//! - [`switch`] and [`host`]: Ethernet between the functions and the host;
//! - [`control`]: the virtio side of the control protocol;
//! - [`variety`]: what devices may have or lack;
//! - [`features`], [`bytes`]: feature bits, little-endian fields.
//!
//! # Locks
//!
//! One mutex, the machine's, protects all devices: a command on the PF stops a
//! VF, a frame leaves one device and enters another, and there is no order of
//! finer locks that suits both. Under it the model takes the locks behind
//! [`Port::with_dma`] and [`Port::interrupt`], one port at a time, never nested.
//! So whoever calls into the model (the [`Function`] methods, [`Machine`]) must
//! hold no lock that a port needs. Nothing waits under the mutex: a delayed or
//! silenced admin command is parked and completed by the worker thread. The one
//! exception is a disk image, which is as fast as the file system it lies in.
//!
//! [`Function`]: crate::function::Function
//! [`Port::with_dma`]: crate::function::Port::with_dma
//! [`Port::interrupt`]: crate::function::Port::interrupt
//! [`Machine`]: machine::Machine

pub mod machine;

mod admin;
mod bar;
pub mod blk;
mod bytes;
mod chain;
mod common;
mod control;
mod device;
mod features;
mod host;
mod kind;
pub mod link;
mod net;
mod page_writer;
mod parts;
mod queue;
mod switch;
pub mod variety;
mod world;
