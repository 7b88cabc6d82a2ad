// SPDX-License-Identifier: GPL-2.0

//! What a driver implements for the two streams of a migration.
//!
//! Methods are called with the stream's lock held, one at a time. User memory is
//! not accessed then: bytes cross between userspace and a stream in memory that
//! the stream hands out, and that lives on its own account while they do.

use super::open_device::OpenDevice;
use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::prelude::*;

/// What `VFIO_MIG_GET_PRECOPY_INFO` reports; see `struct vfio_precopy_info`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrecopyInfo {
    /// Initial bytes that have not been read, record headers included.
    pub(crate) initial_bytes: u64,
    /// Bytes of changes since that have not been read.
    pub(crate) dirty_bytes: u64,
    /// Whether initial data was put on the stream anew; only where userspace has opted in
    /// to be told.
    pub(crate) reinit: bool,
}

/// The state of a device on its way out.
pub(crate) trait SaveStream: Send + Unpin + 'static {
    /// Bytes of the stream, kept alive by a reference count of their own; see
    /// [`Bytes`](super::Bytes).
    type Chunk: Deref<Target = [u8]>;

    /// The next bytes, as many as lie together, which stay on the stream. `None`
    /// if there are none now; never empty.
    fn head(&self) -> Option<Self::Chunk>;

    /// Takes `count` bytes off the stream, no more than the last
    /// [`head`](Self::head) had: userspace has them.
    fn consume(&mut self, count: usize);

    /// Whether no more bytes will be put on the stream.
    fn is_complete(&self) -> bool;

    /// What the stream has, and, if it has nothing, what is new in the device
    /// (`VFIO_MIG_GET_PRECOPY_INFO`). If userspace has
    /// [opted in](OpenDevice::has_precopy_info_v2), it understands that initial data may come
    /// more than once.
    ///
    /// # Errors
    ///
    /// EINVAL if the stream is complete, or whatever asking the device gives.
    fn precopy_info(&mut self, _device: &OpenDevice) -> Result<PrecopyInfo> {
        Err(ENOTTY)
    }
}

/// The state of a device on its way in.
///
/// After any error the stream is refused for good, and no method is called again.
pub(crate) trait ResumeStream: Send + Unpin + 'static {
    /// Memory of the stream to be filled.
    type Place: DerefMut<Target = [u8]>;

    /// Gives a place for the next bytes of the stream, not empty: `most` bytes wait
    /// to be put there, so that it need not be longer. It comes back by
    /// [`filled`](Self::filled) before another is asked for, or not at all if the stream
    /// has ended meanwhile.
    ///
    /// # Errors
    ///
    /// No more bytes are wanted.
    fn place(&mut self, most: usize) -> Result<Self::Place>;

    /// Takes the first `count` bytes of `place`, none if userspace's could not be
    /// read. What the rest contains is undefined.
    ///
    /// # Errors
    ///
    /// The bytes are refused.
    fn filled(&mut self, device: &OpenDevice, place: Self::Place, count: usize) -> Result;
}
