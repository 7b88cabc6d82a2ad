// SPDX-License-Identifier: GPL-2.0

//! Settings of a device in sysfs: values that userspace reads and writes in the
//! device's directory, while a driver is bound to it.

use core::ptr;
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    devres,
    error::to_result,
    fmt::{
        self,
        Write, //
    },
    prelude::*,
    str::BStr,
    sync::{
        aref::ARef,
        Arc, //
    },
    types::Opaque, //
};

/// A value that userspace can read and write.
pub(crate) trait Setting: Send + Sync + 'static {
    /// Name of the file.
    const NAME: &'static CStr;

    /// The value now, in one short line without its end.
    fn get(&self) -> impl fmt::Display;

    /// Sets the value to what `text`, without space around it, says.
    ///
    /// Called without locks of ours; several writers may come at once.
    ///
    /// # Errors
    ///
    /// EINVAL or ERANGE: the value is none that can be set; it stays as it was.
    fn set(&self, text: &BStr) -> Result;
}

/// Shows `setting` in the directory of `device`, which is being bound, until it is
/// unbound.
///
/// # Errors
///
/// ENOMEM, or why sysfs does not take the file.
pub(crate) fn create<S: Setting>(device: &Device<Bound>, setting: Arc<S>) -> Result {
    let file = try_pin_init!(File {
        device: ARef::from(&**device),
        setting,
        attribute <- Opaque::try_ffi_init(|slot: *mut bindings::device_attribute| {
            // SAFETY: `slot` is valid for writes, and a zeroed attribute is a valid one.
            unsafe {
                slot.write_bytes(0, 1);
                (*slot).attr.name = S::NAME.as_char_ptr();
                (*slot).attr.mode = 0o644;
                #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
                {
                    (*slot).attr.key = kernel::static_lock_class!().as_ptr();
                }
                (*slot).__bindgen_anon_1.show = Some(show::<S>);
                (*slot).__bindgen_anon_2.store = Some(store::<S>);
            }
            // SAFETY: The device is valid. The attribute is pinned, and behind the setting that its
            // functions expect; it is removed before it is dropped.
            // INVARIANT: The file is there if this succeeds.
            to_result(unsafe { bindings::device_create_file(as_raw(device), slot) })
        }),
    }? Error);
    devres::register(device, file, GFP_KERNEL)
}

/// The file of a setting.
///
/// # Invariants
///
/// `attribute` is in the directory of `device`.
#[pin_data(PinnedDrop)]
struct File<S: Setting> {
    device: ARef<Device>,
    setting: Arc<S>,
    #[pin]
    attribute: Opaque<bindings::device_attribute>,
}

// SAFETY: sysfs may be asked to remove a file from any thread.
unsafe impl<S: Setting> Send for File<S> {}
// SAFETY: There are no methods on a shared reference.
unsafe impl<S: Setting> Sync for File<S> {}

#[pinned_drop]
impl<S: Setting> PinnedDrop for File<S> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant. This waits for who is inside the file's functions.
        unsafe { bindings::device_remove_file(as_raw(&self.device), self.attribute.get()) };
    }
}

/// `struct device` of `device`.
fn as_raw(device: &Device) -> *mut bindings::device {
    // `Device` is a transparent wrapper of an opaque `struct device`.
    ptr::from_ref(device).cast_mut().cast()
}

/// The setting of a file.
///
/// # Safety
///
/// `attribute` must be that of a `File<S>` which exists for the whole of `'a`.
unsafe fn setting_of<'a, S: Setting>(attribute: *mut bindings::device_attribute) -> &'a S {
    let attribute: *mut Opaque<bindings::device_attribute> = attribute.cast();
    // SAFETY: By the requirement of this function; `Opaque` is a transparent wrapper.
    unsafe { &(*kernel::container_of!(attribute, File<S>, attribute)).setting }
}

/// # Safety
///
/// `attribute` must be that of a `File<S>`; removing it waits for this. `buf` must be
/// the page that sysfs hands out.
unsafe extern "C" fn show<S: Setting>(
    _device: *mut bindings::device,
    attribute: *mut bindings::device_attribute,
    buf: *mut c_char,
) -> isize {
    // SAFETY: By the requirements of this function.
    let setting = unsafe { setting_of::<S>(attribute) };
    // INVARIANT: `buf` is such a page, with nothing in it.
    let mut page = Page {
        page: buf,
        length: 0,
    };
    match page.write_fmt(fmt!("{}\n", setting.get())) {
        Ok(()) => page.length as isize,
        Err(_) => EIO.to_errno() as isize,
    }
}

/// # Safety
///
/// As [`show`], and `buf` must be valid for reading `count` bytes.
unsafe extern "C" fn store<S: Setting>(
    _device: *mut bindings::device,
    attribute: *mut bindings::device_attribute,
    buf: *const c_char,
    count: usize,
) -> isize {
    // SAFETY: By the requirements of this function.
    let (setting, text) = unsafe {
        (
            setting_of::<S>(attribute),
            core::slice::from_raw_parts(buf.cast::<u8>(), count),
        )
    };
    match setting.set(BStr::from_bytes(text.trim_ascii())) {
        // sysfs gives less than a page.
        Ok(()) => count as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// A page of sysfs that is being written to.
///
/// # Invariants
///
/// `page` is the page that sysfs hands out to a `show` callback, and `length`
/// bytes of it are written.
struct Page {
    page: *mut c_char,
    length: c_int,
}

impl fmt::Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let bytes = c_int::try_from(text.len()).map_err(|_| fmt::Error)?;
        // SAFETY: By the type invariant; `text` has that many bytes, as the format wants.
        // INVARIANT: This is how much was written; it stops at the end of the page.
        self.length += unsafe {
            bindings::sysfs_emit_at(
                self.page,
                self.length,
                c"%.*s".as_char_ptr(),
                bytes,
                text.as_ptr(),
            )
        };
        Ok(())
    }
}
