// SPDX-License-Identifier: GPL-2.0

//! What an administrator can see of a device: counters and the last failure in
//! debugfs, trace events, and a line in the kernel log when something failed.
//!
//! The rest of the driver tells an [`Observer`] what happens; nothing depends
//! on what becomes of it.

#[cfg(CONFIG_DEBUG_FS)]
mod debugfs;
#[cfg(CONFIG_DEBUG_FS)]
mod files;
mod trace;
mod traffic;

use crate::{
    logic::{
        cause::{
            Cause,
            Failure,
            LastFailure, //
        },
        log_limit::LogLimit,
        record::Header,
        stats::{
            Phase,
            Stats, //
        }, //
    },
    vfio, //
};
use kernel::{
    device::Core,
    fmt,
    new_spinlock,
    pci,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        SpinLock, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};

#[cfg(CONFIG_DEBUG_FS)]
pub(crate) use files::Root;
pub(crate) use traffic::Traffic;

/// Without debugfs there is nothing to hold on to.
#[cfg(not(CONFIG_DEBUG_FS))]
pub(crate) struct Root;

#[cfg(not(CONFIG_DEBUG_FS))]
impl Root {
    /// Nothing.
    ///
    /// # Safety
    ///
    /// None; as with debugfs.
    pub(crate) unsafe fn new() -> Self {
        Self
    }
}

/// What is seen of one device, from its binding on.
#[pin_data]
pub(crate) struct Observer {
    pdev: ARef<pci::Device>,
    began: Instant<Monotonic>,
    /// Innermost of all locks: nothing is called with it held.
    #[pin]
    seen: SpinLock<Seen>,
}

/// What the lock protects.
#[derive(Clone, Copy)]
struct Seen {
    state: vfio::State,
    stats: Stats,
    failure: LastFailure,
    log: LogLimit,
}

impl Observer {
    /// Begins to observe `pdev`, which is being bound: its files are there until
    /// it is unbound.
    ///
    /// # Errors
    ///
    /// ENOMEM. That there is no debugfs is no error.
    pub(crate) fn new(pdev: &pci::Device<Core<'_>>) -> Result<Arc<Self>> {
        let observer = Arc::pin_init(
            pin_init!(Self {
                pdev: pdev.into(),
                began: Instant::now(),
                seen <- new_spinlock!(
                    Seen {
                        state: vfio::State::Running,
                        stats: Stats::new(),
                        failure: LastFailure::new(),
                        log: LogLimit::new(),
                    },
                    "vvp_observer"
                ),
            }),
            GFP_KERNEL,
        )?;
        #[cfg(CONFIG_DEBUG_FS)]
        files::create(pdev, &observer)?;
        Ok(observer)
    }

    /// The device, for messages.
    pub(crate) fn device(&self) -> &pci::Device {
        &self.pdev
    }

    fn name(&self) -> &CStr {
        let device: &kernel::device::Device = (*self.pdev).as_ref();
        device.name()
    }

    #[cfg(CONFIG_DEBUG_FS)]
    fn seen(&self) -> Seen {
        *self.seen.lock()
    }

    /// Keeps a failure by `keep`, which says whether it is news, and if so writes
    /// `text` to the kernel log, within limits.
    fn fail(&self, keep: impl FnOnce(&mut LastFailure) -> bool, text: fmt::Arguments<'_>) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0);
        let allowed = {
            let mut seen = self.seen.lock();
            if keep(&mut seen.failure) {
                seen.log.allow(now)
            } else {
                None
            }
        };
        match allowed {
            Some(0) => dev_warn!(self.device(), "{text}\n"),
            Some(suppressed) => dev_warn!(
                self.device(),
                "{text} (and {suppressed} failures before it)\n"
            ),
            None => {}
        }
    }

    /// Writes `text` to the kernel log, within limits.
    pub(crate) fn warn(&self, text: fmt::Arguments<'_>) {
        self.fail(|_| true, text);
    }

    /// An admin command was given; `errno` is positive, or 0 if it succeeded.
    pub(crate) fn command(&self, opcode: u16, errno: i32, duration: Delta) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(0);
        trace::admin_command(self.name(), opcode, errno, ns);
        self.seen.lock().stats.command(opcode, errno, ns);
    }

    /// `bytes` bytes moved, and with them the rest of `records` records.
    fn moved(&self, phase: Phase, bytes: u64, records: u64) {
        self.seen.lock().stats.moved(phase, bytes, records);
    }

    /// A record moved.
    fn record(&self, phase: Phase, header: &Header) {
        trace::record(self.name(), phase, header);
    }

    /// Something is refused with `error`. Says why in the kernel log, unless it
    /// has been said, and keeps it for debugfs. Gives `error`.
    pub(crate) fn refuse(&self, cause: Cause, error: Error) -> Error {
        let failure = Failure {
            cause,
            errno: -error.to_errno(),
        };
        self.fail(|last| last.set(failure), format_args!("{failure}"));
        error
    }
}

impl vfio::Watcher for Observer {
    fn transition(&self, transition: &vfio::Transition) {
        trace::arc(self.name(), transition);
        if let Err(error) = transition.result {
            let (from, to) = (transition.from.name(), transition.to.name());
            self.fail(
                |failure| failure.set_errno(-error.to_errno()),
                format_args!("{from} -> {to} failed: {error:?}"),
            );
        }
    }

    fn entered(&self, state: vfio::State) {
        let mut seen = self.seen.lock();
        seen.state = state;
        if state == vfio::State::Running {
            seen.failure.recovered();
        }
    }
}
