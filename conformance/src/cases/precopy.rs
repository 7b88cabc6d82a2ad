// SPDX-License-Identifier: GPL-2.0
//! VFIO_MIG_GET_PRECOPY_INFO, with and without version 2.

use anyhow::Context;
use nix::errno::Errno;

use crate::call;
use crate::data::{Data, Precopy, Read};
use crate::fsm::State;
use crate::memory::{Access, Memory, PAGE, Structure};
use crate::rules;
use crate::trial::{Case, End, Trial, Verdict};
use crate::uapi::{self, PRECOPY_INFO, PRECOPY_INFO_REINIT};
use crate::{must, skip};

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("precopy.in_PRE_COPY", &rules::PRECOPY_STATES, |trial| {
            valid(trial, State::PreCopy)
        }),
        Case::new("precopy.in_PRE_COPY_P2P", &rules::PRECOPY_STATES, |trial| {
            valid(trial, State::PreCopyP2p)
        }),
        Case::new(
            "precopy.in_STOP_COPY_after_PRE_COPY",
            &rules::PRECOPY_STATES,
            after_precopy,
        ),
        Case::new("precopy.in_STOP_COPY", &rules::PRECOPY_STATES, in_stop_copy),
        Case::new("precopy.in_RESUMING", &rules::PRECOPY_STATES, in_resuming),
        Case::new(
            "precopy.after_the_session",
            &rules::PRECOPY_STATES,
            after_the_session,
        ),
        Case::new("precopy.argsz_short", &rules::PRECOPY_ARGSZ, argsz_short),
        Case::new("precopy.argsz_long", &rules::PRECOPY_ARGSZ, argsz_long),
        Case::new("precopy.bad_memory", &rules::FEATURE_MEMORY, bad_memory),
        Case::new("precopy.other_ioctls", &rules::PRECOPY_STATES, other_ioctls),
        Case::new(
            "precopy.initial_is_not_zero",
            &rules::PRECOPY_INITIAL,
            initial_is_not_zero,
        ),
        Case::new(
            "precopy.initial_decreases",
            &rules::PRECOPY_INITIAL,
            initial_decreases,
        ),
        Case::new(
            "precopy.initial_reaches_zero",
            &rules::PRECOPY_INITIAL,
            initial_reaches_zero,
        ),
        Case::new(
            "precopy.dirty_begins_at_zero",
            &rules::PRECOPY_DIRTY,
            dirty_begins_at_zero,
        ),
        Case::new(
            "precopy.asking_reads_nothing",
            &rules::PRECOPY_INITIAL,
            asking_reads_nothing,
        ),
        Case::alone(
            "precopy.v1_has_no_reinit",
            &rules::PRECOPY_V2,
            v1_has_no_reinit,
        ),
        Case::alone(
            "precopy.v2_flags_are_output",
            &rules::PRECOPY_V2,
            v2_flags_are_output,
        ),
        Case::alone("precopy.v2_session", &rules::PRECOPY_V2, v2_session),
        Case::alone(
            "precopy.v2_during_a_session",
            &rules::PRECOPY_V2,
            v2_during_a_session,
        ),
    ]
}

fn begin(trial: &Trial<'_>, state: State) -> Result<Data, End> {
    let data = trial.enter(state)?;
    data.ok_or_else(|| End::Error(format!("{state} began without a descriptor")))
}

fn info(data: &Data) -> Result<Precopy, End> {
    data.precopy()
        .map_err(|errno| End::Error(format!("GET_PRECOPY_INFO: {errno:?}")))
}

fn valid(trial: &Trial<'_>, state: State) -> Verdict {
    let data = begin(trial, state)?;
    info(&data)?;
    data.read_to_end(1 << 16)?;
    info(&data)?;
    Ok(())
}

fn after_precopy(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    trial.device()?.go(State::StopCopy)?;
    trial.refused(
        "GET_PRECOPY_INFO in STOP_COPY",
        data.precopy(),
        Errno::EINVAL,
    );
    data.read_all()?;
    trial.refused("GET_PRECOPY_INFO at the end", data.precopy(), Errno::EINVAL);
    Ok(())
}

fn in_stop_copy(trial: &Trial<'_>) -> Verdict {
    trial.require(State::PreCopy)?;
    let data = begin(trial, State::StopCopy)?;
    trial.refused(
        "GET_PRECOPY_INFO in STOP_COPY",
        data.precopy(),
        Errno::EINVAL,
    );
    Ok(())
}

fn in_resuming(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::Resuming)?;
    trial.refused(
        "GET_PRECOPY_INFO in RESUMING",
        data.precopy(),
        Errno::EINVAL,
    );
    Ok(())
}

fn after_the_session(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    trial.device()?.go(State::Running)?;
    trial.refused("GET_PRECOPY_INFO in RUNNING", data.precopy(), Errno::EINVAL);
    // The old descriptor must not speak for a new session.
    let _new = begin(trial, State::PreCopy)?;
    trial.check(data.precopy().is_err(), || {
        "an old descriptor tells of the new session".into()
    });
    Ok(())
}

fn argsz_short(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    for argsz in 0..PRECOPY_INFO {
        trial.refused(
            &format!("argsz {argsz}"),
            data.precopy_with(argsz, 0),
            Errno::EINVAL,
        );
    }
    Ok(())
}

fn argsz_long(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    for argsz in [PRECOPY_INFO + 1, 32, 64, 4096] {
        let mut structure = Structure::of_u32(&[argsz, 0]);
        structure.set(PRECOPY_INFO as usize, &[0x5a; 4096]);
        match call::structure(data.fd(), uapi::MIG_GET_PRECOPY_INFO, &mut structure) {
            Ok(_) => trial.check(
                structure
                    .get(PRECOPY_INFO as usize, 4096)
                    .iter()
                    .all(|byte| *byte == 0x5a),
                || format!("with argsz {argsz} bytes beyond the structure are written"),
            ),
            Err(errno) => trial.error(format!("argsz {argsz} is refused: {errno:?}")),
        }
    }
    Ok(())
}

fn bad_memory(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    let ask = |memory: &Memory, offset| {
        call::in_memory(data.fd(), uapi::MIG_GET_PRECOPY_INFO, memory, offset)
    };
    trial.refused(
        "a pointer to nowhere",
        call::nowhere(data.fd(), uapi::MIG_GET_PRECOPY_INFO),
        Errno::EFAULT,
    );
    let memory = Memory::new(2)?;
    memory.store(PAGE - 8, &PRECOPY_INFO.to_ne_bytes());
    memory.protect(1, 1, Access::None)?;
    trial.refused(
        "a structure that ends outside of memory",
        ask(&memory, PAGE - 8),
        Errno::EFAULT,
    );
    memory.store(0, &PRECOPY_INFO.to_ne_bytes());
    memory.protect(0, 1, Access::ReadOnly)?;
    trial.refused(
        "a structure that is read-only",
        ask(&memory, 0),
        Errno::EFAULT,
    );
    info(&data)?;
    Ok(())
}

fn other_ioctls(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    for number in [0, 7, 11, 17, 20, 22, 99] {
        let mut structure = Structure::of_u32(&[64, 0]);
        let answer = call::structure(data.fd(), uapi::vfio(number), &mut structure);
        trial.refused(
            &format!("ioctl VFIO_BASE + {number} on the descriptor"),
            answer,
            Errno::ENOTTY,
        );
    }
    Ok(())
}

fn initial_is_not_zero(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    let first = info(&data)?;
    trial.should(first.initial != 0, || "initial_bytes begins at 0".into());
    Ok(())
}

fn initial_decreases(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    let mut last = info(&data)?.initial;
    let first = last;
    let mut chunk = [0; 512];
    loop {
        let read = data
            .read(&mut chunk)
            .map_err(anyhow::Error::from)
            .context("reading")?;
        let now = info(&data)?;
        must!(
            now.initial <= last,
            "initial_bytes went from {last} to {} by a read",
            now.initial
        );
        last = now.initial;
        if !matches!(read, Read::Bytes(_)) {
            break;
        }
    }
    trial.check(last < first || first == 0, || {
        format!("initial_bytes stays at {first}")
    });
    Ok(())
}

fn initial_reaches_zero(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    data.read_to_end(1 << 16)?;
    let left = info(&data)?.initial;
    trial.check(left == 0, || {
        format!("with everything read initial_bytes is {left}")
    });
    Ok(())
}

fn dirty_begins_at_zero(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    let dirty = info(&data)?.dirty;
    // The device runs: what it changed since counts.
    trial.should(dirty == 0, || format!("dirty_bytes begins at {dirty}"));
    Ok(())
}

fn asking_reads_nothing(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    let first = info(&data)?.initial;
    for _ in 0..20 {
        let now = info(&data)?.initial;
        must!(
            now == first,
            "initial_bytes goes from {first} to {now} by being asked for"
        );
    }
    let (mut stream, _) = data.read_to_end(1 << 16)?;
    trial.device()?.go(State::StopCopy)?;
    stream.extend(data.read_all()?);
    trial.device()?.go(State::Stop)?;
    trial.prove(&stream)?;
    Ok(())
}

fn v1_has_no_reinit(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    for _ in 0..3 {
        let flags = info(&data)?.flags;
        must!(
            flags & PRECOPY_INFO_REINIT == 0,
            "REINIT is reported without the opt-in: flags {flags:#x}"
        );
        data.read_to_end(1 << 16)?;
    }
    Ok(())
}

/// Opts in; the case does not apply to older kernels.
fn opt_in(trial: &Trial<'_>) -> Verdict {
    trial.require(State::PreCopy)?;
    match trial.device()?.opt_in_to_v2() {
        Ok(()) => Ok(()),
        Err(Errno::ENOTTY) => skip!("this kernel does not know MIG_PRECOPY_INFOv2"),
        Err(errno) => Err(End::Error(format!("SET of MIG_PRECOPY_INFOv2: {errno:?}"))),
    }
}

fn v2_flags_are_output(trial: &Trial<'_>) -> Verdict {
    opt_in(trial)?;
    let data = begin(trial, State::PreCopy)?;
    for given in [u32::MAX, 0xaaaa_aaaa, 0x5555_5554, 0] {
        let answer = data.precopy_with(PRECOPY_INFO, given).map_err(|errno| {
            End::Error(format!("GET_PRECOPY_INFO with flags {given:#x}: {errno:?}"))
        })?;
        trial.check(answer.flags & !PRECOPY_INFO_REINIT == 0, || {
            format!("given flags {given:#x} it returns {:#x}", answer.flags)
        });
    }
    Ok(())
}

fn v2_session(trial: &Trial<'_>) -> Verdict {
    opt_in(trial)?;
    let device = trial.device()?;
    let data = begin(trial, State::PreCopy)?;
    let (mut stream, _) = data.read_to_end(1 << 16)?;
    info(&data)?;
    stream.extend(data.read_to_end(1 << 16)?.0);
    device.go(State::StopCopy)?;
    stream.extend(data.read_all()?);
    device.go(State::Stop)?;
    trial.prove(&stream)?;
    Ok(())
}

fn v2_during_a_session(trial: &Trial<'_>) -> Verdict {
    let data = begin(trial, State::PreCopy)?;
    info(&data)?;
    opt_in(trial)?;
    let answer = data
        .precopy_with(PRECOPY_INFO, u32::MAX)
        .map_err(|errno| End::Error(format!("GET_PRECOPY_INFO: {errno:?}")))?;
    trial.check(answer.flags & !PRECOPY_INFO_REINIT == 0, || {
        format!("flags are {:#x}", answer.flags)
    });
    Ok(())
}
