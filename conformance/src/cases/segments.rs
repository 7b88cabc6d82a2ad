// SPDX-License-Identifier: GPL-2.0
//! The stream in pieces of any size, over every call that reads and writes. What was saved
//! must load, however it was cut.

use std::io::{IoSlice, IoSliceMut};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};
use nix::sys::uio::{pread, pwrite, readv, writev};
use nix::unistd::{self, Whence, lseek, pipe};

use crate::data::{Data, Read};
use crate::fsm::State;
use crate::memory::{Access, Memory, PAGE};
use crate::rules;
use crate::trial::{Case, End, Trial, Verdict};
use crate::{must, skip};

/// Sizes of pieces.
const SIZES: [usize; 7] = [1, 3, 64, 511, 4096, 65_537, 1 << 20];
/// After so many calls the pieces become larger: a state may have many bytes.
const CALLS: usize = 20_000;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in SIZES {
        cases.push(Case::new(
            format!("segment.read.{size}"),
            &rules::STATE_STREAM,
            move |trial| read(trial, size),
        ));
        cases.push(Case::new(
            format!("segment.write.{size}"),
            &rules::STATE_STREAM,
            move |trial| write(trial, size),
        ));
    }
    for (name, rule, run) in [
        (
            "segment.readv",
            &rules::STATE_STREAM,
            vectored_read as fn(&Trial<'_>) -> Verdict,
        ),
        ("segment.writev", &rules::STATE_STREAM, vectored_write),
        ("segment.splice_out", &rules::STATE_STREAM, splice_out),
        ("segment.splice_in", &rules::STATE_STREAM, splice_in),
        ("segment.dup_shares_the_stream", &rules::FSM_SAVING, dup),
        (
            "segment.dup_keeps_the_session",
            &rules::FSM_SAVING,
            dup_keeps,
        ),
        (
            "segment.dup_for_writing",
            &rules::STATE_STREAM,
            dup_for_writing,
        ),
        (
            "segment.nothing_is_read_or_written",
            &rules::STATE_STREAM,
            nothing,
        ),
        (
            "segment.pread_is_refused",
            &rules::STREAM_FILE,
            pread_is_refused,
        ),
        (
            "segment.pwrite_is_refused",
            &rules::STREAM_FILE,
            pwrite_is_refused,
        ),
        (
            "segment.lseek_is_refused",
            &rules::STREAM_FILE,
            lseek_is_refused,
        ),
        (
            "segment.read_into_bad_memory",
            &rules::FEATURE_MEMORY,
            read_into_bad_memory,
        ),
        (
            "segment.read_across_bad_memory",
            &rules::STATE_STREAM,
            read_across_bad_memory,
        ),
        (
            "segment.write_from_bad_memory",
            &rules::FEATURE_MEMORY,
            write_from_bad_memory,
        ),
        (
            "segment.states_change_between_bytes",
            &rules::FSM_SAVING,
            states_between_bytes,
        ),
        (
            "segment.stop_copy_within_a_record",
            &rules::FSM_SAVING,
            stop_within_a_record,
        ),
        ("segment.unread_precopy", &rules::FSM_SAVING, unread_precopy),
    ] {
        cases.push(Case::new(name, rule, run));
    }
    cases
}

fn failed(what: &str) -> impl Fn(Errno) -> End + '_ {
    move |errno| End::Error(format!("{what}: {errno:?}"))
}

/// Begins to save, by way of pre-copy if there is that.
fn begin(trial: &Trial<'_>) -> Result<(Data, State), End> {
    let state = if State::PreCopy.exists(trial.flags()?) {
        State::PreCopy
    } else {
        State::StopCopy
    };
    Ok((trial.device()?.begin(state)?, state))
}

/// The device is in STOP_COPY and all was read: it must load.
fn finish(trial: &Trial<'_>, stream: &[u8]) -> Verdict {
    trial.device()?.go(State::Stop)?;
    trial.prove(stream)?;
    Ok(())
}

/// Reads to an end in pieces of `size`.
fn read_pieces(data: &Data, size: usize, stream: &mut Vec<u8>) -> Result<Read, Errno> {
    let mut size = size;
    for call in 1.. {
        if call % CALLS == 0 {
            size *= 16;
        }
        let mut piece = vec![0; size];
        match data.read(&mut piece)? {
            Read::Bytes(length) => stream.extend_from_slice(&piece[..length]),
            end => return Ok(end),
        }
    }
    Ok(Read::End)
}

fn read(trial: &Trial<'_>, size: usize) -> Verdict {
    let (data, state) = begin(trial)?;
    let mut stream = Vec::new();
    read_pieces(&data, size, &mut stream).map_err(failed("reading"))?;
    if state != State::StopCopy {
        trial.device()?.go(State::StopCopy)?;
        read_pieces(&data, size, &mut stream).map_err(failed("reading"))?;
    }
    finish(trial, &stream)
}

fn write(trial: &Trial<'_>, size: usize) -> Verdict {
    trial.flags()?;
    let stream = trial.save(trial.device()?)?;
    let target = trial.target()?;
    let data = target.begin(State::Resuming)?;
    let (small, rest) = stream.split_at(stream.len().min(size.saturating_mul(CALLS)));
    data.write_all(small, size).map_err(failed("writing"))?;
    data.write_all(rest, size.max(4096))
        .map_err(failed("writing"))?;
    target.go(State::Running)?;
    Ok(())
}

fn vectored_read(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let data = trial.device()?.begin(State::StopCopy)?;
    let mut stream = Vec::new();
    let (mut a, mut b, mut c, mut d) = ([0; 1], [0; 0], [0; 77], vec![0; 5000]);
    loop {
        let mut list = [&mut a[..], &mut b[..], &mut c[..], &mut d[..]].map(IoSliceMut::new);
        let length = readv(data.fd(), &mut list).map_err(failed("readv"))?;
        let mut all: Vec<u8> = list
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        all.truncate(length);
        stream.extend(all);
        if length == 0 {
            return finish(trial, &stream);
        }
    }
}

fn vectored_write(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let stream = trial.save(trial.device()?)?;
    let target = trial.target()?;
    let data = target.begin(State::Resuming)?;
    let mut at = 0;
    while at < stream.len() {
        let left = &stream[at..];
        let cuts = [1, 1, 40, 4097].map(|cut: usize| cut.min(left.len()));
        let list = [
            &left[..cuts[0]],
            &left[cuts[1]..cuts[2].max(cuts[1])],
            &left[cuts[2]..cuts[3].max(cuts[2])],
        ];
        let done = writev(data.fd(), &list.map(IoSlice::new)).map_err(failed("writev"))?;
        must!(done > 0, "writev writes nothing");
        at += done;
    }
    target.go(State::Running)?;
    Ok(())
}

fn splice_out(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let data = trial.device()?.begin(State::StopCopy)?;
    let (out, into) = pipe().context("pipe")?;
    let mut stream = Vec::new();
    loop {
        let moved = match splice(data.fd(), None, &into, None, 4096, SpliceFFlags::empty()) {
            Err(Errno::EINVAL) if stream.is_empty() => {
                skip!("the descriptor does not offer splice")
            }
            moved => moved.map_err(failed("splice"))?,
        };
        if moved == 0 {
            return finish(trial, &stream);
        }
        let mut piece = vec![0; moved];
        let mut done = 0;
        while done < moved {
            done += unistd::read(&out, &mut piece[done..]).map_err(failed("the pipe"))?;
        }
        stream.extend(piece);
    }
}

fn splice_in(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let stream = trial.save(trial.device()?)?;
    let target = trial.target()?;
    let data = target.begin(State::Resuming)?;
    let (out, into) = pipe().context("pipe")?;
    let mut offered = false;
    for piece in stream.chunks(4096) {
        let length = unistd::write(&into, piece).map_err(failed("the pipe"))?;
        must!(length == piece.len(), "the pipe takes {length} bytes only");
        let mut left = length;
        while left > 0 {
            left -= match splice(&out, None, data.fd(), None, left, SpliceFFlags::empty()) {
                Err(Errno::EINVAL) if !offered => skip!("the descriptor does not offer splice"),
                moved => moved.map_err(failed("splice"))?,
            };
            offered = true;
        }
    }
    target.go(State::Running)?;
    Ok(())
}

fn dup(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let data = trial.device()?.begin(State::StopCopy)?;
    let second = data.dup()?;
    let mut stream = Vec::new();
    for turn in 0.. {
        let from = if turn % 2 == 0 { &data } else { &second };
        let mut piece = [0; 333];
        match from.read(&mut piece).map_err(failed("reading"))? {
            Read::Bytes(length) => stream.extend_from_slice(&piece[..length]),
            end => {
                must!(end == Read::End, "it ends with {end:?}");
                break;
            }
        }
    }
    finish(trial, &stream)
}

fn dup_keeps(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let data = trial.device()?.begin(State::StopCopy)?;
    let second = data.dup()?;
    let mut stream = vec![0; 10];
    let length = data.read_raw(&mut stream).map_err(failed("reading"))?;
    stream.truncate(length);
    drop(data);
    stream.extend(
        second
            .read_all()
            .context("after the first descriptor was closed")?,
    );
    finish(trial, &stream)
}

fn dup_for_writing(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let stream = trial.save(trial.device()?)?;
    let target = trial.target()?;
    let data = target.begin(State::Resuming)?;
    let second = data.dup()?;
    for (turn, piece) in stream.chunks(stream.len().div_ceil(9)).enumerate() {
        let into = if turn % 2 == 0 { &data } else { &second };
        into.write_all(piece, piece.len())
            .map_err(failed("writing"))?;
    }
    drop(data);
    target.go(State::Running)?;
    Ok(())
}

fn nothing(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let device = trial.device()?;
    let data = device.begin(State::StopCopy)?;
    let mut stream = vec![0; 5];
    let length = data.read_raw(&mut stream).map_err(failed("reading"))?;
    stream.truncate(length);
    // POSIX lets a read of nothing return 0 or an error.
    let _ = data.read_raw(&mut []);
    stream.extend(data.read_all().context("after a read of nothing")?);
    device.go(State::Stop)?;
    let target = trial.target()?;
    let data = target.begin(State::Resuming)?;
    let (first, second) = stream.split_at(5.min(stream.len()));
    data.write_all(first, 5).map_err(failed("writing"))?;
    let _ = data.write(&[]);
    data.write_all(second, 4096).map_err(failed("writing"))?;
    let _ = data.write(&[]);
    target
        .go(State::Running)
        .context("after a write of nothing")?;
    Ok(())
}

fn pread_is_refused(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let data = trial.device()?.begin(State::StopCopy)?;
    let mut stream = vec![0; 5];
    let length = data.read_raw(&mut stream).map_err(failed("reading"))?;
    stream.truncate(length);
    for offset in [0, 5, 1 << 40] {
        let answer = pread(data.fd(), &mut [0; 16], offset);
        should_be_refused(trial, &format!("pread at {offset}"), answer);
    }
    stream.extend(data.read_all().context("after pread")?);
    finish(trial, &stream)
}

fn pwrite_is_refused(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let stream = trial.save(trial.device()?)?;
    let target = trial.target()?;
    let data = target.begin(State::Resuming)?;
    let (first, second) = stream.split_at(5.min(stream.len()));
    data.write_all(first, 5).map_err(failed("writing"))?;
    for offset in [0, 5, 1 << 40] {
        let answer = pwrite(data.fd(), &[0xa5; 16], offset);
        should_be_refused(trial, &format!("pwrite at {offset}"), answer);
    }
    data.write_all(second, 4096).map_err(failed("writing"))?;
    target.go(State::Running).context("after pwrite")?;
    Ok(())
}

fn lseek_is_refused(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let data = trial.device()?.begin(State::StopCopy)?;
    let mut stream = vec![0; 5];
    let length = data.read_raw(&mut stream).map_err(failed("reading"))?;
    stream.truncate(length);
    for (offset, whence) in [
        (0, Whence::SeekSet),
        (100, Whence::SeekCur),
        (0, Whence::SeekEnd),
    ] {
        let answer = lseek(data.fd(), offset, whence);
        should_be_refused(trial, &format!("lseek by {offset}, {whence:?}"), answer);
    }
    stream.extend(data.read_all().context("after lseek")?);
    finish(trial, &stream)
}

/// That it has no position is not written; that it is a stream is.
fn should_be_refused<T>(trial: &Trial<'_>, what: &str, answer: Result<T, Errno>) {
    match answer {
        Ok(_) => trial.advise(format!("{what} succeeds")),
        Err(errno) => trial.should(errno == Errno::ESPIPE, || {
            format!("{what} is refused with {errno:?}, not ESPIPE")
        }),
    }
}

/// Nothing was read, so nothing may be missing.
fn read_into_bad_memory(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let data = trial.device()?.begin(State::StopCopy)?;
    let memory = Memory::new(1)?;
    memory.protect(0, 1, Access::ReadOnly)?;
    for _ in 0..3 {
        trial.refused(
            "a read into memory that is read-only",
            data.read_into(&memory, 0, 100),
            Errno::EFAULT,
        );
    }
    let stream = data.read_all().context("after reads that failed")?;
    finish(trial, &stream)
}

/// The first bytes can be delivered: either they are, or they come again.
fn read_across_bad_memory(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let data = trial.device()?.begin(State::StopCopy)?;
    let memory = Memory::new(2)?;
    memory.protect(1, 1, Access::None)?;
    let mut stream = Vec::new();
    match data.read_into(&memory, PAGE - 10, 300) {
        Ok(length) => {
            must!(
                length <= 10,
                "a read returns {length} bytes, of which 10 have memory"
            );
            stream.extend(memory.load(PAGE - 10, length));
        }
        Err(errno) => trial.should(errno == Errno::EFAULT, || {
            format!("it is {errno:?}, not EFAULT")
        }),
    }
    stream.extend(
        data.read_all()
            .context("after a read into memory of which half is there")?,
    );
    finish(trial, &stream)
}

fn write_from_bad_memory(trial: &Trial<'_>) -> Verdict {
    trial.flags()?;
    let stream = trial.save(trial.device()?)?;
    let target = trial.target()?;
    let data = target.begin(State::Resuming)?;
    let memory = Memory::new(1)?;
    memory.protect(0, 1, Access::None)?;
    trial.refused(
        "a write from memory that cannot be read",
        data.write_from(&memory, 0, 100),
        Errno::EFAULT,
    );
    // No byte was taken, so that all of them are still to come.
    let written = data.write_all(&stream, 1 << 16);
    let loaded = written.and_then(|()| target.set(State::Running).map(drop));
    trial.should(loaded.is_ok(), || {
        format!("after a write that failed the stream does not load: {loaded:?}")
    });
    Ok(())
}

/// Back and forth between the pre-copy states, with a byte or a few read in each.
fn states_between_bytes(trial: &Trial<'_>) -> Verdict {
    let device = trial.require(State::PreCopyP2p)?;
    let data = device.begin(State::PreCopy)?;
    let mut stream = Vec::new();
    for (turn, size) in [1, 2, 7, 1, 100, 13, 1, 1000, 5, 1].into_iter().enumerate() {
        let mut piece = vec![0; size];
        if let Read::Bytes(length) = data.read(&mut piece).map_err(failed("reading"))? {
            stream.extend_from_slice(&piece[..length]);
        }
        device.go(if turn % 2 == 0 {
            State::PreCopyP2p
        } else {
            State::PreCopy
        })?;
    }
    device.go(State::StopCopy)?;
    stream.extend(data.read_all()?);
    finish(trial, &stream)
}

fn stop_within_a_record(trial: &Trial<'_>) -> Verdict {
    let device = trial.require(State::PreCopy)?;
    for size in [1, 2, 3, 5, 9, 17, 33, 65, 129] {
        let data = device.begin(State::PreCopy)?;
        let mut stream = vec![0; size];
        match data.read(&mut stream).map_err(failed("reading"))? {
            Read::Bytes(length) => stream.truncate(length),
            end => return Err(End::Error(format!("the first read comes to {end:?}"))),
        }
        device.go(State::StopCopy)?;
        stream.extend(data.read_all()?);
        device.go(State::Stop)?;
        trial
            .prove(&stream)
            .with_context(|| format!("stopped after {size} bytes"))?;
        device.go(State::Running)?;
    }
    Ok(())
}

fn unread_precopy(trial: &Trial<'_>) -> Verdict {
    let device = trial.require(State::PreCopy)?;
    let data = device.begin(State::PreCopy)?;
    device.go(State::StopCopy)?;
    let stream = data.read_all()?;
    finish(trial, &stream)
}
