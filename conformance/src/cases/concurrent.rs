// SPDX-License-Identifier: GPL-2.0
//! Misuse by several threads. What each of them gets is open; that the kernel survives, that
//! nothing hangs, and that the device is usable afterwards is not.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::PollFlags;

use crate::data::{Data, Read};
use crate::device::Device;
use crate::fsm::State;
use crate::rules;
use crate::trial::{Case, Trial, Verdict, ignore};
use crate::{must, skip};

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("concurrent.two_readers", &rules::STOP_COPY_END, two_readers),
        Case::new("concurrent.two_writers", &rules::FSM_LOAD, two_writers),
        Case::new(
            "concurrent.changes_while_reading",
            &rules::FSM_SAVING,
            changes_while_reading,
        ),
        Case::new(
            "concurrent.end_while_reading",
            &rules::FSM_ENDS,
            end_while_reading,
        ),
        Case::new(
            "concurrent.end_while_writing",
            &rules::FSM_ENDS,
            end_while_writing,
        ),
        Case::new(
            "concurrent.two_who_set_states",
            &rules::STATE_SET,
            two_who_set,
        ),
        Case::new(
            "concurrent.precopy_info_while_changing",
            &rules::PRECOPY_STATES,
            info_while_changing,
        ),
        Case::new(
            "concurrent.ioctls_while_resetting",
            &rules::RESET,
            ioctls_while_resetting,
        ),
        Case::new(
            "concurrent.reset_while_reading",
            &rules::RESET,
            reset_while_reading,
        ),
        Case::new(
            "concurrent.reset_while_writing",
            &rules::RESET,
            reset_while_writing,
        ),
        Case::new(
            "concurrent.reset_while_polling",
            &rules::RESET,
            reset_while_polling,
        ),
    ]
}

/// Runs `others` in threads until `main` has ended.
fn meanwhile<T>(others: &[&(dyn Fn() + Sync)], main: impl FnOnce() -> Result<T>) -> Result<T> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for other in others {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    other();
                    thread::yield_now();
                }
            });
        }
        let result = main();
        done.store(true, Ordering::Relaxed);
        result
    })
}

/// The device can be reset and migrates, whatever was done to it.
fn survives(trial: &Trial<'_>, device: &Device) -> Verdict {
    let state = device.state()?;
    match device.reset() {
        Ok(()) => {
            let state = device.state()?;
            must!(state == State::Running, "after a reset it is in {state}");
        }
        Err(_) => must!(
            device.set(State::Running).is_ok(),
            "it does not get from {state} to RUNNING"
        ),
    }
    trial.prove_device(device)?;
    Ok(())
}

/// Reads until `data` is at its end or fails. Returns how it ended.
fn drain(data: &Data, bytes: &AtomicUsize) -> Result<Read, Errno> {
    let mut chunk = [0; 777];
    loop {
        match data.read(&mut chunk)? {
            Read::Bytes(length) => {
                bytes.fetch_add(length, Ordering::Relaxed);
            }
            Read::TemporaryEnd => thread::yield_now(),
            Read::End => return Ok(Read::End),
        }
    }
}

fn two_readers(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.device()?;
    let alone = trial.save(device)?.len();
    let data = device.begin(State::StopCopy)?;
    let bytes = AtomicUsize::new(0);
    let ends = thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| drain(&data, &bytes)));
        threads.map(|thread| thread.join().unwrap_or(Err(Errno::EIO)))
    });
    for end in ends {
        trial.check(end == Ok(Read::End), || {
            format!("a reader of two ends with {end:?}")
        });
    }
    let bytes = bytes.into_inner();
    trial.check(bytes == alone, || {
        format!("two readers get {bytes} bytes in all, one got {alone}")
    });
    device.go(State::Stop)?;
    survives(trial, device)
}

fn two_writers(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let stream = trial.save(trial.device()?)?;
    let target = trial.target()?;
    let data = target.begin(State::Resuming)?;
    thread::scope(|scope| {
        for half in stream.chunks(stream.len().div_ceil(2)) {
            // Mixed up as they are, they may be refused at any point.
            scope.spawn(|| ignore(data.write_all(half, 100)));
        }
    });
    // In this order they need not load; in no order may that do harm.
    let _ = target.set(State::Stop);
    if target.reset().is_err() {
        skip!("the device cannot be reset");
    }
    survives(trial, target)
}

fn changes_while_reading(trial: &Trial<'_>) -> Verdict {
    let device = trial.require(State::PreCopyP2p)?;
    let data = device.begin(State::PreCopy)?;
    let stream = thread::scope(|scope| -> Result<Vec<u8>> {
        let reader = scope.spawn(|| -> Result<Vec<u8>, Errno> {
            let mut stream = Vec::new();
            let mut chunk = [0; 333];
            loop {
                match data.read(&mut chunk)? {
                    Read::Bytes(length) => stream.extend_from_slice(&chunk[..length]),
                    Read::TemporaryEnd => thread::yield_now(),
                    Read::End => return Ok(stream),
                }
            }
        });
        for _ in 0..20 {
            device.go(State::PreCopyP2p)?;
            device.go(State::PreCopy)?;
        }
        device.go(State::StopCopy)?;
        let stream = reader
            .join()
            .map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        stream
            .map_err(anyhow::Error::from)
            .context("reading while the state changes")
    })?;
    // Who returns 0 in PRE_COPY has ended the reader too early; the rest is still there.
    let mut stream = stream;
    stream.extend(data.read_all()?);
    device.go(State::Stop)?;
    trial.prove(&stream)?;
    Ok(())
}

fn end_while_reading(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.device()?;
    for _ in 0..20 {
        let data = device.begin(State::StopCopy)?;
        let bytes = AtomicUsize::new(0);
        thread::scope(|scope| -> Result<()> {
            scope.spawn(|| drain(&data, &bytes));
            device.go(State::Stop)?;
            Ok(())
        })?;
        let after = data.read(&mut [0; 16]);
        trial.check(!matches!(after, Ok(Read::Bytes(_))), || {
            "data comes after the session".into()
        });
    }
    device.go(State::Running)?;
    survives(trial, device)
}

fn end_while_writing(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    trial.require_reset()?;
    let stream = trial.save(trial.device()?)?;
    let target = trial.target()?;
    for _ in 0..5 {
        let data = target.begin(State::Resuming)?;
        thread::scope(|scope| {
            scope.spawn(|| ignore(data.write_all(&stream, 100)));
            // Whether all of it was there by now, nobody knows.
            let _ = target.set(State::Stop);
        });
        if target.state()? != State::Stop {
            target.reset().map_err(anyhow::Error::from)?;
        }
        trial.check(data.write(&[0; 16]).is_err(), || {
            "the session that ended still takes data".into()
        });
    }
    survives(trial, target)
}

fn two_who_set(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.device()?;
    let go = |states: &[State]| {
        for state in states {
            let _ = device.set(*state);
        }
    };
    let one = || go(&[State::StopCopy, State::Stop, State::Running]);
    let two = || {
        go(&[
            State::PreCopy,
            State::RunningP2p,
            State::PreCopyP2p,
            State::StopCopy,
        ])
    };
    meanwhile(&[&one, &two], || {
        for _ in 0..100 {
            device.state()?;
            thread::yield_now();
        }
        Ok(())
    })?;
    survives(trial, device)
}

fn info_while_changing(trial: &Trial<'_>) -> Verdict {
    let device = trial.require(State::PreCopy)?;
    for _ in 0..20 {
        let data = device.begin(State::PreCopy)?;
        let ask = || ignore(data.precopy());
        let read = || ignore(data.read(&mut [0; 10]));
        meanwhile(&[&ask, &read], || {
            device.go(State::StopCopy)?;
            device.go(State::Running)
        })?;
        trial.check(data.precopy().is_err(), || {
            "GET_PRECOPY_INFO succeeds after the session".into()
        });
    }
    survives(trial, device)
}

fn ioctls_while_resetting(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.require_reset()?;
    let set = || {
        for state in [
            State::StopCopy,
            State::Running,
            State::PreCopy,
            State::Resuming,
        ] {
            let _ = device.set(state);
        }
    };
    let ask = || {
        ignore((
            device.data_size(),
            device.migration_flags(),
            device.state_and_fd(),
        ))
    };
    meanwhile(&[&set, &ask], || {
        for _ in 0..8 {
            device
                .reset()
                .map_err(anyhow::Error::from)
                .context("VFIO_DEVICE_RESET among other ioctls")?;
        }
        Ok(())
    })?;
    survives(trial, device)
}

fn reset_while_reading(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.require_reset()?;
    for state in [State::StopCopy, State::PreCopy] {
        if !state.exists(trial.flags()?) {
            continue;
        }
        let data = device.begin(state)?;
        let read = || ignore(data.read(&mut [0; 100]));
        meanwhile(&[&read], || device.reset().map_err(anyhow::Error::from))?;
        let after = data.read(&mut [0; 16]);
        trial.check(!matches!(after, Ok(Read::Bytes(_))), || {
            format!("in {state}: data comes after a reset")
        });
    }
    survives(trial, device)
}

fn reset_while_writing(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    trial.require_reset()?;
    let stream = trial.save(trial.device()?)?;
    let target = trial.target()?;
    let data = target.begin(State::Resuming)?;
    let write = || ignore(data.write_all(&stream, 100));
    meanwhile(&[&write], || target.reset().map_err(anyhow::Error::from))?;
    trial.check(data.write(&[0; 16]).is_err(), || {
        "data is taken after a reset".into()
    });
    survives(trial, target)
}

fn reset_while_polling(trial: &Trial<'_>) -> Verdict {
    trial.require(State::PreCopy)?;
    let device = trial.require_reset()?;
    let data = device.begin(State::PreCopy)?;
    data.read_to_end(1 << 16)?;
    let found = thread::scope(|scope| -> Result<Option<PollFlags>> {
        let poller = scope.spawn(|| data.poll(PollFlags::POLLIN, 10_000));
        thread::sleep(std::time::Duration::from_millis(20));
        device.reset().map_err(anyhow::Error::from)?;
        poller
            .join()
            .map_err(|_| anyhow::anyhow!("the polling thread panicked"))?
    })?;
    trial.should(found.is_some(), || {
        "poll is not woken when a reset ends the session".into()
    });
    survives(trial, device)
}
