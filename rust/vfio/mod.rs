// SPDX-License-Identifier: GPL-2.0

//! Abstractions for vfio-pci variant drivers.
//!
//! A variant driver is a PCI driver that exposes its device to userspace
//! through `vfio-pci-core` and adds what the device needs beyond it. It
//! implements [`Driver`] and holds a [`Registration`]; a device that can be
//! migrated gets a [`Migration`], with one method per arc of the migration
//! state machine, and its two streams, [`SaveStream`] and [`ResumeStream`].
//!
//! # Examples
//!
//! A driver in outline; `samples/edu_vfio_pci_rs.rs` is a whole one.
//!
//! ```ignore
//! struct MyDriver;
//!
//! #[vtable]
//! impl vfio::Driver for MyDriver {
//!     type Migration = MyMigration;
//!     type DmaLog = vfio::NoDmaLog;
//!     type Regions = vfio::NoRegions;
//!
//!     const NAME: &'static CStr = c"my-vfio-pci";
//!
//!     fn probe(pdev: &pci::Device<Core<'_>>) -> Result<Option<MyMigration>> {
//!         // `None`: plain passthrough.
//!         Ok(Some(MyMigration { bars: vfio::Bars::new()? }))
//!     }
//! }
//!
//! impl vfio::Migration for MyMigration {
//!     type Save = vfio::Buffered;
//!     type Resume = MyLoader;
//!
//!     fn quiesce(&self) -> Result<(), vfio::ArcError> {
//!         // RUNNING -> RUNNING_P2P: no DMA any more.
//!         Ok(self.stop_dma()?)
//!     }
//!
//!     fn save(&self) -> Result<vfio::Buffered, vfio::ArcError> {
//!         Ok(vfio::Buffered::new(self.read_registers()?))
//!     }
//!     // and the other arcs
//! }
//!
//! kernel::module_device_table!("pci", vfio::OverrideId, ID_TABLE, @none, [
//!     vfio::OverrideId::new(0x1234, 0x5678),
//! ]);
//!
//! // In the module:
//! driver <- vfio::Registration::<MyDriver>::new(c"my_vfio_pci", module, &ID_TABLE),
//! ```
//!
//! Beyond that: [`Bars`] for registers, [`Buffered`] for a state that is read at
//! once, [`Setting`] for numbers in sysfs, [`Migration::walked`] and
//! [`Migration::entered`] for whoever counts or traces, and [`Regions`] for a
//! device that is to look different from what it is.
//!
//! A device may also have a [`DmaLog`]; what it is [attached](Attachment) to, the
//! [`Domain`], and its dirty bits are there for it.
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
//! 3. `Bars::core`, over an access to a register; inside it VFIO's `memory_lock`.
//!
//! `DataFd::io` serialises the users of one file descriptor. User memory is
//! accessed under it and under nothing else of ours; see `data_fd`.
//!
//! A reset comes with `memory_lock` held and waits for streams' locks, though
//! not for the state lock, see `StateLock`. So 3 nests inside 1, and never
//! inside 2.
//!
//! C headers: `include/linux/vfio.h`, `include/linux/vfio_pci_core.h`.

mod bars;
mod buffered;
mod data_fd;
mod device;
mod dma_log;
mod domain;
mod driver;
mod migration;
mod ops;
mod regions;
mod setting;
mod state;

pub(crate) use bars::Bars;
pub(crate) use buffered::Buffered;
#[allow(unused_imports)] // Whether a driver without DMA logging is here or not.
pub(crate) use dma_log::NoDmaLog;
pub(crate) use dma_log::{
    DmaLog,
    Ranges, //
};
pub(crate) use domain::{
    dirty_bits_readable,
    iommu_tracks,
    pause,
    Area,
    Attachment,
    Bitmap,
    Domain, //
};
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
#[allow(unused_imports)] // Which drivers there are depends on the configuration.
pub(crate) use regions::{
    NoRegions,
    OpenDevice,
    Regions,
    BAR0,
    HEADER_LEN, //
};
pub(crate) use setting::{
    Setting,
    Settings, //
};
pub(crate) use state::State;
