// SPDX-License-Identifier: GPL-2.0

//! What a migration file holds on to: a stream, as long as its session lasts.
//!
//! A stream that refused what it was given is of no use any more: whoever goes on
//! gets the same error, and its session does not end well.
//!
//! A file may outlive the session, the open device file and the driver's
//! binding. It owns nothing but a [`DataFd`]; the stream in it, with all that
//! reaches the device, is taken out by [`DataFd::revoke`] when the session
//! ends. Afterwards reads and writes give ENODEV. So they do from a reset of the
//! device on, which ends the session some time later, see `StateLock`.
//!
//! User memory is accessed with `io` held but not `live`: a fault on it may take
//! long, and may wait for VFIO's `memory_lock` (the buffer may be a mapped BAR),
//! which a stream takes to access registers. Bytes are copied straight from and to
//! memory of the stream's, which has a life of its own meanwhile.

use super::{
    open_device::OpenDevice,
    pause::pause,
    reset_count::Epoch,
    stream::{
        ResumeStream,
        SaveStream, //
    },
    transition::TransitionError, //
};
use crate::{
    abi,
    compat::ENOMSG, //
};
use kernel::{
    bindings,
    new_mutex,
    new_poll_condvar,
    prelude::*,
    sync::{
        poll::PollCondVar,
        Arc,
        Mutex, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// Bytes that are copied at a time from or to memory of which a part cannot be
/// accessed, so that what comes before that part is.
const CAUTIOUS: usize = 4096;

/// Size of `struct vfio_precopy_info`: argsz, flags, initial_bytes, dirty_bytes.
const PRECOPY_INFO_LEN: usize = size_of::<abi::vfio_precopy_info>();

/// The stream of a file.
struct Live<S> {
    stream: S,
    device: OpenDevice,
    /// What the stream refused its bytes with, if it did.
    refused: Option<Error>,
}

/// What a migration file holds on to.
#[pin_data]
pub(super) struct DataFd<S> {
    /// Serialises reads or writes.
    #[pin]
    io: Mutex<()>,
    /// `None` once revoked.
    #[pin]
    live: Mutex<Option<Live<S>>>,
    /// In which the session began; another reset ends it.
    epoch: Epoch,
    /// Who polls the file.
    #[pin]
    pub(super) pollers: PollCondVar,
}

impl<S: Send + Unpin + 'static> DataFd<S> {
    /// # Errors
    ///
    /// ENOMEM.
    ///
    /// # Safety
    ///
    /// [`revoke`](Self::revoke) must be called before the device is closed.
    pub(super) unsafe fn new(stream: S, device: &OpenDevice, epoch: Epoch) -> Result<Arc<Self>> {
        // SAFETY: `revoke` drops it, by the requirement of this function.
        let device = unsafe { device.duplicate() };
        Arc::pin_init(
            pin_init!(Self {
                io <- new_mutex!((), "vfio_data_fd_io"),
                live <- new_mutex!(
                    Some(Live {
                        stream,
                        device,
                        refused: None,
                    }),
                    "vfio_data_fd_stream"
                ),
                epoch,
                pollers <- new_poll_condvar!("vfio_data_fd_pollers"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Ends the stream: drops it, with the caller's locks held, once nobody is
    /// inside it. Users of the file get ENODEV from then on.
    pub(super) fn revoke(&self) {
        let live = self.live.lock().take();
        drop(live);
        self.wake();
    }

    /// Has pollers look again.
    pub(super) fn wake(&self) {
        self.pollers.notify_all();
    }

    fn with_live<R>(&self, f: impl FnOnce(&mut Live<S>) -> R) -> Result<R> {
        match &mut *self.live.lock() {
            Some(live) if self.epoch.is_current() => Ok(f(live)),
            _ => Err(ENODEV),
        }
    }

    /// Runs `f` on the stream.
    ///
    /// # Errors
    ///
    /// ENODEV if the session has ended.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut S, &OpenDevice) -> R) -> Result<R> {
        self.with_live(|live| f(&mut live.stream, &live.device))
    }
}

impl<S: SaveStream> DataFd<S> {
    /// Bytes for userspace.
    ///
    /// # Errors
    ///
    /// ENOMSG if there are none at the moment, ENODEV if the session has ended,
    /// EFAULT if `user` cannot be written.
    pub(super) fn read(&self, user: UserSlice) -> Result<usize> {
        let _io = self.io.lock();
        let mut writer = user.writer();
        let mut done = 0;
        let mut most = usize::MAX;
        loop {
            let chunk = match self.with(|stream, _| (stream.head(), stream.is_complete())) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                // The end for now: more comes when the device is asked, or stops.
                Ok((None, false)) if done == 0 && !writer.is_empty() => return Err(ENOMSG),
                Ok((None, _)) => break,
                Ok((Some(chunk), _)) => chunk,
            };
            if writer.is_empty() {
                break;
            }
            let count = chunk.len().min(writer.len()).min(most);
            let bytes = chunk.get(..count).ok_or(EINVAL)?;
            // Bytes leave the stream only once userspace has them.
            if writer.write_slice(bytes).is_err() {
                if count > CAUTIOUS {
                    most = CAUTIOUS;
                    continue;
                }
                if done == 0 {
                    return Err(EFAULT);
                }
                break;
            }
            self.with(|stream, _| stream.consume(count))?;
            done += count;
        }
        Ok(done)
    }

    /// `VFIO_MIG_GET_PRECOPY_INFO` with its argument at `user`. Userspace that
    /// opted in to version 2 has `flags` as output, see [`PrecopyInfo`].
    ///
    /// [`PrecopyInfo`]: super::stream::PrecopyInfo
    ///
    /// # Errors
    ///
    /// EINVAL if the argument is too short or the stream is in no pre-copy, EFAULT if
    /// it cannot be accessed, or what the stream gives.
    pub(super) fn precopy_info(&self, user: UserPtr) -> Result {
        let mut bytes = [0; PRECOPY_INFO_LEN];
        UserSlice::new(user, PRECOPY_INFO_LEN)
            .reader()
            .read_slice(&mut bytes)?;
        let [a, b, c, d, ..] = bytes;
        if u32::from_ne_bytes([a, b, c, d]) < PRECOPY_INFO_LEN as u32 {
            return Err(EINVAL);
        }
        // A file whose session is over is in none of the states that have this.
        let (info, has_flags) = self
            .with(|stream, device| (stream.precopy_info(device), device.has_precopy_info_v2()))
            .map_err(|_| EINVAL)?;
        let info = info?;
        self.wake();
        if has_flags {
            let flags = if info.reinit {
                abi::VFIO_PRECOPY_INFO_REINIT
            } else {
                0
            };
            bytes[4..8].copy_from_slice(&flags.to_ne_bytes());
        }
        bytes[8..16].copy_from_slice(&info.initial_bytes.to_ne_bytes());
        bytes[16..].copy_from_slice(&info.dirty_bytes.to_ne_bytes());
        UserSlice::new(user, PRECOPY_INFO_LEN)
            .writer()
            .write_slice(&bytes)
    }

    /// What a read would not wait for, nor end with ENOMSG. Where it gives
    /// ENODEV it does so at once, which is readable, too.
    pub(super) fn poll(&self) -> u32 {
        match self.with(|stream, _| stream.head().is_some() || stream.is_complete()) {
            Ok(true) => bindings::POLLIN | bindings::POLLRDNORM,
            Ok(false) => 0,
            Err(_) => bindings::POLLIN | bindings::POLLRDNORM | bindings::POLLERR,
        }
    }
}

impl<S: ResumeStream> DataFd<S> {
    /// The stream ends here, as far as the file is concerned: runs `f` on it.
    ///
    /// # Errors
    ///
    /// What `f` gives, or what the stream was refused with. ENODEV if the session has
    /// ended.
    pub(super) fn end(
        &self,
        f: impl FnOnce(&mut S, &OpenDevice) -> Result<(), TransitionError>,
    ) -> Result<(), TransitionError> {
        self.with_live(|live| match live.refused {
            Some(error) => Err(TransitionError::Undefined(error)),
            None => f(&mut live.stream, &live.device),
        })?
    }

    /// Runs `f` on the stream, unless it has refused something before.
    fn offer<R>(&self, f: impl FnOnce(&mut S, &OpenDevice) -> Result<R>) -> Result<R> {
        self.with_live(|live| {
            if let Some(error) = live.refused {
                return Err(error);
            }
            f(&mut live.stream, &live.device).inspect_err(|&error| live.refused = Some(error))
        })?
    }

    /// Bytes from userspace.
    ///
    /// # Errors
    ///
    /// What the stream refuses them with, even if it took earlier bytes of this
    /// call: it is dead, and who writes must not go on. EFAULT if `user` cannot be
    /// read, ENODEV if the session has ended, EINTR if the process is being killed.
    pub(super) fn write(&self, user: UserSlice) -> Result<usize> {
        let _io = self.io.lock();
        let mut reader = user.reader();
        let mut done = 0;
        let mut most = usize::MAX;
        // A write of no bytes still tells whether the stream is alive.
        self.with(|_, _| ())?;
        while !reader.is_empty() {
            // Each few bytes may be a command that the device takes its time for.
            pause()?;
            let wanted = reader.len().min(most);
            let mut place = self.offer(|stream, _| stream.place(wanted))?;
            let count = place.len().min(wanted);
            let bytes = place.get_mut(..count).ok_or(EINVAL)?;
            let read = reader.read_slice(bytes);
            let taken = if read.is_ok() { count } else { 0 };
            self.offer(|stream, device| {
                // Or this would not end.
                if count == 0 {
                    return Err(EIO);
                }
                stream.filled(device, place, taken)
            })?;
            if read.is_err() {
                if count > CAUTIOUS {
                    most = CAUTIOUS;
                    continue;
                }
                if done == 0 {
                    return Err(EFAULT);
                }
                break;
            }
            done += count;
        }
        Ok(done)
    }
}
