// SPDX-License-Identifier: GPL-2.0

//! Abstractions for vfio-pci variant drivers.
//!
//! A variant driver is a PCI driver that exposes its device to userspace
//! through `vfio-pci-core` and adds what the device needs beyond it. It
//! implements [`Driver`] and holds a [`Registration`]; a device that can be
//! migrated gets a [`Migration`], with one method per arc of the migration
//! state machine, and its two streams, [`SaveStream`] and [`ResumeStream`].
//!
//! Written here once, for every driver: the walk over the arcs, the lock around
//! the state and what a reset does to it, the data file descriptors and their
//! lifetime, all vtables. Nothing here knows of virtio.
//!
//! # Locking
//!
//! From the outside in:
//!
//! 1. `StateLock::fsm`, the migration state: held over a whole change of state.
//! 2. `DataFd::stream`, a migration stream: held while bytes are taken from it
//!    or given to it.
//!
//! `DataFd::io` serialises the users of one file descriptor. User memory is
//! accessed under it and under nothing else of ours; see `data_fd`.
//!
//! C headers: `include/linux/vfio.h`, `include/linux/vfio_pci_core.h`.

mod data_fd;
mod device;
mod driver;
mod migration;
mod ops;
mod setting;
mod state;

pub(crate) use driver::{
    Driver,
    OverrideId,
    Registration, //
};
pub(crate) use migration::{
    ArcError,
    Migration,
    PrecopyInfo,
    ResumeStream,
    SaveStream,
    Walked, //
};
pub(crate) use setting::{
    Setting,
    Settings, //
};
pub(crate) use state::State;
