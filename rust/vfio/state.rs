// SPDX-License-Identifier: GPL-2.0

//! The migration state of a device, its lock, and the walk from state to state.

use super::{
    data_fd::DataFd,
    data_file::{
        resume_file,
        save_file, //
    },
    migration::Migration,
    open_device::OpenDevice,
    reset_count::{
        Epoch,
        ResetCount, //
    },
    transition::{
        State,
        Transition,
        TransitionError,
        Watcher, //
    }, //
};
use crate::{
    abi,
    compat::Owner, //
};
use kernel::{
    bindings,
    error::to_result,
    fs::File,
    impl_has_work,
    new_mutex,
    new_work,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    },
    time::{
        Instant,
        Monotonic, //
    },
    workqueue::{
        self,
        Work,
        WorkItem, //
    }, //
};

/// State and sessions; everything that the lock protects.
struct Fsm<M: Migration> {
    state: State,
    /// Is `Some` while the device is open.
    device: Option<OpenDevice>,
    /// Since the last reset that was acted upon.
    epoch: Epoch,
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

    fn device(&self) -> Result<&OpenDevice> {
        self.device.as_ref().ok_or(ENODEV)
    }
}

/// A device's migration state behind its lock.
///
/// # Resets
///
/// A reset is reported by [`reset_done`](Self::reset_done) from a context that
/// holds VFIO's `memory_lock`, for which a vCPU waits that accesses the device: it
/// must not wait for the lock, for a stream, or for the device. So it counts the
/// reset, from which moment on all files of the session are dead, and leaves the
/// rest to a work item: to end the session, to tell the driver, to be RUNNING.
/// Whoever takes the lock before the work item has done so does it first, so that a
/// state from before a reset is never seen after it.
#[pin_data]
pub(super) struct StateLock<M: Migration> {
    #[pin]
    fsm: Mutex<Fsm<M>>,
    resets: ResetCount,
    #[pin]
    after_reset: Work<StateLock<M>>,
    migration: M,
}

impl_has_work! {
    impl{M: Migration} HasWork<StateLock<M>> for StateLock<M> { self.after_reset }
}

impl<M: Migration> WorkItem for StateLock<M> {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.with(|_| ());
    }
}

impl<M: Migration> StateLock<M> {
    /// A device that is closed.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(super) fn new(migration: M) -> Result<Arc<Self>> {
        let resets = ResetCount::new()?;
        let epoch = resets.epoch();
        Arc::pin_init(
            pin_init!(Self {
                fsm <- new_mutex!(
                    Fsm {
                        state: State::Running,
                        device: None,
                        epoch,
                        saving: None,
                        resuming: None,
                    },
                    "vfio_migration_state"
                ),
                resets,
                after_reset <- new_work!("vfio_after_reset"),
                migration,
            }),
            GFP_KERNEL,
        )
    }

    /// The driver's part, which needs no lock.
    pub(super) fn migration(&self) -> &M {
        &self.migration
    }

    /// Runs `f` with the lock held.
    fn with<R>(&self, f: impl FnOnce(&mut Fsm<M>) -> R) -> R {
        let mut fsm = self.fsm.lock();
        self.observe_reset(&mut fsm);
        f(&mut fsm)
    }

    fn observe_reset(&self, fsm: &mut Fsm<M>) {
        if fsm.epoch.is_current() {
            return;
        }
        fsm.end_sessions();
        fsm.epoch = self.resets.epoch();
        self.enter(fsm, State::Running);
        // Whoever opens a device has it prepared.
        if let Some(device) = &fsm.device {
            self.migration.reset_done(device);
        }
    }

    fn enter(&self, fsm: &mut Fsm<M>, state: State) {
        fsm.state = state;
        if let Some(watcher) = self.migration.watcher() {
            watcher.entered(state);
        }
    }

    /// The device was reset: it is RUNNING, and its sessions are over.
    pub(super) fn reset_done(self: &Arc<Self>) {
        self.resets.add();
        // If it is queued already, it has not begun, and will see this reset, too.
        let _ = workqueue::system_unbound().enqueue(self.clone());
    }

    /// Waits until nothing is left of resets. None may come any more.
    pub(super) fn settle(&self) {
        // SAFETY: The work item is initialised and pinned with `self`.
        unsafe { bindings::flush_work(Work::raw_get(&self.after_reset)) };
    }

    /// The first user opens the device.
    ///
    /// # Errors
    ///
    /// What the driver gives; the device stays closed.
    ///
    /// # Safety
    ///
    /// Unless this fails, [`close`](Self::close) must be called before the device is closed.
    pub(super) unsafe fn open(&self, device: &OpenDevice) -> Result {
        self.with(|fsm| {
            fsm.end_sessions();
            self.enter(fsm, State::Running);
            self.migration.opened(device)?;
            // SAFETY: `close` drops it, by the requirement of this function.
            fsm.device = Some(unsafe { device.duplicate() });
            Ok(())
        })
    }

    /// The last user closes the device.
    pub(super) fn close(&self) {
        self.with(|fsm| {
            fsm.end_sessions();
            if let Some(device) = fsm.device.take() {
                self.migration.closed(&device);
            }
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
        self.with(|fsm| {
            if let Some(fd) = &fsm.saving {
                let of_session =
                    fd.with(|save, device| self.migration.data_size(device, Some(save)));
                if let Ok(size) = of_session {
                    return size;
                }
                // Reset since the lock was taken. The question has an answer all the same.
                self.observe_reset(fsm);
            }
            self.migration.data_size(fsm.device()?, None)
        })
    }

    /// Takes the device to state `target`, transition by transition, and gives the
    /// data file of the session if the last one began one.
    ///
    /// # Errors
    ///
    /// EINVAL if there is no way from here to `target`, otherwise what the
    /// transition that failed gave. The device is then in the state that it began
    /// in, or in ERROR. ENODEV if it was reset meanwhile.
    ///
    /// # Safety
    ///
    /// `device` must be a valid registered device, with the migration flags of
    /// this layer.
    pub(super) unsafe fn set(
        &self,
        device: *mut abi::vfio_device,
        target: abi::vfio_device_mig_state,
    ) -> Result<Option<ARef<File>>> {
        // Nobody may ask for it, not even where the device is.
        if target == State::Error.as_raw() {
            return Err(EINVAL);
        }
        self.with(|fsm| {
            let mut file = None;
            while fsm.state.as_raw() != target {
                // Reset meanwhile: whoever takes the lock next acts on that.
                if !fsm.epoch.is_current() {
                    return Err(ENODEV);
                }
                // Nothing leaves ERROR, and asking for it is a warning in the kernel log.
                if fsm.state == State::Error {
                    return Err(EINVAL);
                }
                // There is no way back into the session. Asked for one, `vfio_mig_get_next_state`
                // of kernels before June 2026 does not return.
                if fsm.state == State::StopCopy
                    && [State::PreCopy, State::PreCopyP2p]
                        .map(State::as_raw)
                        .contains(&target)
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
                let stepped = self.step(fsm, next);
                if let Some(watcher) = self.migration.watcher() {
                    watcher.transition(&Transition {
                        from: fsm.state,
                        to: next,
                        result: stepped.as_ref().map(drop).map_err(TransitionError::error),
                        duration: start.elapsed(),
                    });
                }
                match stepped {
                    Ok(new_file) => {
                        self.enter(fsm, next);
                        file = new_file;
                    }
                    Err(TransitionError::Unchanged(error)) => return Err(error),
                    Err(TransitionError::Undefined(error)) => {
                        fsm.end_sessions();
                        self.enter(fsm, State::Error);
                        return Err(error);
                    }
                }
            }
            Ok(file)
        })
    }

    /// One transition.
    fn step(
        &self,
        fsm: &mut Fsm<M>,
        next: State,
    ) -> Result<Option<ARef<File>>, TransitionError> {
        let device = fsm.device()?;
        match (fsm.state, next) {
            (State::Running, State::RunningP2p) | (State::PreCopy, State::PreCopyP2p) => {
                self.migration.quiesce(device)?;
            }
            (State::RunningP2p, State::Running) | (State::PreCopyP2p, State::PreCopy) => {
                self.migration.unquiesce(device)?;
            }
            (State::RunningP2p, State::Stop) => self.migration.stop(device)?,
            (State::Stop, State::RunningP2p) => self.migration.start(device)?,
            (State::Stop, State::StopCopy) => {
                let stream = self.migration.save(device)?;
                return Ok(Some(self.begin_saving(fsm, stream)?));
            }
            (State::Stop, State::Resuming) => {
                let stream = self.migration.resume(device)?;
                // SAFETY: `fsm.resuming` is revoked before the device is closed, and so is what
                // does not get there.
                let fd = unsafe { DataFd::new(stream, device, fsm.epoch.clone())? };
                let file = resume_file::<Owner<M>, _>(&fd).inspect_err(|_| fd.revoke())?;
                fsm.resuming = Some(fd);
                return Ok(Some(file));
            }
            (State::Running, State::PreCopy) | (State::RunningP2p, State::PreCopyP2p) => {
                let stream = self.migration.pre_copy(device)?;
                return Ok(Some(self.begin_saving(fsm, stream)?));
            }
            (State::PreCopyP2p, State::StopCopy) => {
                let fd = fsm.saving.as_ref().ok_or(TransitionError::Undefined(EIO))?;
                self.migration.stop(device)?;
                let done = fd.with(|save, device| self.migration.pre_copy_done(device, save));
                match done.unwrap_or_else(|revoked| Err(revoked.into())) {
                    Ok(()) => fd.wake(),
                    Err(TransitionError::Unchanged(error)) => {
                        let started = self.migration.start(device);
                        started.map_err(|error| TransitionError::Undefined(error.error()))?;
                        return Err(error.into());
                    }
                    Err(undefined) => return Err(undefined),
                }
            }
            (State::StopCopy, State::Stop)
            | (State::PreCopy, State::Running)
            | (State::PreCopyP2p, State::RunningP2p) => fsm.end_sessions(),
            (State::Resuming, State::Stop) => {
                let fd = fsm.resuming.as_ref();
                fd.ok_or(TransitionError::Undefined(EIO))?
                    .end(|stream, device| self.migration.loaded(device, stream))?;
                fsm.end_sessions();
            }
            // `vfio_mig_get_next_state` gives no others for our flags.
            _ => return Err(TransitionError::Unchanged(EINVAL)),
        }
        Ok(None)
    }

    fn begin_saving(&self, fsm: &mut Fsm<M>, stream: M::Save) -> Result<ARef<File>> {
        // SAFETY: `fsm.saving` is revoked before the device is closed, and so is what does not get
        // there.
        let fd = unsafe { DataFd::new(stream, fsm.device()?, fsm.epoch.clone())? };
        let file = save_file::<Owner<M>, _>(&fd).inspect_err(|_| fd.revoke())?;
        fsm.saving = Some(fd);
        Ok(file)
    }
}
