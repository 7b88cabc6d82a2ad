// SPDX-License-Identifier: GPL-2.0

//! What debugfs shows: `virtio_vfio_pci_rs/<device>/`, with a file for each
//! subject. Documentation/administration.rst has the formats.

use super::{
    debugfs::{
        Dir,
        File,
        Files, //
    },
    Observer, //
};
use kernel::{
    device::Core,
    devres,
    pci,
    prelude::*,
    seq_file::SeqFile,
    sync::Arc, //
};

kernel::sync::global_lock! {
    // SAFETY: `Root::new` initialises it, and that is called before devices are bound.
    unsafe(uninit) static ROOT: Mutex<Option<Dir>> = None;
}

/// The directory of all devices.
///
/// Must be there before the driver is registered and go after it is: devices'
/// directories are in it.
pub(crate) struct Root(());

impl Root {
    /// Makes the directory.
    ///
    /// # Safety
    ///
    /// Must be called once, by the module's initialisation, before a device is bound.
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: By the requirement of this function.
        unsafe { ROOT.init() };
        *ROOT.lock() = Some(Dir::new(c"virtio_vfio_pci_rs", None));
        Self(())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let dir = ROOT.lock().take();
        drop(dir);
    }
}

/// Makes the files of a device that is being bound. They go when it is unbound.
///
/// # Errors
///
/// ENOMEM.
pub(super) fn create(pdev: &pci::Device<Core<'_>>, observer: &Arc<Observer>) -> Result {
    let dir = match &*ROOT.lock() {
        Some(root) => Dir::new(observer.name(), Some(root)),
        None => return Ok(()),
    };
    let files = Files::new(dir, observer.clone());
    files.add::<State>();
    files.add::<Stream>();
    files.add::<AdminCommands>();
    files.add::<LastError>();
    devres::register(pdev.as_ref(), files, GFP_KERNEL)
}

struct State;

impl File<Observer> for State {
    const NAME: &'static CStr = c"state";

    // Not by the state lock: this is of most use when somebody holds that for long.
    fn show(observer: &Observer, out: &SeqFile) {
        out.call_printf(format_args!("{}\n", observer.seen().state.name()));
    }
}

struct Stream;

impl File<Observer> for Stream {
    const NAME: &'static CStr = c"stream";

    fn show(observer: &Observer, out: &SeqFile) {
        out.call_printf(format_args!("{}", observer.seen().stats.stream()));
    }
}

struct AdminCommands;

impl File<Observer> for AdminCommands {
    const NAME: &'static CStr = c"admin_commands";

    fn show(observer: &Observer, out: &SeqFile) {
        out.call_printf(format_args!("{}", observer.seen().stats.commands()));
    }
}

struct LastError;

impl File<Observer> for LastError {
    const NAME: &'static CStr = c"last_error";

    fn show(observer: &Observer, out: &SeqFile) {
        match observer.seen().failure.get() {
            Some(failure) => out.call_printf(format_args!("{failure}\n")),
            None => out.call_printf(format_args!("none\n")),
        }
    }
}
