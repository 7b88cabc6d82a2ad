// SPDX-License-Identifier: GPL-2.0

//! What a driver implements for migration.
//!
//! States and arcs are those of `enum vfio_device_mig_state` in
//! `include/uapi/linux/vfio.h`.

use super::{
    bars::Bars,
    state::State, //
};
use kernel::{
    prelude::*,
    time::Delta, //
};

/// Why an arc failed, and where that leaves the device.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ArcError {
    /// The device is where the arc began.
    Unchanged(Error),
    /// Nobody knows: the device goes to ERROR, which only a reset leaves.
    Undefined(Error),
}

impl ArcError {
    /// What userspace gets.
    pub(crate) fn error(&self) -> Error {
        match *self {
            Self::Unchanged(error) | Self::Undefined(error) => error,
        }
    }
}

impl From<Error> for ArcError {
    fn from(error: Error) -> Self {
        Self::Unchanged(error)
    }
}

/// An arc that was walked, or tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walked {
    /// Where it begins.
    pub(crate) from: State,
    /// Where it leads.
    pub(crate) to: State,
    /// Whether it led there.
    pub(crate) result: Result,
    /// How long it took.
    pub(crate) duration: Delta,
}

/// Migration of one device: one method per arc.
///
/// The methods are called with the state lock held, so never two at a time for
/// one device, except that the streams a method returned are used by the
/// holders of their file descriptors in parallel.
///
/// # Errors
///
/// An arc that fails says by its [`ArcError`] where that leaves the device;
/// wherever possible, where the arc began.
///
/// # Locking
///
/// Registers may be accessed in all methods but those that say otherwise, and
/// in none of a stream's: a reset waits for those with VFIO's `memory_lock`
/// held, which an access to a register takes.
///
/// The device supports `VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P`, and
/// `VFIO_MIGRATION_PRE_COPY` if [`PRE_COPY`](Self::PRE_COPY) says so.
pub(crate) trait Migration: Send + Sync + 'static {
    /// Outgoing stream of a session.
    type Save: SaveStream;
    /// Incoming stream of a session.
    type Resume: ResumeStream;

    /// Whether devices have pre-copy: if so, [`pre_copy`](Self::pre_copy),
    /// [`pre_copy_done`](Self::pre_copy_done) and [`SaveStream::precopy_info`] must be there.
    const PRE_COPY: bool = false;

    /// The device's BARs, if the driver accesses any.
    fn bars(&self) -> Option<&Bars> {
        None
    }

    /// The device file was opened: whatever a former user left behind in the
    /// device must not show. The device has just been reset.
    fn opened(&self);

    /// The last user closed the device file. Its streams are gone already.
    fn closed(&self) {}

    /// The last user is gone, and the device is disabled: it cannot be bus master.
    fn disabled(&self) {}

    /// The device was reset while it was open. Its streams are gone already.
    ///
    /// Runs where the reset was asked for, with locks of VFIO held that are
    /// also taken inside page faults and accesses to registers: neither user
    /// memory nor registers must be accessed.
    fn reset_done(&self);

    /// RUNNING -> RUNNING_P2P, PRE_COPY -> PRE_COPY_P2P: the device starts no DMA
    /// any more and outstanding DMA is finished. It still answers accesses.
    fn quiesce(&self) -> Result<(), ArcError>;

    /// RUNNING_P2P -> RUNNING, PRE_COPY_P2P -> PRE_COPY.
    fn unquiesce(&self) -> Result<(), ArcError>;

    /// RUNNING_P2P -> STOP: the internal state changes no more.
    fn stop(&self) -> Result<(), ArcError>;

    /// STOP -> RUNNING_P2P.
    fn start(&self) -> Result<(), ArcError>;

    /// STOP -> STOP_COPY: gives the stream of the stopped device's state.
    fn save(&self) -> Result<Self::Save, ArcError>;

    /// RUNNING -> PRE_COPY, RUNNING_P2P -> PRE_COPY_P2P: gives a stream that
    /// begins with the state of the device as it is, and of which more will
    /// come. If `_reinit`, userspace understands that initial data may come more
    /// than once (`VFIO_PRECOPY_INFO_REINIT`).
    fn pre_copy(&self, _reinit: bool) -> Result<Self::Save, ArcError> {
        Err(ArcError::Unchanged(EOPNOTSUPP))
    }

    /// PRE_COPY_P2P -> STOP_COPY: completes the stream that `pre_copy` gave with
    /// what it lacks of the stopped device's state. The stream's lock is held:
    /// registers must not be accessed.
    fn pre_copy_done(&self, _save: &mut Self::Save) -> Result<(), ArcError> {
        Err(ArcError::Undefined(EOPNOTSUPP))
    }

    /// STOP -> RESUMING: gives the stream that takes a state.
    fn resume(&self) -> Result<Self::Resume, ArcError>;

    /// RESUMING -> STOP, behind [`ResumeStream::finish`]: nobody writes to the
    /// stream any more, and its lock is not held.
    ///
    /// # Errors
    ///
    /// The device cannot have the state: it goes to ERROR.
    fn loaded(&self, _stream: Self::Resume) -> Result {
        Ok(())
    }

    /// Estimate of the bytes a STOP_COPY stream has (`MIG_DATA_SIZE`), in any
    /// state. `saving` is the stream of a session under way, whose lock is held:
    /// registers must not be accessed then.
    ///
    /// # Errors
    ///
    /// Whatever asking the device gives.
    fn data_size(&self, saving: Option<&mut Self::Save>) -> Result<u64>;

    /// An arc was walked, or has failed: for drivers that count or trace.
    fn walked(&self, _arc: &Walked) {}

    /// The device is in `state` now, by an arc, a failure, a reset or a new user:
    /// for drivers that show it. Called as [`reset_done`](Self::reset_done) is.
    fn entered(&self, _state: State) {}
}

/// What `VFIO_MIG_GET_PRECOPY_INFO` reports; see `struct vfio_precopy_info`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrecopyInfo {
    /// Initial bytes that have not been read, record headers included.
    pub(crate) initial_bytes: u64,
    /// Bytes of changes since that have not been read.
    pub(crate) dirty_bytes: u64,
    /// Whether initial data was put on the stream anew; `None` if userspace has
    /// not opted in to be told.
    pub(crate) reinit: Option<bool>,
}

/// The state of a device on its way out.
///
/// Methods are called with the stream's lock held, one at a time.
pub(crate) trait SaveStream: Send + Unpin + 'static {
    /// Copies the next bytes to `buf` without taking them off the stream; 0 if
    /// there are none.
    fn peek(&self, buf: &mut [u8]) -> usize;

    /// Takes `count` bytes off the stream, no more than the last
    /// [`peek`](Self::peek) gave.
    fn consume(&mut self, count: usize);

    /// Whether bytes are on the stream.
    fn has_data(&self) -> bool;

    /// Whether no more bytes will be put on the stream.
    fn is_complete(&self) -> bool;

    /// What the stream has, and, if it has nothing, what is new in the device
    /// (`VFIO_MIG_GET_PRECOPY_INFO`).
    ///
    /// # Errors
    ///
    /// EINVAL if the stream is complete, or whatever asking the device gives.
    fn precopy_info(&mut self) -> Result<PrecopyInfo> {
        Err(ENOTTY)
    }
}

/// The state of a device on its way in.
///
/// As [`SaveStream`].
pub(crate) trait ResumeStream: Send + Unpin + 'static {
    /// Takes the next bytes, all of them.
    ///
    /// # Errors
    ///
    /// The stream is refused, then and for good: its methods are not called again.
    fn write(&mut self, bytes: &[u8]) -> Result;

    /// RESUMING -> STOP: the stream ends here. The device has its state now, or
    /// by [`Migration::loaded`].
    ///
    /// # Errors
    ///
    /// [`ArcError::Unchanged`] if more bytes can still make the stream whole.
    fn finish(&mut self) -> Result<(), ArcError>;
}
