// SPDX-License-Identifier: GPL-2.0

//! Abstractions for vfio-pci variant drivers.
//!
//! A variant driver is a PCI driver that exposes its device to userspace
//! through `vfio-pci-core` and adds what the device needs beyond it. It
//! implements [`Driver`] and holds a [`PciDriver`]; what each of its devices can do
//! is said in its probe, by [`Capabilities`]. A device that can be migrated has a
//! [`Migration`], with one method per transition of the migration state machine, and
//! its two streams, [`SaveStream`] and [`ResumeStream`].
//!
//! # Examples
//!
//! A driver in outline; `samples/edu_vfio_pci_rs.rs` is a whole one, and
//! `Documentation/writing-a-driver.rst` walks through it.
//!
//! ```ignore
//! struct MyDriver;
//!
//! impl vfio::Driver for MyDriver {
//!     type Migration = MyMigration;
//!     type DmaLog = vfio::NoDmaLog;
//!     type Regions = vfio::NoRegions;
//!
//!     const NAME: &'static CStr = c"my-vfio-pci";
//!     const IDS: vfio::Ids = &ID_TABLE;
//!
//!     fn probe(pdev: &pci::Device<Core<'_>>) -> Result<vfio::Capabilities<Self>> {
//!         Ok(vfio::Capabilities {
//!             migration: Some(MyMigration),
//!             ..vfio::Capabilities::NONE // plain passthrough
//!         })
//!     }
//! }
//!
//! #[vtable]
//! impl vfio::Migration for MyMigration {
//!     type Save = vfio::Buffered;
//!     type Resume = MyLoader;
//!
//!     fn quiesce(&self, device: &vfio::OpenDevice) -> Result<(), vfio::TransitionError> {
//!         // RUNNING -> RUNNING_P2P: no DMA any more.
//!         Ok(device.write32(0, DMA_CONTROL, 0)?)
//!     }
//!
//!     fn save(&self, device: &vfio::OpenDevice) -> Result<vfio::Buffered, vfio::TransitionError> {
//!         let mut stream = vfio::Buffered::new(self.read_registers(device)?)?;
//!         stream.complete();
//!         Ok(stream)
//!     }
//!     // and the other transitions
//! }
//!
//! compat::device_table!(ID_TABLE, [
//!     vfio::OverrideId::new(0x1234, 0x5678),
//! ]);
//!
//! type MyModule = vfio::Module<MyDriver>;
//! module! {
//!     type: MyModule,
//!     // name, authors, license
//! }
//! ```
//!
//! Beyond that: [`OpenDevice`] for registers, [`Bytes`] for memory that a stream
//! shares with whoever copies it, [`Buffered`] for a state that is read at once,
//! [`Watcher`] for whoever counts or traces, and [`Regions`] for a device that is to
//! look different from what it is.
//!
//! A device may also have a [`DmaLog`]; what it is [attached](Attachment) to, the
//! [`Domain`], and its dirty bits are there for it.
//!
//! Written here once, for every driver: the walk from state to state, the lock around
//! the state and what a reset does to it, the data file descriptors and their
//! lifetime, all vtables. Nothing here knows of virtio.
//!
//! # Layers
//!
//! What a driver implements or uses comes first and imports nothing of what calls it:
//! `span`, `transition`, `open_device`, `bytes`, then `stream`, `migration`, `regions`,
//! `dma_log`, `driver`. Behind it are `data_fd`, `data_file` and `state`, the `device`
//! that has them, and as roots the functions that VFIO (`ops`) and the PCI core
//! (`pci_driver`) call.
//!
//! # Locking
//!
//! From the outside in:
//!
//! 1. `StateLock::fsm`, the migration state: held over a whole change of state.
//! 2. `DataFd::live`, a migration stream: held while it is asked for bytes or a place
//!    for some, or given them.
//! 3. VFIO's `memory_lock`, over an access to a register.
//!
//! `DataFd::io` serialises the users of one file descriptor. Bytes of a stream cross to
//! and from user memory under it and under nothing else of ours; see `data_fd`.
//!
//! A reset comes with `memory_lock` held, and takes none of these; see `StateLock`.
//!
//! C headers: `include/linux/vfio.h`, `include/linux/vfio_pci_core.h`.

mod attachment;
mod bitmap;
mod buffered;
mod bytes;
mod data_fd;
mod data_file;
mod device;
mod dma_log;
mod domain;
mod driver;
mod errno;
mod id;
mod iommu;
mod migration;
mod module;
mod open_device;
mod ops;
mod pause;
mod pci_driver;
mod regions;
mod registration;
mod reset_count;
// Has a crate of its own on the development machine, for its tests.
#[allow(unreachable_pub)]
mod span;
mod state;
mod stream;
mod transition;

pub(crate) use attachment::Attachment;
pub(crate) use bitmap::Bitmap;
pub(crate) use buffered::Buffered;
pub(crate) use bytes::{
    Bytes,
    Queue, //
};
pub(crate) use dma_log::{
    Container,
    DmaLog,
    NoDmaLog,
    Ranges, //
};
pub(crate) use domain::{
    Area,
    Domain, //
};
pub(crate) use driver::{
    Capabilities,
    Driver, //
};
pub(crate) use id::{
    Ids,
    OverrideId, //
};
pub(crate) use iommu::{
    dirty_bits_readable,
    iommu_tracks, //
};
pub(crate) use migration::{
    Migration,
    NoMigration, //
};
pub(crate) use module::Module;
pub(crate) use open_device::OpenDevice;
pub(crate) use pause::pause;
pub(crate) use pci_driver::PciDriver;
pub(crate) use regions::{
    NoRegions,
    Regions,
    BAR0,
    HEADER_LEN, //
};
pub(crate) use span::{
    merge,
    Span, //
};
pub(crate) use stream::{
    PrecopyInfo,
    ResumeStream,
    SaveStream, //
};
pub(crate) use transition::{
    State,
    Transition,
    TransitionError,
    Watcher, //
};
