// SPDX-License-Identifier: GPL-2.0

//! The migration state of a device, its lock, and the walk over the arcs.

use super::{
    data_fd::{
        self,
        DataFd, //
    },
    migration::{
        ArcError,
        Migration,
        Walked, //
    }, //
};
use crate::abi;
use kernel::{
    error::to_result,
    fs::File,
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        barrier::smp_mb,
        Arc,
        Mutex, //
    },
    time::{
        Instant,
        Monotonic, //
    },
    ModuleMetadata, //
};

/// A migration state: one of `enum vfio_device_mig_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub(crate) enum State {
    Error = abi::vfio_device_mig_state_VFIO_DEVICE_STATE_ERROR,
    Stop = abi::vfio_device_mig_state_VFIO_DEVICE_STATE_STOP,
    Running = abi::vfio_device_mig_state_VFIO_DEVICE_STATE_RUNNING,
    StopCopy = abi::vfio_device_mig_state_VFIO_DEVICE_STATE_STOP_COPY,
    Resuming = abi::vfio_device_mig_state_VFIO_DEVICE_STATE_RESUMING,
    RunningP2p = abi::vfio_device_mig_state_VFIO_DEVICE_STATE_RUNNING_P2P,
    PreCopy = abi::vfio_device_mig_state_VFIO_DEVICE_STATE_PRE_COPY,
    PreCopyP2p = abi::vfio_device_mig_state_VFIO_DEVICE_STATE_PRE_COPY_P2P,
}

impl State {
    /// The name of the state in the uAPI header, without its prefix.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Stop => "STOP",
            Self::Running => "RUNNING",
            Self::StopCopy => "STOP_COPY",
            Self::Resuming => "RESUMING",
            Self::RunningP2p => "RUNNING_P2P",
            Self::PreCopy => "PRE_COPY",
            Self::PreCopyP2p => "PRE_COPY_P2P",
        }
    }

    /// The state's number in the uAPI header.
    pub(crate) fn as_raw(self) -> abi::vfio_device_mig_state {
        self as abi::vfio_device_mig_state
    }

    fn from_raw(raw: abi::vfio_device_mig_state) -> Result<Self> {
        [
            Self::Error,
            Self::Stop,
            Self::Running,
            Self::StopCopy,
            Self::Resuming,
            Self::RunningP2p,
            Self::PreCopy,
            Self::PreCopyP2p,
        ]
        .into_iter()
        .find(|&state| state.as_raw() == raw)
        .ok_or(EINVAL)
    }
}

/// State and sessions; everything that the lock protects.
struct Fsm<M: Migration> {
    state: State,
    /// Is `Some` in PRE_COPY, PRE_COPY_P2P and STOP_COPY.
    saving: Option<Arc<DataFd<M::Save>>>,
    /// Is `Some` in RESUMING.
    resuming: Option<Arc<DataFd<M::Resume>>>,
}

impl<M: Migration> Fsm<M> {
    fn end_sessions(&mut self) {
        if let Some(fd) = self.saving.take() {
            fd.revoke();
        }
        if let Some(fd) = self.resuming.take() {
            fd.revoke();
        }
    }
}

/// A device's migration state behind its lock.
///
/// # Resets
///
/// A reset is reported by [`reset_done`](Self::reset_done) from a context that
/// holds VFIO's `memory_lock`, which nests inside the mmap lock, which user
/// accesses under our locks may take: it must not wait for the lock. It leaves
/// a mark and tries the lock. Whoever holds the lock acts on the mark, first
/// thing after taking the lock and last thing before releasing it, and looks
/// once more after the release. So a state from before a reset is never seen
/// after it, and no mark stays behind.
#[pin_data]
pub(super) struct StateLock<M: Migration> {
    #[pin]
    fsm: Mutex<Fsm<M>>,
    reset_pending: Atomic<bool>,
    migration: M,
}

impl<M: Migration> StateLock<M> {
    pub(super) fn new(migration: M) -> impl PinInit<Self> {
        pin_init!(Self {
            fsm <- new_mutex!(
                Fsm {
                    state: State::Running,
                    saving: None,
                    resuming: None,
                },
                "vfio_migration_state"
            ),
            reset_pending: Atomic::new(false),
            migration,
        })
    }

    /// The driver's part, which needs no lock.
    pub(super) fn migration(&self) -> &M {
        &self.migration
    }

    /// Runs `f` with the lock held.
    fn with<R>(&self, f: impl FnOnce(&mut Fsm<M>) -> R) -> R {
        let mut fsm = self.fsm.lock();
        self.observe_reset(&mut fsm);
        let result = f(&mut fsm);
        self.observe_reset(&mut fsm);
        drop(fsm);
        self.observe_reset_unlocked();
        result
    }

    fn observe_reset(&self, fsm: &mut Fsm<M>) {
        if self.reset_pending.xchg(false, Full) {
            fsm.end_sessions();
            self.enter(fsm, State::Running);
            self.migration.reset_done();
        }
    }

    fn enter(&self, fsm: &mut Fsm<M>, state: State) {
        fsm.state = state;
        self.migration.entered(state);
    }

    /// Acts on a reset that nobody with the lock held has seen.
    fn observe_reset_unlocked(&self) {
        loop {
            // Orders the release of the lock, or the mark set by `reset_done`, before the load of
            // the mark: either we see a mark set while we held the lock, or its setter sees the
            // lock free.
            smp_mb(Full);
            if !self.reset_pending.load(Relaxed) {
                return;
            }
            // If it is taken, its holder looks at the mark after releasing it.
            let Some(mut fsm) = self.fsm.try_lock() else {
                return;
            };
            self.observe_reset(&mut fsm);
        }
    }

    /// The device was reset: it is RUNNING, and its sessions are gone.
    pub(super) fn reset_done(&self) {
        self.reset_pending.store(true, Relaxed);
        self.observe_reset_unlocked();
    }

    /// The first user opened the device.
    pub(super) fn open(&self) {
        self.with(|fsm| {
            fsm.end_sessions();
            self.enter(fsm, State::Running);
            self.migration.opened();
        });
    }

    /// The last user closed the device.
    pub(super) fn close(&self) {
        self.with(|fsm| {
            fsm.end_sessions();
            self.migration.closed();
        });
    }

    /// The device was closed and disabled.
    pub(super) fn disabled(&self) {
        self.with(|_| self.migration.disabled());
    }

    pub(super) fn get(&self) -> abi::vfio_device_mig_state {
        self.with(|fsm| fsm.state.as_raw())
    }

    pub(super) fn data_size(&self) -> Result<u64> {
        self.with(|fsm| match &fsm.saving {
            Some(fd) => fd.with(|save| self.migration.data_size(Some(save)))?,
            None => self.migration.data_size(None),
        })
    }

    /// Takes the device to state `target`, arc by arc, and gives the data file
    /// of the session if the last arc began one. The file's owner is module `O`.
    ///
    /// # Errors
    ///
    /// EINVAL if there is no way from here to `target`, otherwise what the arc
    /// that failed gave. The device is then in the state that arc began in, or
    /// in ERROR.
    ///
    /// # Safety
    ///
    /// `device` must be a valid registered device, with the migration flags of
    /// this layer.
    pub(super) unsafe fn set<O: ModuleMetadata>(
        &self,
        device: *mut abi::vfio_device,
        target: abi::vfio_device_mig_state,
    ) -> Result<Option<ARef<File>>> {
        // SAFETY: `device` is valid by the requirements of this function. Another thread may be
        // opting in at this moment, without a lock; either answer will do then, and a volatile
        // read of a byte has one.
        let reinit = unsafe { (&raw const (*device).precopy_info_v2).read_volatile() } != 0;
        self.with(|fsm| {
            let mut file = None;
            while fsm.state.as_raw() != target {
                // No arc leaves ERROR, and asking for one is a warning in the kernel log.
                if fsm.state == State::Error {
                    return Err(EINVAL);
                }
                // There is no way back into the session. Asked for one, `vfio_mig_get_next_state`
                // of kernels before June 2026 does not return.
                if fsm.state == State::StopCopy
                    && [State::PreCopy, State::PreCopyP2p].map(State::as_raw).contains(&target)
                {
                    return Err(EINVAL);
                }
                let mut next = 0;
                // SAFETY: `device` is valid by the requirements of this function; the current
                // state is one its flags allow, since `State` has no other but ERROR.
                to_result(unsafe {
                    abi::vfio_mig_get_next_state(device, fsm.state.as_raw(), target, &mut next)
                })?;
                let next = State::from_raw(next)?;
                let start = Instant::<Monotonic>::now();
                let stepped = self.step::<O>(fsm, next, reinit);
                self.migration.walked(&Walked {
                    from: fsm.state,
                    to: next,
                    result: stepped.as_ref().map(drop).map_err(ArcError::error),
                    duration: start.elapsed(),
                });
                match stepped {
                    Ok(new_file) => {
                        self.enter(fsm, next);
                        file = new_file;
                    }
                    Err(ArcError::Unchanged(error)) => return Err(error),
                    Err(ArcError::Undefined(error)) => {
                        fsm.end_sessions();
                        self.enter(fsm, State::Error);
                        return Err(error);
                    }
                }
            }
            Ok(file)
        })
    }

    /// One arc.
    fn step<O: ModuleMetadata>(
        &self,
        fsm: &mut Fsm<M>,
        next: State,
        reinit: bool,
    ) -> Result<Option<ARef<File>>, ArcError> {
        match (fsm.state, next) {
            (State::Running, State::RunningP2p) | (State::PreCopy, State::PreCopyP2p) => {
                self.migration.quiesce()?;
            }
            (State::RunningP2p, State::Running) | (State::PreCopyP2p, State::PreCopy) => {
                self.migration.unquiesce()?;
            }
            (State::RunningP2p, State::Stop) => self.migration.stop()?,
            (State::Stop, State::RunningP2p) => self.migration.start()?,
            (State::Stop, State::StopCopy) => {
                let (fd, file) = data_fd::save_file::<O, _>(self.migration.save()?)?;
                fsm.saving = Some(fd);
                return Ok(Some(file));
            }
            (State::Stop, State::Resuming) => {
                let (fd, file) = data_fd::resume_file::<O, _>(self.migration.resume()?)?;
                fsm.resuming = Some(fd);
                return Ok(Some(file));
            }
            (State::Running, State::PreCopy) | (State::RunningP2p, State::PreCopyP2p) => {
                let stream = self.migration.pre_copy(reinit)?;
                let (fd, file) = data_fd::save_file::<O, _>(stream)?;
                fsm.saving = Some(fd);
                return Ok(Some(file));
            }
            (State::PreCopyP2p, State::StopCopy) => {
                let fd = fsm.saving.as_ref().ok_or(ArcError::Undefined(EIO))?;
                fd.with(|save| self.migration.pre_copy_done(save))??;
                fd.wake();
            }
            (State::StopCopy, State::Stop)
            | (State::PreCopy, State::Running)
            | (State::PreCopyP2p, State::RunningP2p) => fsm.end_sessions(),
            (State::Resuming, State::Stop) => {
                let fd = fsm.resuming.as_ref().ok_or(ArcError::Undefined(EIO))?;
                let stream = fd.finish()?;
                fsm.end_sessions();
                self.migration.loaded(stream).map_err(ArcError::Undefined)?;
            }
            // `vfio_mig_get_next_state` gives no other arcs for our flags.
            _ => return Err(ArcError::Unchanged(EINVAL)),
        }
        Ok(None)
    }
}
