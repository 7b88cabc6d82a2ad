// SPDX-License-Identifier: GPL-2.0

//! Migration files: file operations on a [`DataFd`].

use super::{
    data_fd::DataFd,
    errno::{
        to_errno,
        to_ssize, //
    },
    stream::{
        ResumeStream,
        SaveStream, //
    }, //
};
use crate::{
    abi,
    compat::this_module, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    fs::File,
    ioctl::_IO,
    prelude::*,
    sync::{
        aref::ARef,
        poll::PollTable,
        Arc, //
    },
    types::ForeignOwnable,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
    ModuleMetadata, //
};

/// `VFIO_MIG_GET_PRECOPY_INFO`, a macro that bindgen does not see through.
const VFIO_MIG_GET_PRECOPY_INFO: u32 = _IO(abi::VFIO_TYPE as u32, abi::VFIO_BASE + 21);

/// Makes a file that reads from the stream of `fd`; its owner is module `M`.
///
/// # Errors
///
/// ENOMEM, or ENFILE when the system is out of files.
pub(super) fn save_file<M: ModuleMetadata, S: SaveStream>(
    fd: &Arc<DataFd<S>>,
) -> Result<ARef<File>> {
    open(fd, FileOps::<M, S>::SAVE, bindings::O_RDONLY)
}

/// Makes a file that writes to the stream of `fd`; its owner is module `M`.
///
/// # Errors
///
/// As [`save_file`].
pub(super) fn resume_file<M: ModuleMetadata, S: ResumeStream>(
    fd: &Arc<DataFd<S>>,
) -> Result<ARef<File>> {
    open(fd, FileOps::<M, S>::RESUME, bindings::O_WRONLY)
}

/// `ops` must be one of [`FileOps`] for the same `S`.
fn open<S: Send + Unpin + 'static>(
    fd: &Arc<DataFd<S>>,
    ops: &'static bindings::file_operations,
    flags: u32,
) -> Result<ARef<File>> {
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
    Ok(unsafe { ARef::from_raw(file.cast::<File>()) })
}

/// File operations for a stream `S`, owned by module `M`.
struct FileOps<M, S>(PhantomData<(M, S)>);

impl<M: ModuleMetadata, S: SaveStream> FileOps<M, S> {
    const SAVE: &'static bindings::file_operations = &bindings::file_operations {
        owner: this_module::<M>().as_ptr(),
        read: Some(read::<S>),
        poll: Some(poll::<S>),
        unlocked_ioctl: Some(ioctl::<S>),
        compat_ioctl: bindings::compat_ptr_ioctl,
        release: Some(release::<S>),
        ..pin_init::zeroed()
    };
}

impl<M: ModuleMetadata, S: ResumeStream> FileOps<M, S> {
    const RESUME: &'static bindings::file_operations = &bindings::file_operations {
        owner: this_module::<M>().as_ptr(),
        write: Some(write::<S>),
        release: Some(release::<S>),
        ..pin_init::zeroed()
    };
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
    to_errno(fd.precopy_info(UserPtr::from_addr(arg))) as c_long
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
