// SPDX-License-Identifier: GPL-2.0
//! Each of the 8 x 8 transitions: whether it is made, and what becomes of the session.

use anyhow::Context;
use nix::errno::Errno;

use crate::data::{Data, Read};
use crate::device::Device;
use crate::fsm::{Arc, Session, State, arc, session};
use crate::rules::{self, Rule};
use crate::trial::{Case, End, Trial, Verdict};
use crate::{must, skip};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for from in State::ALL {
        for to in State::ALL {
            let name = format!("arc.{from}.{to}");
            cases.push(Case::new(name, rule(from, to), move |trial| {
                test(trial, from, to)
            }));
        }
    }
    cases
}

fn rule(from: State, to: State) -> &'static Rule {
    if from == State::Error || to == State::Error {
        &rules::FSM_ERROR
    } else if from == State::StopCopy && to.is_precopy() {
        &rules::FSM_BLOCKED
    } else if from.saves() && to.saves() {
        &rules::FSM_SAVING
    } else {
        &rules::FSM_PATH
    }
}

/// The session before the arc. That of RESUMING has all of a stream.
struct Before {
    data: Option<Data>,
    state: State,
}

fn test(trial: &Trial<'_>, from: State, to: State) -> Verdict {
    let flags = trial.flags()?;
    let device = trial.device()?;
    let before = prepare(trial, device, from)?;
    match arc(from, to, flags) {
        Arc::Refused(why) => refused(trial, device, &before, to, why),
        Arc::Path(path) => made(trial, device, &before, to, session(from, &path)),
    }
}

/// Brings the device to `from`, in which it has what the arc needs.
fn prepare(trial: &Trial<'_>, device: &Device, from: State) -> Result<Before, End> {
    let data = match from {
        State::Resuming => {
            let stream = trial.save(device).context("a stream to load")?;
            let data = device.begin(State::Resuming)?;
            data.write_all(&stream, 1 << 16)
                .map_err(anyhow::Error::from)
                .context("writing the stream")?;
            Some(data)
        }
        State::Error => {
            provoke_error(device)?;
            None
        }
        _ => trial.enter(from)?,
    };
    let state = device.state()?;
    must!(
        state == from,
        "before the arc the device is in {state}, not {from}"
    );
    let expected = from.saves() || from == State::Resuming;
    must!(
        data.is_some() == expected,
        "RUNNING to {from} came {} a descriptor",
        if expected { "without" } else { "with" }
    );
    Ok(Before { data, state: from })
}

/// A driver may go to ERROR when it is given what is no stream, but need not.
fn provoke_error(device: &Device) -> Verdict {
    let data = device.begin(State::Resuming)?;
    // Any answer will do.
    let _ = data.write_all(&[0xa5; 4096], 4096);
    let _ = device.set(State::Stop);
    if device.state()? != State::Error {
        skip!("an invalid stream does not bring the device to ERROR, and nothing else could");
    }
    Ok(())
}

fn refused(trial: &Trial<'_>, device: &Device, before: &Before, to: State, why: &str) -> Verdict {
    let from = before.state;
    match device.set(to) {
        Ok(_) => trial.error(format!("{from} to {to} succeeds, but {why}")),
        Err(errno) => trial.should(errno == Errno::EINVAL, || {
            format!("{from} to {to} is refused with {errno:?}, not EINVAL")
        }),
    }
    let state = device.state()?;
    if state == State::Error && from != State::Error {
        trial.advise(format!(
            "refusing {from} to {to} brings the device to ERROR"
        ));
    } else {
        trial.check(state == from, || {
            format!("refusing {from} to {to} brings the device to {state}")
        });
        continues(trial, before, state)?;
    }
    Ok(())
}

fn made(
    trial: &Trial<'_>,
    device: &Device,
    before: &Before,
    to: State,
    expected: Session,
) -> Verdict {
    let from = before.state;
    let new = match device.set(to) {
        Ok(new) => new,
        Err(errno) => return Err(End::Error(format!("{from} to {to} fails with {errno:?}"))),
    };
    let state = device.state()?;
    must!(state == to, "after {from} to {to} the device is in {state}");
    let begins = matches!(expected, Session::Begins | Session::Replaced);
    must!(
        new.is_some() == begins,
        "{from} to {to} returns {} descriptor",
        if begins { "no" } else { "a" }
    );
    match expected {
        Session::None | Session::Begins => {}
        Session::Continues => continues(trial, before, to)?,
        Session::Ends | Session::Replaced => ended(trial, before)?,
    }
    if let Some(new) = &new {
        began(trial, new, to)?;
    }
    Ok(())
}

/// The descriptor from before must be as good as it was.
fn continues(trial: &Trial<'_>, before: &Before, now: State) -> Verdict {
    let Some(data) = &before.data else {
        return Ok(());
    };
    if now == State::Resuming {
        // All of the stream was written: it must still count.
        let device = trial.device()?;
        device
            .go(State::Stop)
            .context("the session of RESUMING lost its data")?;
        return Ok(());
    }
    match data.read_to_end(1 << 16) {
        Ok((stream, end)) => {
            trial.check(!stream.is_empty(), || {
                "the session that goes on has no data".into()
            });
            if now == State::StopCopy {
                trial.check(end == Read::End, || {
                    format!("the session ends with {end:?} in STOP_COPY")
                });
            }
        }
        Err(error) => trial.error(format!("the session should go on in {now}, but: {error:#}")),
    }
    Ok(())
}

/// No data may come from the descriptor from before, or be taken by it.
fn ended(trial: &Trial<'_>, before: &Before) -> Verdict {
    let Some(data) = &before.data else {
        return Ok(());
    };
    if before.state == State::Resuming {
        trial.check(data.write(&[0; 16]).is_err(), || {
            "the session that ended still takes data".into()
        });
        return Ok(());
    }
    match data.read(&mut [0; 256]) {
        Ok(Read::Bytes(_)) => trial.error("the session that ended still gives data"),
        Ok(Read::End) => {
            trial.advise("after its session a read returns 0, as if the whole state had been read")
        }
        Ok(Read::TemporaryEnd) => {
            trial.advise("after its session a read says that more may come (ENOMSG)")
        }
        Err(_) => {}
    }
    Ok(())
}

/// A session that begins gives data at once, or takes it.
fn began(trial: &Trial<'_>, new: &Data, state: State) -> Verdict {
    if state == State::Resuming {
        let read = new.read_raw(&mut [0; 16]);
        trial.check(read.is_err(), || {
            format!("a session that loads can be read from: {read:?}")
        });
        return Ok(());
    }
    let first = new.read(&mut [0; 256]);
    trial.check(matches!(first, Ok(Read::Bytes(_))), || {
        format!("the first read in {state} comes to {first:?}, not to data")
    });
    let written = new.write(&[0; 16]);
    trial.check(written.is_err(), || {
        format!("a session that saves can be written to: {written:?}")
    });
    Ok(())
}
