// SPDX-License-Identifier: GPL-2.0
//! GET and SET of the state, besides the arcs.

use std::fs;

use anyhow::Context;
use nix::errno::Errno;

use crate::fsm::State;
use crate::memory::{Access, Memory, PAGE};
use crate::rules;
use crate::trial::{Case, End, Trial, Verdict};
use crate::uapi::{FEATURE_GET, FEATURE_SET, MIG_DEVICE_STATE};
use crate::{must, skip};

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("state.flags", &rules::MIGRATION_FLAGS, flags),
        Case::new(
            "state.flags_do_not_change",
            &rules::MIGRATION_FLAGS,
            flags_do_not_change,
        ),
        Case::new(
            "state.numbers_that_are_none",
            &rules::FSM_OPTIONAL,
            no_states,
        ),
        Case::new(
            "state.failed_set_is_survived",
            &rules::STATE_FAILED,
            failed_set,
        ),
        Case::new(
            "state.answer_that_cannot_be_delivered",
            &rules::FEATURE_MEMORY,
            lost_answer,
        ),
        Case::new(
            "state.each_session_is_new",
            &rules::STATE_SET,
            each_session_is_new,
        ),
        Case::new(
            "state.sessions_one_after_the_other",
            &rules::STATE_SET,
            many_sessions,
        ),
    ];
    for state in State::ALL
        .into_iter()
        .filter(|state| *state != State::Error)
    {
        cases.push(Case::new(
            format!("state.get_in.{state}"),
            &rules::STATE_GET,
            move |trial| get(trial, state),
        ));
        cases.push(Case::new(
            format!("state.stays.{state}"),
            &rules::STATE_ASYNC,
            move |trial| stays(trial, state),
        ));
    }
    cases
}

fn flags(trial: &Trial<'_>) -> Verdict {
    let flags = trial.flags()?;
    trial.check(flags & 1 != 0, || {
        format!("flags {flags:#x} do not have STOP_COPY")
    });
    trial.should(flags & !7 == 0, || {
        format!("flags {flags:#x} have some that are for the future")
    });
    Ok(())
}

fn flags_do_not_change(trial: &Trial<'_>) -> Verdict {
    let flags = trial.flags()?;
    let device = trial.device()?;
    for state in [State::Stop, State::StopCopy, State::Stop, State::Resuming] {
        let _data = device
            .set(state)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("going to {state}"))?;
        let now = trial.flags()?;
        trial.check(now == flags, || {
            format!("in {state} flags are {now:#x}, not {flags:#x}")
        });
    }
    Ok(())
}

fn get(trial: &Trial<'_>, state: State) -> Verdict {
    let _data = trial.enter(state)?;
    let (number, fd) = trial
        .device()?
        .state_and_fd()
        .map_err(|errno| End::Error(format!("GET in {state}: {errno:?}")))?;
    trial.check(number == state as u32, || {
        format!("GET in {state} says {number}")
    });
    trial.check(fd == -1, || format!("GET returns data_fd {fd}, not -1"));
    Ok(())
}

/// Many things are asked that are no change of state.
fn stays(trial: &Trial<'_>, state: State) -> Verdict {
    let _data = trial.enter(state)?;
    let device = trial.device()?;
    for _ in 0..50 {
        // Only what becomes of the state counts.
        let _ = (
            device.data_size(),
            device.migration_flags(),
            device.info_flags(),
            device.region(0),
        );
        std::thread::yield_now();
    }
    let now = device.state()?;
    trial.check(now == state, || {
        format!("from {state} the device went to {now} by itself")
    });
    Ok(())
}

fn no_states(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.device()?;
    for number in [
        8,
        9,
        0xff,
        0x100,
        0x102,
        0x7fff_ffff,
        0x8000_0000,
        0x8000_0002,
        u32::MAX,
    ] {
        trial.refused(
            &format!("SET of state {number:#x}"),
            device.set_number(number),
            Errno::EINVAL,
        );
        let state = device.state()?;
        must!(
            state == State::Running,
            "SET of state {number:#x} brings the device to {state}"
        );
    }
    Ok(())
}

/// A load that fails half-way of RESUMING to RUNNING leaves the device on that path.
fn failed_set(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.device()?;
    let data = device.begin(State::Resuming)?;
    let _ = data.write(&[0xa5; 64]);
    match device.set(State::Running) {
        Ok(_) => {
            skip!("the device takes anything for a stream, so that SET cannot be made to fail")
        }
        Err(_) => {
            let state = device.state()?;
            let path = [
                State::Resuming,
                State::Stop,
                State::RunningP2p,
                State::Error,
            ];
            trial.check(path.contains(&state), || {
                format!("after RESUMING to RUNNING failed it is in {state}")
            });
        }
    }
    let recovered = device.reset();
    if recovered.is_ok() {
        let state = device.state()?;
        trial.check(state == State::Running, || {
            format!("a reset after it leaves {state}")
        });
        trial
            .prove_device(device)
            .context("after a failed SET and a reset")?;
    }
    Ok(())
}

/// The structure can be read but not written: the descriptor has nowhere to go.
fn lost_answer(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.device()?;
    let before = descriptors()?;
    let memory = Memory::new(2)?;
    let fields = [
        16,
        FEATURE_SET | MIG_DEVICE_STATE,
        State::StopCopy as u32,
        u32::MAX,
    ];
    memory.store(PAGE - 16, &fields.map(u32::to_ne_bytes).concat());
    memory.protect(0, 1, Access::ReadOnly)?;
    memory.protect(1, 1, Access::None)?;
    trial.refused(
        "SET in memory that is read-only",
        device.feature_in(&memory, PAGE - 16),
        Errno::EFAULT,
    );
    let after = descriptors()?;
    trial.check(after == before, || {
        format!(
            "{} descriptors were left behind",
            after.saturating_sub(before)
        )
    });
    // What became of the state is the driver's choice. From there it must be usable.
    if device.state()? == State::StopCopy {
        device
            .go(State::Stop)
            .context("after the descriptor was lost")?;
        device.go(State::Running)?;
    } else if device.state()? != State::Running {
        device.go(State::Running)?;
    }
    trial
        .prove_device(device)
        .context("after the descriptor was lost")?;
    memory.protect(0, 1, Access::ReadWrite)?;
    memory.store(
        PAGE - 16,
        &[16, FEATURE_GET | MIG_DEVICE_STATE]
            .map(u32::to_ne_bytes)
            .concat(),
    );
    memory.protect(0, 1, Access::ReadOnly)?;
    trial.refused(
        "GET in memory that is read-only",
        device.feature_in(&memory, PAGE - 16),
        Errno::EFAULT,
    );
    Ok(())
}

fn descriptors() -> anyhow::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")
        .context("/proc/self/fd")?
        .count())
}

fn each_session_is_new(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.device()?;
    let first = device.begin(State::StopCopy)?;
    let some = first.read_raw(&mut [0; 8]).map_err(anyhow::Error::from)?;
    must!(some > 0, "the first session has no data");
    device.go(State::Stop)?;
    let second = device.begin(State::StopCopy)?;
    trial.check(first.read_raw(&mut [0; 8]).unwrap_or(0) == 0, || {
        "the first session's descriptor gives data of the second".into()
    });
    let stream = second.read_all()?;
    device.go(State::Stop)?;
    trial
        .prove(&stream)
        .context("the stream of the second session")?;
    Ok(())
}

fn many_sessions(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.device()?;
    for round in 0..8 {
        let data = device
            .begin(State::StopCopy)
            .with_context(|| format!("round {round}"))?;
        // Not read to its end, and sometimes not at all.
        for _ in 0..round % 3 {
            let _ = data.read_raw(&mut [0; 100]);
        }
        if round % 2 == 0 {
            drop(data);
        }
        device
            .go(State::Running)
            .with_context(|| format!("round {round}"))?;
        let loading = device
            .begin(State::Resuming)
            .with_context(|| format!("round {round}"))?;
        drop(loading);
        // Nothing was loaded: only a reset leads out for certain.
        if device.set(State::Running).is_err() && device.reset().is_err() {
            skip!("the device cannot be reset");
        }
    }
    trial.prove_device(device)?;
    Ok(())
}
