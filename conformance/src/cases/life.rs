// SPDX-License-Identifier: GPL-2.0
//! Reset and close from every state, and descriptors that outlive what they came from.

use anyhow::Context;
use nix::errno::Errno;
use nix::poll::PollFlags;

use crate::data::{Data, Read};
use crate::fsm::State;
use crate::must;
use crate::rules;
use crate::trial::{Case, End, Trial, Verdict, tidy};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for state in State::ALL
        .into_iter()
        .filter(|state| *state != State::Error)
    {
        cases.push(Case::new(
            format!("reset.from.{state}"),
            &rules::RESET,
            move |trial| reset(trial, state),
        ));
        cases.push(Case::alone(
            format!("close.from.{state}"),
            &rules::CLOSE,
            move |trial| close(trial, state),
        ));
    }
    cases.push(Case::new("reset.twice", &rules::RESET, twice));
    cases.push(Case::alone(
        "outlive.device_file.saving",
        &rules::FSM_ENDS,
        |trial| outlive(trial, State::StopCopy),
    ));
    cases.push(Case::alone(
        "outlive.device_file.precopy",
        &rules::FSM_ENDS,
        |trial| outlive(trial, State::PreCopy),
    ));
    cases.push(Case::alone(
        "outlive.device_file.loading",
        &rules::FSM_ENDS,
        |trial| outlive(trial, State::Resuming),
    ));
    cases.push(Case::alone(
        "outlive.into_the_next_users_session",
        &rules::CLOSE,
        next_user,
    ));
    cases.push(Case::alone(
        "outlive.descriptor_closed_first",
        &rules::FSM_ENDS,
        descriptor_first,
    ));
    cases
}

/// Nothing may come of a descriptor whose session is over.
fn is_dead(trial: &Trial<'_>, data: &Data, after: &str) -> Verdict {
    let read = data.read(&mut [0; 64]);
    trial.check(!matches!(read, Ok(Read::Bytes(_))), || {
        format!("{after} a read still gives data: {read:?}")
    });
    trial.should(read.is_err(), || {
        format!("{after} a read comes to {read:?}, and not to an error")
    });
    let written = data.write(&[0; 64]);
    trial.check(written.is_err(), || {
        format!("{after} a write is taken: {written:?}")
    });
    let info = data.precopy();
    trial.check(info.is_err(), || {
        format!("{after} GET_PRECOPY_INFO succeeds: {info:?}")
    });
    // Must not wait; what it says is open.
    data.poll(PollFlags::POLLIN | PollFlags::POLLOUT, 0)?;
    Ok(())
}

fn reset(trial: &Trial<'_>, state: State) -> Verdict {
    trial.require(state)?;
    let device = trial.require_reset()?;
    let data = trial.enter(state)?;
    device
        .reset()
        .map_err(|errno| End::Error(format!("VFIO_DEVICE_RESET in {state}: {errno:?}")))?;
    let now = device.state()?;
    must!(now == State::Running, "a reset in {state} leads to {now}");
    if let Some(data) = &data {
        is_dead(trial, data, "after the reset")?;
    }
    trial.prove_device(device).context("after the reset")?;
    Ok(())
}

fn twice(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.require_reset()?;
    let _data = device.begin(State::StopCopy)?;
    for _ in 0..2 {
        device
            .reset()
            .map_err(|errno| End::Error(format!("VFIO_DEVICE_RESET: {errno:?}")))?;
        let now = device.state()?;
        must!(now == State::Running, "a reset leads to {now}");
    }
    Ok(())
}

/// Opens the device, and brings it to `state`. Skips what it does not have.
fn open_in(trial: &Trial<'_>, state: State) -> Result<(crate::device::Device, Option<Data>), End> {
    let device = trial.open()?;
    let flags = match device.migration_flags() {
        Ok(flags) => flags,
        Err(_) => return Err(End::Skip("the device has no migration".into())),
    };
    if !state.exists(flags) {
        return Err(End::Skip(format!("the device does not announce {state}")));
    }
    if tidy(&device)? {
        return Err(End::Error(
            "it does not begin in RUNNING, and cannot be brought there".into(),
        ));
    }
    let data = match state {
        State::Running => None,
        _ => device
            .set(state)
            .map_err(|errno| End::Error(format!("RUNNING to {state}: {errno:?}")))?,
    };
    Ok((device, data))
}

fn close(trial: &Trial<'_>, state: State) -> Verdict {
    let (device, data) = open_in(trial, state)?;
    drop(device);
    if let Some(data) = &data {
        is_dead(trial, data, "after the device was closed")?;
    }
    let device = trial
        .open()
        .with_context(|| format!("after it was closed in {state}"))?;
    let now = device.state()?;
    // Not written, but QEMU takes it for granted.
    trial.should(now == State::Running, || {
        format!("closed in {state}, it is opened in {now}")
    });
    must!(
        !tidy(&device)?,
        "it cannot be made RUNNING after it was closed in {state}"
    );
    trial
        .prove_device(&device)
        .with_context(|| format!("after it was closed in {state}"))?;
    Ok(())
}

/// The device is closed, opened by somebody else and closed again; the descriptor is still there.
fn outlive(trial: &Trial<'_>, state: State) -> Verdict {
    let (device, data) = open_in(trial, state)?;
    let data = data.ok_or_else(|| End::Error(format!("{state} began without a descriptor")))?;
    let second = data.dup()?;
    drop(device);
    is_dead(trial, &data, "after the device was closed")?;
    {
        let device = trial.open()?;
        is_dead(trial, &data, "with the device open again")?;
        drop(data);
        tidy(&device)?;
        is_dead(trial, &second, "with the device reset")?;
        trial.prove_device(&device)?;
    }
    is_dead(trial, &second, "after the device was closed twice")
}

fn next_user(trial: &Trial<'_>) -> Verdict {
    let (device, old) = open_in(trial, State::StopCopy)?;
    let old = old.ok_or_else(|| End::Error("STOP_COPY began without a descriptor".into()))?;
    drop(device);
    let device = trial.open()?;
    must!(!tidy(&device)?, "it cannot be made RUNNING");
    let new = device.begin(State::StopCopy)?;
    is_dead(trial, &old, "in the session of the next user")?;
    drop(old);
    let stream = new
        .read_all()
        .context("after the last user's descriptor was closed")?;
    device.go(State::Stop)?;
    trial.load(&device, &stream, 4096)?;
    device.go(State::Running)?;
    Ok(())
}

/// Closing the descriptor ends no session: the state is left as it is.
fn descriptor_first(trial: &Trial<'_>) -> Verdict {
    for state in [State::StopCopy, State::PreCopy, State::Resuming] {
        let (device, data) = match open_in(trial, state) {
            Err(End::Skip(_)) => continue,
            opened => opened?,
        };
        drop(data);
        let now = device.state()?;
        must!(
            now == state,
            "closing the descriptor in {state} leads to {now}"
        );
        if state == State::Resuming {
            // Nothing was loaded; only a reset leads out for certain.
            match device.reset() {
                Ok(()) | Err(Errno::ENOTTY | Errno::EINVAL) => continue,
                Err(errno) => return Err(End::Error(format!("VFIO_DEVICE_RESET: {errno:?}"))),
            }
        }
        device
            .go(State::Running)
            .with_context(|| format!("from {state} without its descriptor"))?;
        trial.prove_device(&device)?;
    }
    Ok(())
}
