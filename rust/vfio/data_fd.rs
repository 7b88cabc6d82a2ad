// SPDX-License-Identifier: GPL-2.0

//! The file descriptor of a migration stream.
//!
//! A stream that refused what it was given is of no use any more: whoever goes on
//! gets the same error, and its session does not end well.
//!
//! A file may outlive the session, the open device file and the driver's
//! binding. It owns nothing but a [`DataFd`]; the stream in it, with all that
//! reaches the device, is taken out by [`DataFd::revoke`] when the session
//! ends. Afterwards reads and writes give ENODEV.
//!
//! User memory is accessed with `io` held but not `stream`. A fault on it may
//! wait for VFIO's `memory_lock` (the buffer may be a mapped BAR), and a reset
//! revokes streams with `memory_lock` held: were `stream` held over the fault,
//! the two would wait for each other.

use super::migration::{
    ArcError,
    ResumeStream,
    SaveStream, //
};
use crate::abi;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    fs::File,
    ioctl::_IO,
    module::this_module,
    new_mutex,
    new_poll_condvar,
    prelude::*,
    sync::{
        aref::ARef,
        poll::{
            PollCondVar,
            PollTable, //
        },
        Arc,
        Mutex, //
    },
    types::ForeignOwnable,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
    ModuleMetadata, //
};

/// Bytes that cross between user memory and a stream at a time.
const BOUNCE_LEN: usize = 4096;

/// `VFIO_MIG_GET_PRECOPY_INFO`, a macro that bindgen does not see through.
const VFIO_MIG_GET_PRECOPY_INFO: u32 = _IO(abi::VFIO_TYPE as u32, abi::VFIO_BASE + 21);

/// Size of `struct vfio_precopy_info`: argsz, flags, initial_bytes, dirty_bytes.
const PRECOPY_INFO_LEN: usize = core::mem::size_of::<abi::vfio_precopy_info>();

/// The stream of a file.
struct Inner<S> {
    /// `None` once revoked.
    stream: Option<S>,
    /// What the stream refused its bytes with, if it did.
    refused: Option<Error>,
}

/// What a migration file holds on to.
#[pin_data]
pub(super) struct DataFd<S> {
    /// Serialises reads or writes; the buffer between user memory and the stream.
    #[pin]
    io: Mutex<KVec<u8>>,
    #[pin]
    stream: Mutex<Inner<S>>,
    /// Who polls the file.
    #[pin]
    pollers: PollCondVar,
}

impl<S: Send + Unpin + 'static> DataFd<S> {
    fn new(stream: S) -> Result<Arc<Self>> {
        let bounce = KVec::zeroed(BOUNCE_LEN, GFP_KERNEL_ACCOUNT)?;
        Arc::pin_init(
            pin_init!(Self {
                io <- new_mutex!(bounce, "vfio_data_fd_io"),
                stream <- new_mutex!(
                    Inner {
                        stream: Some(stream),
                        refused: None,
                    },
                    "vfio_data_fd_stream"
                ),
                pollers <- new_poll_condvar!("vfio_data_fd_pollers"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Ends the stream: drops it, with the caller's locks held, once nobody is
    /// inside it. Users of the file get ENODEV from then on.
    pub(super) fn revoke(&self) {
        let stream = self.stream.lock().stream.take();
        drop(stream);
        self.wake();
    }

    /// Has pollers look again.
    pub(super) fn wake(&self) {
        self.pollers.notify_all();
    }

    /// Runs `f` on the stream.
    ///
    /// # Errors
    ///
    /// ENODEV if the stream was revoked.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut S) -> R) -> Result<R> {
        match &mut self.stream.lock().stream {
            Some(stream) => Ok(f(stream)),
            None => Err(ENODEV),
        }
    }
}

impl<S: SaveStream> DataFd<S> {
    fn read(&self, user: UserSlice) -> Result<usize> {
        let mut bounce = self.io.lock();
        let mut writer = user.writer();
        let mut done = 0;
        loop {
            let len = writer.len().min(BOUNCE_LEN);
            let buf = bounce.get_mut(..len).ok_or(EINVAL)?;
            let count = match self.with(|stream| (stream.peek(buf), stream.is_complete())) {
                // The end for now: more comes when the device is asked, or stops.
                Ok((0, false)) if done == 0 && len > 0 => return Err(ENOMSG),
                Ok((0, _)) => break,
                Ok((count, _)) => count.min(len),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            };
            // Bytes leave the stream only once userspace has them.
            if writer.write_slice(buf.get(..count).ok_or(EINVAL)?).is_err() {
                if done == 0 {
                    return Err(EFAULT);
                }
                break;
            }
            if self.with(|stream| stream.consume(count)).is_err() {
                return Err(ENODEV);
            }
            done += count;
        }
        Ok(done)
    }
}

impl<S: SaveStream> DataFd<S> {
    /// `VFIO_MIG_GET_PRECOPY_INFO` with its argument at `user`. Userspace that
    /// opted in to version 2 has `flags` as output, see [`super::migration`].
    fn precopy_info(&self, user: UserPtr) -> Result {
        let mut bytes = [0; PRECOPY_INFO_LEN];
        UserSlice::new(user, PRECOPY_INFO_LEN)
            .reader()
            .read_slice(&mut bytes)?;
        let [a, b, c, d, ..] = bytes;
        if u32::from_ne_bytes([a, b, c, d]) < PRECOPY_INFO_LEN as u32 {
            return Err(EINVAL);
        }
        // A file whose session is over is in none of the states that have this.
        let info = self
            .with(SaveStream::precopy_info)
            .map_err(|_| EINVAL)??;
        self.wake();
        if let Some(reinit) = info.reinit {
            let flags = if reinit {
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
    fn poll(&self) -> u32 {
        match self.with(|stream| stream.has_data() || stream.is_complete()) {
            Ok(true) => bindings::POLLIN | bindings::POLLRDNORM,
            Ok(false) => 0,
            Err(_) => bindings::POLLIN | bindings::POLLRDNORM | bindings::POLLERR,
        }
    }
}

impl<S: ResumeStream> DataFd<S> {
    /// The stream ends here: takes it out, as [`revoke`](Self::revoke) does, if
    /// it agrees.
    ///
    /// # Errors
    ///
    /// What [`ResumeStream::finish`] gives, or what it was refused with; the stream
    /// stays. ENODEV if it was revoked.
    pub(super) fn finish(&self) -> Result<S, ArcError> {
        let mut guard = self.stream.lock();
        let inner: &mut Inner<S> = &mut guard;
        if let Some(error) = inner.refused {
            return Err(ArcError::Undefined(error));
        }
        inner.stream.as_mut().ok_or(ENODEV)?.finish()?;
        Ok(inner.stream.take().ok_or(ENODEV)?)
    }

    /// Gives the stream bytes, unless it has refused some before.
    fn take(&self, bytes: &[u8]) -> Result {
        let mut guard = self.stream.lock();
        let inner: &mut Inner<S> = &mut guard;
        let stream = inner.stream.as_mut().ok_or(ENODEV)?;
        if let Some(error) = inner.refused {
            return Err(error);
        }
        stream
            .write(bytes)
            .inspect_err(|&error| inner.refused = Some(error))
    }

    fn write(&self, user: UserSlice) -> Result<usize> {
        let mut bounce = self.io.lock();
        let mut reader = user.reader();
        let mut done = 0;
        // A write of no bytes still tells whether the stream is alive.
        self.with(|_| ())?;
        while !reader.is_empty() {
            let len = reader.len().min(BOUNCE_LEN);
            let buf = bounce.get_mut(..len).ok_or(EINVAL)?;
            if reader.read_slice(buf).is_err() {
                if done == 0 {
                    return Err(EFAULT);
                }
                break;
            }
            // A refusal is reported even if earlier bytes of this call were
            // taken: the stream is dead, and its writer must not go on.
            self.take(buf)?;
            done += len;
        }
        Ok(done)
    }
}

/// Makes a file that reads from `stream`; the file's owner is module `M`.
///
/// # Errors
///
/// ENOMEM, or ENFILE when the system is out of files.
pub(super) fn save_file<M: ModuleMetadata, S: SaveStream>(
    stream: S,
) -> Result<(Arc<DataFd<S>>, ARef<File>)> {
    open(stream, &FileOps::<M, S>::SAVE, bindings::O_RDONLY)
}

/// Makes a file that writes to `stream`; the file's owner is module `M`.
///
/// # Errors
///
/// As [`save_file`].
pub(super) fn resume_file<M: ModuleMetadata, S: ResumeStream>(
    stream: S,
) -> Result<(Arc<DataFd<S>>, ARef<File>)> {
    open(stream, &FileOps::<M, S>::RESUME, bindings::O_WRONLY)
}

/// `ops` must be one of [`FileOps`] for the same `S`.
fn open<S: Send + Unpin + 'static>(
    stream: S,
    ops: &'static bindings::file_operations,
    flags: u32,
) -> Result<(Arc<DataFd<S>>, ARef<File>)> {
    let fd = DataFd::new(stream)?;
    let private = fd.clone().into_foreign();
    // SAFETY: The name is nul-terminated, `ops` lives as long as the module, which the file pins
    // through `ops.owner`, and `private` is what the functions of `ops` expect.
    let file = unsafe {
        abi::anon_inode_getfile(
            c"[vfio-migration]".as_char_ptr(),
            ops,
            private.cast(),
            flags as c_int,
        )
    };
    let file = from_err_ptr(file).inspect_err(|_| {
        // SAFETY: `private` comes from `into_foreign` above, and no file took it over.
        drop(unsafe { Arc::<DataFd<S>>::from_foreign(private) });
    })?;
    // A stream has no position.
    // SAFETY: `file` is a new file, not shared yet; `stream_open` does not use the inode.
    unsafe { bindings::stream_open((*file).f_inode, file) };
    let file = NonNull::new(file).ok_or(ENOMEM)?;
    // SAFETY: The reference that `anon_inode_getfile` returned is handed over; `File` is a
    // transparent wrapper of `struct file`. No `fdget_pos` is under way: there is no descriptor yet.
    let file = unsafe { ARef::from_raw(file.cast::<File>()) };
    Ok((fd, file))
}

/// File operations for a stream `S`, owned by module `M`.
struct FileOps<M, S>(PhantomData<(M, S)>);

impl<M: ModuleMetadata, S: SaveStream> FileOps<M, S> {
    const SAVE: bindings::file_operations = bindings::file_operations {
        owner: this_module::<M>().as_ptr(),
        read: Some(read::<S>),
        poll: Some(poll::<S>),
        unlocked_ioctl: Some(ioctl::<S>),
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: Some(bindings::compat_ptr_ioctl),
        release: Some(release::<S>),
        ..pin_init::zeroed()
    };
}

impl<M: ModuleMetadata, S: ResumeStream> FileOps<M, S> {
    const RESUME: bindings::file_operations = bindings::file_operations {
        owner: this_module::<M>().as_ptr(),
        write: Some(write::<S>),
        release: Some(release::<S>),
        ..pin_init::zeroed()
    };
}

fn to_ssize(result: Result<usize>) -> isize {
    match result {
        // The VFS limits a transfer to MAX_RW_COUNT, below `isize::MAX`.
        Ok(count) => count as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// # Safety
///
/// `file` must be a live file made by [`open`] for `S`, and `buf` a user address.
unsafe extern "C" fn read<S: SaveStream>(
    file: *mut bindings::file,
    buf: *mut c_char,
    count: usize,
    _pos: *mut bindings::loff_t,
) -> isize {
    // SAFETY: `open` put an `Arc<DataFd<S>>` there, which stays until `release`, and the VFS does
    // not call `release` while a read runs.
    let fd = unsafe { Arc::<DataFd<S>>::borrow((*file).private_data) };
    to_ssize(fd.read(UserSlice::new(UserPtr::from_ptr(buf.cast()), count)))
}

/// # Safety
///
/// As [`read`].
unsafe extern "C" fn write<S: ResumeStream>(
    file: *mut bindings::file,
    buf: *const c_char,
    count: usize,
    _pos: *mut bindings::loff_t,
) -> isize {
    // SAFETY: As in `read`.
    let fd = unsafe { Arc::<DataFd<S>>::borrow((*file).private_data) };
    to_ssize(fd.write(UserSlice::new(
        UserPtr::from_ptr(buf.cast_mut().cast()),
        count,
    )))
}

/// # Safety
///
/// `file` must be a live file made by [`open`] for `S`, and `table` null or a valid poll table.
unsafe extern "C" fn poll<S: SaveStream>(
    file: *mut bindings::file,
    table: *mut bindings::poll_table,
) -> bindings::__poll_t {
    // SAFETY: As in `read`.
    let fd = unsafe { Arc::<DataFd<S>>::borrow((*file).private_data) };
    // SAFETY: By the requirements of this function. There is no `fdget_pos` in poll.
    let (file, table) = unsafe { (File::from_raw_file(file), PollTable::from_raw(table)) };
    table.register_wait(file, &fd.pollers);
    fd.poll()
}

/// # Safety
///
/// `file` must be a live file made by [`open`] for `S`.
unsafe extern "C" fn ioctl<S: SaveStream>(
    file: *mut bindings::file,
    cmd: c_uint,
    arg: c_ulong,
) -> c_long {
    // SAFETY: As in `read`.
    let fd = unsafe { Arc::<DataFd<S>>::borrow((*file).private_data) };
    if cmd != VFIO_MIG_GET_PRECOPY_INFO {
        return ENOTTY.to_errno() as c_long;
    }
    match fd.precopy_info(UserPtr::from_addr(arg)) {
        Ok(()) => 0,
        Err(error) => error.to_errno() as c_long,
    }
}

/// # Safety
///
/// `file` must be a file made by [`open`] for `S`; nobody uses it afterwards.
unsafe extern "C" fn release<S: Send + Unpin + 'static>(
    _inode: *mut bindings::inode,
    file: *mut bindings::file,
) -> c_int {
    // SAFETY: The pointer comes from `into_foreign` in `open` and is given back once, here.
    drop(unsafe { Arc::<DataFd<S>>::from_foreign((*file).private_data) });
    0
}
