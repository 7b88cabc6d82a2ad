// SPDX-License-Identifier: GPL-2.0
//! What loads, and what must not.

use anyhow::Context;
use nix::errno::Errno;

use crate::device::Device;
use crate::fsm::State;
use crate::must;
use crate::rules;
use crate::trial::{Case, Trial, Verdict, ignore};

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("load.round_trip", &rules::FSM_RESUME, round_trip),
        Case::new(
            "load.round_trip_with_precopy",
            &rules::FSM_RESUME,
            round_trip_with_precopy,
        ),
        Case::new("load.again_and_again", &rules::FSM_RESUME, again),
        Case::new("load.straight_to_each_state", &rules::FSM_PATH, straight),
        Case::new("load.nothing", &rules::FSM_LOAD, nothing),
        Case::new("load.zeroes", &rules::FSM_LOAD, |trial| {
            must_fail(trial, |stream| stream.fill(0))
        }),
        Case::new("load.noise", &rules::FSM_LOAD, |trial| {
            must_fail(trial, noise)
        }),
        Case::new("load.beginning_is_missing", &rules::FSM_LOAD, |trial| {
            must_fail(trial, |stream| drop(stream.drain(..stream.len() / 3)))
        }),
        Case::new("load.middle_is_missing", &rules::FSM_LOAD, |trial| {
            must_fail(trial, |stream| {
                drop(stream.drain(stream.len() / 3..stream.len() / 2))
            })
        }),
        Case::new("load.more_than_a_stream", &rules::FSM_RESUME, more),
        Case::new("load.twice", &rules::FSM_RESUME, twice),
        Case::new("load.more_and_more", &rules::FSM_LOAD, endless),
        Case::new("load.aborted_by_reset", &rules::FSM_LOAD, aborted),
    ];
    for (name, eighths) in [("eighth", 1), ("quarter", 2), ("half", 4), ("most", 7)] {
        cases.push(Case::new(
            format!("load.first_{name}"),
            &rules::FSM_LOAD,
            move |trial| must_fail(trial, |stream| stream.truncate(stream.len() * eighths / 8)),
        ));
    }
    cases.push(Case::new(
        "load.all_but_one_byte",
        &rules::FSM_LOAD,
        |trial| must_fail(trial, |stream| ignore(stream.pop())),
    ));
    cases
}

fn round_trip(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let stream = trial.save(trial.device()?)?;
    trial.prove(&stream)?;
    Ok(())
}

fn round_trip_with_precopy(trial: &Trial<'_>) -> Verdict {
    let device = trial.require(State::PreCopy)?;
    let data = device.begin(State::PreCopy)?;
    let (mut stream, _) = data.read_to_end(4096)?;
    device.go(State::StopCopy)?;
    stream.extend(data.read_all()?);
    device.go(State::Stop)?;
    trial.prove(&stream)?;
    Ok(())
}

/// There and, with a second device, back.
fn again(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let (mut from, mut to) = (trial.device()?, trial.target()?);
    for round in 0..4 {
        let stream = trial.save(from).with_context(|| format!("round {round}"))?;
        trial
            .load(to, &stream, 1000)
            .with_context(|| format!("round {round}"))?;
        to.go(State::Running)?;
        from.go(State::Running)?;
        std::mem::swap(&mut from, &mut to);
    }
    Ok(())
}

/// The compound arcs out of RESUMING, with a stream that was loaded.
fn straight(trial: &Trial<'_>) -> Verdict {
    let flags = trial.flags()?;
    let device = trial.device()?;
    for to in [
        State::Stop,
        State::RunningP2p,
        State::Running,
        State::StopCopy,
        State::PreCopy,
        State::PreCopyP2p,
    ] {
        if !to.exists(flags) {
            continue;
        }
        let stream = trial.save(device)?;
        let target = trial.target()?;
        let loading = target.begin(State::Resuming)?;
        loading
            .write_all(&stream, 1 << 16)
            .map_err(anyhow::Error::from)
            .context("writing")?;
        let new = target
            .set(to)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("RESUMING to {to}"))?;
        must!(
            new.is_some() == to.saves(),
            "RESUMING to {to}: descriptor {new:?}"
        );
        drop((loading, new));
        target
            .go(State::Running)
            .with_context(|| format!("RESUMING to {to} to RUNNING"))?;
        if device.state()? != State::Running {
            device.go(State::Running)?;
        }
    }
    Ok(())
}

/// What `change` makes of a stream must not load.
fn must_fail(trial: &Trial<'_>, change: impl FnOnce(&mut Vec<u8>)) -> Verdict {
    trial.flags()?;
    let device = trial.device()?;
    let good = trial.save(device)?;
    let mut stream = good.clone();
    change(&mut stream);
    let target = trial.target()?;
    let loading = target.begin(State::Resuming)?;
    let written = loading.write_all(&stream, 1 << 16);
    let loaded = target.set(State::Stop);
    if loaded.is_ok() {
        let how = if written.is_ok() {
            ""
        } else {
            ", though writing it failed"
        };
        trial.error(format!(
            "{} of {} bytes, changed, load{how}",
            stream.len(),
            good.len()
        ));
        return Ok(());
    }
    usable_again(trial, target, &good)
}

/// A load has failed: a reset helps, as the rule says, and then a stream loads.
fn usable_again(trial: &Trial<'_>, target: &Device, good: &[u8]) -> Verdict {
    let state = target.state()?;
    trial.check(
        [State::Resuming, State::Stop, State::Error].contains(&state),
        || format!("after a load that failed the device is in {state}"),
    );
    if target.reset().is_ok() {
        let state = target.state()?;
        must!(
            state == State::Running,
            "after a load that failed and a reset it is in {state}"
        );
        trial
            .load(target, good, 1 << 16)
            .context("the unchanged stream, after a load that failed")?;
        target.go(State::Running)?;
    }
    Ok(())
}

/// Bytes that look like nothing, the same each time.
fn noise(stream: &mut Vec<u8>) {
    fastrand::Rng::with_seed(1).fill(stream);
}

fn nothing(trial: &Trial<'_>) -> Verdict {
    must_fail(trial, Vec::clear)
}

/// That more follows makes it no stream of a single session; that drivers notice is advice.
fn more(trial: &Trial<'_>) -> Verdict {
    should_fail(trial, "a stream with 100 bytes behind it", |stream| {
        stream.extend([0xa5; 100])
    })
}

fn twice(trial: &Trial<'_>) -> Verdict {
    should_fail(trial, "the same stream twice", |stream| {
        stream.extend(stream.clone())
    })
}

fn should_fail(trial: &Trial<'_>, what: &str, change: impl FnOnce(&mut Vec<u8>)) -> Verdict {
    trial.flags()?;
    let good = trial.save(trial.device()?)?;
    let mut stream = good.clone();
    change(&mut stream);
    let target = trial.target()?;
    let loading = target.begin(State::Resuming)?;
    let written = loading.write_all(&stream, 1 << 16);
    let loaded = target.set(State::Stop);
    if written.is_ok() && loaded.is_ok() {
        trial.advise(format!("{what} loads"));
        return Ok(());
    }
    if loaded.is_ok() {
        trial.advise(format!(
            "{what} is refused while it is written, and loads all the same"
        ));
        return Ok(());
    }
    usable_again(trial, target, &good)
}

/// Far more than any state: a limit of some kind must come, or room.
fn endless(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let good = trial.save(trial.device()?)?;
    let target = trial.target()?;
    let loading = target.begin(State::Resuming)?;
    let mut rest = vec![0; 1 << 20];
    noise(&mut rest);
    let mut refused: Option<Errno> = None;
    for _ in 0..64 {
        if let Err(errno) = loading.write_all(&rest, 1 << 20) {
            refused = Some(errno);
            break;
        }
    }
    trial.should(refused.is_some(), || "64 MiB of noise are taken".into());
    match target.set(State::Stop) {
        Ok(_) => trial.error("64 MiB of noise load"),
        Err(_) => usable_again(trial, target, &good)?,
    }
    Ok(())
}

fn aborted(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    trial.require_reset()?;
    let stream = trial.save(trial.device()?)?;
    let target = trial.target()?;
    let loading = target.begin(State::Resuming)?;
    loading
        .write_all(&stream[..stream.len() / 2], 1 << 16)
        .map_err(anyhow::Error::from)
        .context("writing")?;
    target
        .reset()
        .map_err(anyhow::Error::from)
        .context("VFIO_DEVICE_RESET in RESUMING")?;
    let state = target.state()?;
    must!(
        state == State::Running,
        "a reset in RESUMING leads to {state}"
    );
    trial.check(loading.write(&stream[stream.len() / 2..]).is_err(), || {
        "the session that was aborted still takes data".into()
    });
    trial
        .load(target, &stream, 1 << 16)
        .context("after an aborted load")?;
    target.go(State::Running)?;
    Ok(())
}
