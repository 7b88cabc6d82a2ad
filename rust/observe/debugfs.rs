// SPDX-License-Identifier: GPL-2.0

//! Read-only files in debugfs.
//!
//! The kernel crate's files have no owner. When a file is closed, debugfs calls
//! `release` through the file operations, even if the file was removed long
//! before; without an owner the module, and with it the operations, may be gone
//! by then. Hence these, which pin the module while they are open.

use crate::compat::this_module;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    prelude::*,
    seq_file::SeqFile,
    sync::Arc, //
};

/// A directory; dropping it removes it with all that is in it.
///
/// # Invariants
///
/// `dentry` is an error, or a directory in debugfs that is ours.
pub(super) struct Dir {
    dentry: *mut bindings::dentry,
}

// SAFETY: debugfs takes its own locks; a directory may be used and removed by any thread.
unsafe impl Send for Dir {}

impl Dir {
    /// Makes a directory, in the root without `parent`. There is no error: with
    /// debugfs disabled, or without memory, there is nothing to see in it.
    pub(super) fn new(name: &CStr, parent: Option<&Self>) -> Self {
        let parent = parent.map_or(ptr::null_mut(), |parent| parent.dentry);
        // SAFETY: The name is a C string. The parent is none, or by its invariant a directory or
        // an error, which debugfs passes on.
        // INVARIANT: That is what `debugfs_create_dir` gives.
        let dentry = unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), parent) };
        Self { dentry }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; debugfs ignores errors. A directory in it that is of
        // another `Dir` must be dropped before, which `Root` sees to.
        unsafe { bindings::debugfs_remove(self.dentry) };
    }
}

/// A file that shows something of a `T`.
pub(super) trait File<T> {
    /// Name of the file.
    const NAME: &'static CStr;

    /// Writes the file's content.
    fn show(data: &T, out: &SeqFile);
}

/// A directory of files that show one `T`.
pub(super) struct Files<T> {
    /// Removed first, with the files in it. That waits for their readers, and
    /// lets no new ones in: from then on nobody has `data` from here.
    dir: Dir,
    data: Arc<T>,
}

impl<T: Send + Sync + 'static> Files<T> {
    /// No files yet.
    pub(super) fn new(dir: Dir, data: Arc<T>) -> Self {
        Self { dir, data }
    }

    /// Adds a file.
    pub(super) fn add<F: File<T> + 'static>(&self) {
        let data: *const T = &raw const *self.data;
        // SAFETY: The name is a C string and the directory one or an error. The file's functions
        // expect a `T`, and by the order of the fields `data` lives as long as the file can be
        // read. The file is removed with its directory.
        unsafe {
            bindings::debugfs_create_file_full(
                F::NAME.as_char_ptr(),
                0o400,
                self.dir.dentry,
                data.cast_mut().cast(),
                ptr::null(),
                Ops::<T, F>::OPS,
            )
        };
    }
}

/// File operations of `F`.
struct Ops<T, F>(PhantomData<(T, F)>);

impl<T: Sync, F: File<T>> Ops<T, F> {
    const OPS: &'static bindings::file_operations = &bindings::file_operations {
        owner: this_module::<crate::LocalModule>().as_ptr(),
        open: Some(open::<T, F>),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };
}

/// # Safety
///
/// Called by debugfs, which keeps the file from being removed meanwhile; the
/// inode's private data must be a `T`.
unsafe extern "C" fn open<T: Sync, F: File<T>>(
    inode: *mut bindings::inode,
    file: *mut bindings::file,
) -> c_int {
    // SAFETY: `show` expects what `Files::add` put into the inode.
    unsafe { bindings::single_open(file, Some(show::<T, F>), (*inode).i_private) }
}

/// # Safety
///
/// Called by `seq_read`, which debugfs calls only while it keeps the file from
/// being removed; `data` of the file must be a `T`.
unsafe extern "C" fn show<T: Sync, F: File<T>>(
    seq: *mut bindings::seq_file,
    _data: *mut c_void,
) -> c_int {
    // SAFETY: `Files::add` says that the `T` lives as long as the file can be read. `seq` is the
    // caller's alone.
    let (data, out) = unsafe { (&*(*seq).private.cast::<T>(), SeqFile::from_raw(seq)) };
    F::show(data, out);
    0
}
