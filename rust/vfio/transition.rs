// SPDX-License-Identifier: GPL-2.0

//! Migration states, and what becomes of a transition between two of them.
//!
//! States and transitions ("arcs") are those of `enum vfio_device_mig_state` in
//! `include/uapi/linux/vfio.h`.

use crate::abi;
use kernel::{
    prelude::*,
    time::Delta, //
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

    /// The state of that number.
    ///
    /// # Errors
    ///
    /// EINVAL if there is none.
    pub(super) fn from_raw(raw: abi::vfio_device_mig_state) -> Result<Self> {
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

/// Why a transition failed, and where that leaves the device.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TransitionError {
    /// The device is where the transition began.
    Unchanged(Error),
    /// Nobody knows: the device goes to ERROR, which only a reset leaves.
    Undefined(Error),
}

impl TransitionError {
    /// What userspace gets.
    pub(crate) fn error(&self) -> Error {
        match *self {
            Self::Unchanged(error) | Self::Undefined(error) => error,
        }
    }
}

impl From<Error> for TransitionError {
    fn from(error: Error) -> Self {
        Self::Unchanged(error)
    }
}

/// A transition that was made, or tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transition {
    /// Where it begins.
    pub(crate) from: State,
    /// Where it leads.
    pub(crate) to: State,
    /// Whether it led there.
    pub(crate) result: Result,
    /// How long it took.
    pub(crate) duration: Delta,
}

/// Who wants to know what state a device is in: for statistics and tracing.
///
/// Called with the state lock held; must not wait.
pub(crate) trait Watcher {
    /// A transition was made, or has failed.
    fn transition(&self, _transition: &Transition) {}

    /// The device is in `state` now: by a transition, a failure, a reset or a new
    /// user.
    fn entered(&self, _state: State) {}
}
