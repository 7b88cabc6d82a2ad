// SPDX-License-Identifier: GPL-2.0
//! The states of a device, and where each request leads from each of them.
//!
//! The table was transcribed from the comment above `enum vfio_device_mig_state` in
//! include/uapi/linux/vfio.h, not from the kernel's code.

use anyhow::{Context, Result};
use vvp_harness::vfio::{DataFd, Device, State};

use crate::rig;

/// What a request for a state leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The state, without a data descriptor.
    Plain,
    /// The state, and the data descriptor of a new session.
    Session,
    /// EINVAL, and everything stays as it is.
    Refused,
}
use Outcome::{Plain, Refused, Session};

/// The columns of the table.
pub const TO: [State; 8] = [
    State::Stop,
    State::Running,
    State::StopCopy,
    State::Resuming,
    State::RunningP2p,
    State::PreCopy,
    State::PreCopyP2p,
    // "ERROR cannot be specified as a device state"
    State::Error,
];

/// Those that can be specified.
pub const SPECIFIED: &[State] = TO.split_at(7).0;

/// VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY
#[rustfmt::skip]
pub const TABLE: [(State, [Outcome; 8]); 7] = [
    //                   STOP   RUNNING STOP_COPY RESUMING R_P2P  PRE_COPY PC_P2P   ERROR
    (State::Stop,       [Plain, Plain,  Session,  Session, Plain, Session, Session, Refused]),
    (State::Running,    [Plain, Plain,  Session,  Session, Plain, Session, Session, Refused]),
    // "STOP_COPY -> PRE_COPY, STOP_COPY -> PRE_COPY_P2P: not permitted"
    (State::StopCopy,   [Plain, Plain,  Plain,    Session, Plain, Refused, Refused, Refused]),
    (State::Resuming,   [Plain, Plain,  Session,  Plain,   Plain, Session, Session, Refused]),
    (State::RunningP2p, [Plain, Plain,  Session,  Session, Plain, Session, Session, Refused]),
    // "Moving between these states [the saving group] does not affect the fd"
    (State::PreCopy,    [Plain, Plain,  Plain,    Session, Plain, Plain,   Plain,   Refused]),
    (State::PreCopyP2p, [Plain, Plain,  Plain,    Session, Plain, Plain,   Plain,   Refused]),
];

/// Brings a device to state `from`; gives its data descriptor if the state has one.
pub fn enter(device: &Device, from: State, stream: &[u8]) -> Result<Option<DataFd>> {
    rig::recover(device)?;
    let mut fd = device
        .set_state(from)
        .with_context(|| format!("to {from}"))?;
    if from == State::Resuming {
        // Leaving RESUMING validates what was loaded.
        let fd = fd
            .as_mut()
            .context("RESUMING came without a data descriptor")?;
        fd.write_all(stream).context("writing the stream")?;
    }
    Ok(fd)
}
