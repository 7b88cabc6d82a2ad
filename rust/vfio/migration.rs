// SPDX-License-Identifier: GPL-2.0

//! What a driver implements for migration.

use super::{
    buffered::Buffered,
    open_device::OpenDevice,
    stream::{
        ResumeStream,
        SaveStream, //
    },
    transition::{
        TransitionError,
        Watcher, //
    }, //
};
use crate::compat::EOPNOTSUPP;
use kernel::prelude::*;

/// Migration of one device: one method per transition.
///
/// The methods are called with the state lock held, so never two at a time for
/// one device, except that the streams a method returned are used by the
/// holders of their file descriptors in parallel. [`reset_prepare`](Self::reset_prepare)
/// and [`error_detected`](Self::error_detected) are called without that lock. Methods that
/// are given the device may access its registers.
///
/// The device supports `VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P`, and
/// `VFIO_MIGRATION_PRE_COPY` if [`pre_copy`](Self::pre_copy) is implemented.
///
/// # Errors
///
/// A transition that fails says by its [`TransitionError`] where that leaves the
/// device; wherever possible, where it began.
#[vtable]
pub(crate) trait Migration: Send + Sync + 'static {
    /// Outgoing stream of a session.
    type Save: SaveStream;
    /// Incoming stream of a session.
    type Resume: ResumeStream;
    /// The device file was opened: whatever a former user left behind in the
    /// device must not show. The device has just been reset, if it can be.
    ///
    /// # Errors
    ///
    /// The device is not opened.
    fn opened(&self, device: &OpenDevice) -> Result;

    /// The last user closes the device file. Its streams are gone already.
    fn closed(&self, _device: &OpenDevice) {}

    /// The last user is gone, and the device is disabled: it cannot be bus master,
    /// and its registers are out of reach.
    fn disabled(&self) {}

    /// The device was reset while it was open. Its streams are gone already.
    ///
    /// Called before any other method that has the state lock, but some time after the reset:
    /// userspace may be using the device again. So only what does no harm to that may be
    /// done here. What has to be done before the reset returns has its place in
    /// [`reset_prepare`](Self::reset_prepare) or [`Regions::reset_done`].
    ///
    /// [`Regions::reset_done`]: super::Regions::reset_done
    fn reset_done(&self, _device: &OpenDevice) {}

    /// RUNNING -> RUNNING_P2P, PRE_COPY -> PRE_COPY_P2P: the device starts no DMA
    /// any more and outstanding DMA is finished. It still answers accesses.
    fn quiesce(&self, device: &OpenDevice) -> Result<(), TransitionError>;

    /// RUNNING_P2P -> RUNNING, PRE_COPY_P2P -> PRE_COPY.
    fn unquiesce(&self, _device: &OpenDevice) -> Result<(), TransitionError> {
        Ok(())
    }

    /// RUNNING_P2P -> STOP, and the first half of PRE_COPY_P2P -> STOP_COPY: the internal
    /// state changes no more.
    fn stop(&self, _device: &OpenDevice) -> Result<(), TransitionError> {
        Ok(())
    }

    /// STOP -> RUNNING_P2P. Also undoes [`stop`](Self::stop) when
    /// [`pre_copy_done`](Self::pre_copy_done) fails.
    fn start(&self, _device: &OpenDevice) -> Result<(), TransitionError> {
        Ok(())
    }

    /// STOP -> STOP_COPY: gives the stream of the stopped device's state.
    fn save(&self, device: &OpenDevice) -> Result<Self::Save, TransitionError>;

    /// RUNNING -> PRE_COPY, RUNNING_P2P -> PRE_COPY_P2P: gives a stream that
    /// begins with the state of the device as it is, and of which more will
    /// come; it has [`SaveStream::precopy_info`].
    fn pre_copy(&self, _device: &OpenDevice) -> Result<Self::Save, TransitionError> {
        Err(TransitionError::Unchanged(EOPNOTSUPP))
    }

    /// PRE_COPY_P2P -> STOP_COPY, behind [`stop`](Self::stop): completes the stream that `pre_copy` gave with
    /// what it lacks of the stopped device's state. The stream's lock is held.
    fn pre_copy_done(
        &self,
        _device: &OpenDevice,
        _save: &mut Self::Save,
    ) -> Result<(), TransitionError> {
        Err(TransitionError::Undefined(EOPNOTSUPP))
    }

    /// STOP -> RESUMING: gives the stream that takes a state.
    fn resume(&self, device: &OpenDevice) -> Result<Self::Resume, TransitionError>;

    /// RESUMING -> STOP: the stream ends here, and the device has its state now. The
    /// stream's lock is held. A place for bytes may still be lent to somebody who is late
    /// ([`ResumeStream::place`]): such bytes do not count.
    ///
    /// # Errors
    ///
    /// [`TransitionError::Unchanged`] if more bytes can still make the stream whole;
    /// otherwise the device cannot have the state.
    fn loaded(&self, device: &OpenDevice, stream: &mut Self::Resume)
        -> Result<(), TransitionError>;

    /// Estimate of the bytes a STOP_COPY stream has (`MIG_DATA_SIZE`), in any
    /// state. `saving` is the stream of a session under way, whose lock is held.
    ///
    /// # Errors
    ///
    /// Whatever asking the device gives.
    fn data_size(&self, device: &OpenDevice, saving: Option<&mut Self::Save>) -> Result<u64>;

    /// Who watches the transitions of this device.
    fn watcher(&self) -> Option<&dyn Watcher> {
        None
    }

    /// The device is about to be reset. Runs where the reset was asked for, in parallel to
    /// any other method, whether the device is open or not. Locks of VFIO may be held that
    /// are also taken inside page faults and accesses to registers: must not wait for those.
    fn reset_prepare(&self) {}

    /// The device has a PCI error, of which `vfio-pci-core` tells userspace next. Runs as
    /// [`reset_prepare`](Self::reset_prepare) does.
    fn error_detected(&self) {}
}

/// For drivers whose devices cannot be migrated: there are no values of it.
pub(crate) enum NoMigration {}

#[vtable]
impl Migration for NoMigration {
    type Save = Buffered;
    type Resume = Self;

    fn opened(&self, _: &OpenDevice) -> Result {
        match *self {}
    }

    fn quiesce(&self, _: &OpenDevice) -> Result<(), TransitionError> {
        match *self {}
    }

    fn save(&self, _: &OpenDevice) -> Result<Buffered, TransitionError> {
        match *self {}
    }

    fn resume(&self, _: &OpenDevice) -> Result<Self, TransitionError> {
        match *self {}
    }

    fn loaded(&self, _: &OpenDevice, _: &mut Self) -> Result<(), TransitionError> {
        match *self {}
    }

    fn data_size(&self, _: &OpenDevice, _: Option<&mut Buffered>) -> Result<u64> {
        match *self {}
    }
}

impl ResumeStream for NoMigration {
    type Place = KVec<u8>;

    fn place(&mut self, _: usize) -> Result<KVec<u8>> {
        match *self {}
    }

    fn filled(&mut self, _: &OpenDevice, _: KVec<u8>, _: usize) -> Result {
        match *self {}
    }
}
