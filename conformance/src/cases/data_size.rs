// SPDX-License-Identifier: GPL-2.0
//! VFIO_DEVICE_FEATURE_MIG_DATA_SIZE.

use anyhow::Context;

use crate::fsm::State;
use crate::must;
use crate::rules;
use crate::trial::{Case, End, Trial, Verdict};

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = State::ALL
        .into_iter()
        .filter(|state| *state != State::Error)
        .map(|state| {
            Case::new(
                format!("data_size.in.{state}"),
                &rules::DATA_SIZE,
                move |trial| in_state(trial, state),
            )
        })
        .collect();
    cases.push(Case::new(
        "data_size.is_an_estimate",
        &rules::DATA_SIZE,
        estimate,
    ));
    cases.push(Case::new(
        "data_size.disturbs_no_session",
        &rules::DATA_SIZE,
        disturbs_no_session,
    ));
    cases
}

fn ask(trial: &Trial<'_>) -> Result<u64, End> {
    let size = trial.device()?.data_size();
    size.map_err(|errno| End::Error(format!("GET of MIG_DATA_SIZE: {errno:?}")))
}

fn in_state(trial: &Trial<'_>, state: State) -> Verdict {
    let _data = trial.enter(state)?;
    ask(trial)?;
    let now = trial.device()?.state()?;
    must!(
        now == state,
        "asking brings the device from {state} to {now}"
    );
    Ok(())
}

fn estimate(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.device()?;
    let estimate = ask(trial)?;
    let length = trial.save(device)?.len() as u64;
    trial.check(estimate != 0, || {
        format!("it estimates 0 for a stream of {length} bytes")
    });
    trial.should(
        estimate >= length / 2 && estimate / 16 <= length + 65536,
        || format!("it estimates {estimate} for a stream of {length} bytes"),
    );
    Ok(())
}

fn disturbs_no_session(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.device()?;
    let stopped = device.begin(State::StopCopy)?;
    let mut stream = vec![0; 100];
    let length = stopped
        .read_raw(&mut stream)
        .map_err(anyhow::Error::from)
        .context("reading")?;
    stream.truncate(length);
    for _ in 0..5 {
        ask(trial)?;
    }
    stream.extend(stopped.read_all()?);
    device.go(State::Stop)?;
    let target = trial.target()?;
    let loading = target.begin(State::Resuming)?;
    let (first, second) = stream.split_at(stream.len() / 2);
    loading
        .write_all(first, 4096)
        .map_err(anyhow::Error::from)
        .context("writing")?;
    let size = target.data_size();
    trial.check(size.is_ok(), || {
        format!("GET of MIG_DATA_SIZE while loading: {size:?}")
    });
    loading
        .write_all(second, 4096)
        .map_err(anyhow::Error::from)
        .context("writing")?;
    target
        .go(State::Running)
        .context("after asking during both sessions")?;
    Ok(())
}
