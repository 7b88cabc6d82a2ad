// SPDX-License-Identifier: GPL-2.0
//! The two ends of a stream, and what poll says of them.

use std::thread;

use anyhow::Context;
use nix::poll::PollFlags;

use crate::data::{Data, Read};
use crate::fsm::State;
use crate::must;
use crate::rules;
use crate::trial::{Case, End, Trial, Verdict};

/// How often an end is asked for again.
const AGAIN: usize = 10;
/// Milliseconds that a poll waits which must be woken.
const PATIENCE: u16 = 20_000;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("end.permanent", &rules::STOP_COPY_END, permanent),
        Case::new(
            "end.permanent_after_precopy",
            &rules::STOP_COPY_END,
            permanent_after_precopy,
        ),
        Case::new(
            "end.of_small_reads",
            &rules::FSM_STOP_COPY_END,
            of_small_reads,
        ),
        Case::new("end.temporary", &rules::PRECOPY_END, temporary),
        Case::new(
            "end.temporary_has_no_bytes_left",
            &rules::PRECOPY_END,
            no_bytes_left,
        ),
        Case::new(
            "end.temporary_and_poll",
            &rules::PRECOPY_END,
            temporary_and_poll,
        ),
        Case::new(
            "end.temporary_in_precopy_p2p",
            &rules::PRECOPY_END,
            temporary_in_p2p,
        ),
        Case::new(
            "end.data_is_readable",
            &rules::PRECOPY_END,
            data_is_readable,
        ),
        Case::new(
            "end.poll_wakes_for_stop_copy",
            &rules::PRECOPY_END,
            poll_wakes_for_stop_copy,
        ),
        Case::new(
            "end.poll_wakes_when_the_session_ends",
            &rules::FSM_ENDS,
            poll_wakes_at_the_end,
        ),
        Case::new(
            "end.poll_after_the_session",
            &rules::FSM_ENDS,
            poll_after_the_session,
        ),
    ]
}

/// In STOP_COPY, with everything read: the end must last.
fn lasts(trial: &Trial<'_>, data: &Data) -> Verdict {
    for _ in 0..AGAIN {
        let read = data.read(&mut [0; 64]);
        must!(
            read == Ok(Read::End),
            "a read at the end comes to {read:?}, not to 0"
        );
        trial.check(data.is_readable()?, || {
            "poll does not say readable at the end in STOP_COPY".into()
        });
    }
    Ok(())
}

fn permanent(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::StopCopy)?;
    trial.check(data.is_readable()?, || {
        "poll does not say readable at the start of STOP_COPY".into()
    });
    data.read_all()?;
    lasts(trial, &data)
}

fn permanent_after_precopy(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    data.read_to_end(1 << 16)?;
    trial.device()?.go(State::StopCopy)?;
    data.read_all()?;
    lasts(trial, &data)
}

fn of_small_reads(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::StopCopy)?;
    loop {
        match data.read(&mut [0; 1000]) {
            Ok(Read::Bytes(length)) => {
                must!(length <= 1000, "a read of 1000 bytes returns {length}")
            }
            Ok(Read::End) => return lasts(trial, &data),
            other => {
                return Err(End::Error(format!(
                    "a read in STOP_COPY comes to {other:?}"
                )));
            }
        }
    }
}

fn begin(trial: &Trial<'_>, state: State) -> Result<Data, End> {
    let data = trial.enter(state)?;
    data.ok_or_else(|| End::Error(format!("{state} began without a descriptor")))
}

/// Reads to an end in PRE_COPY, which must be a temporary one.
fn read_out(trial: &Trial<'_>, data: &Data) -> Result<bool, End> {
    let (_, end) = data.read_to_end(1 << 16)?;
    if end == Read::End {
        trial.error("in PRE_COPY a read returns 0, the permanent end, not ENOMSG");
    }
    Ok(end == Read::TemporaryEnd)
}

fn temporary(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    read_out(trial, &data)?;
    Ok(())
}

fn temporary_in_p2p(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopyP2p)?;
    read_out(trial, &data)?;
    Ok(())
}

fn no_bytes_left(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    for _ in 0..AGAIN {
        data.read_to_end(1 << 16)?;
        // The device may have changed between the two.
        let info = data
            .precopy()
            .map_err(|errno| End::Error(format!("GET_PRECOPY_INFO: {errno:?}")))?;
        if info.initial == 0 && info.dirty == 0 {
            return Ok(());
        }
    }
    Err(End::Error(
        "at each temporary end there are bytes left, by GET_PRECOPY_INFO".into(),
    ))
}

fn temporary_and_poll(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    for _ in 0..AGAIN {
        if !read_out(trial, &data)? {
            return Ok(());
        }
        if !data.is_readable()? {
            return Ok(());
        }
    }
    trial.error("at the temporary end poll says readable, so that nobody can wait for more");
    Ok(())
}

fn data_is_readable(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    let info = data
        .precopy()
        .map_err(|errno| End::Error(format!("GET_PRECOPY_INFO: {errno:?}")))?;
    if info.initial != 0 {
        trial.check(data.is_readable()?, || {
            format!("{info:?}, and poll does not say readable")
        });
    }
    Ok(())
}

fn poll_wakes_for_stop_copy(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    data.read_to_end(1 << 16)?;
    let found = poll_while(&data, || trial.device()?.go(State::StopCopy))?;
    trial.check(found.is_some(), || {
        "poll is not woken by the change to STOP_COPY".into()
    });
    data.read_all().context("after poll")?;
    Ok(())
}

fn poll_wakes_at_the_end(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    data.read_to_end(1 << 16)?;
    let found = poll_while(&data, || trial.device()?.go(State::Running))?;
    trial.should(found.is_some(), || {
        "poll is not woken when its session ends".into()
    });
    Ok(())
}

/// What poll says in a thread while `change` happens.
fn poll_while(
    data: &Data,
    change: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Option<PollFlags>> {
    thread::scope(|scope| {
        let poller = scope.spawn(|| data.poll(PollFlags::POLLIN, PATIENCE));
        // Usually the thread waits by then; if not, it finds the change made.
        thread::sleep(std::time::Duration::from_millis(20));
        change()?;
        poller
            .join()
            .map_err(|_| anyhow::anyhow!("the polling thread panicked"))?
    })
}

fn poll_after_the_session(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::StopCopy)?;
    trial.device()?.go(State::Stop)?;
    let found = data.poll(PollFlags::POLLIN, 0)?;
    trial.should(found.is_some(), || {
        "poll waits on a session that has ended".into()
    });
    Ok(())
}
