// SPDX-License-Identifier: GPL-2.0
//! Fixture `stream`: what the loader of our driver makes of good and bad streams.
//!
//! None of these runs against the C driver: several of them crash it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use nix::errno::Errno;
use vvp_harness::failslab::Failslab;
use vvp_harness::ktap::Suite;
use vvp_harness::vfio::State;
use vvp_harness::{expect, expect_eq, note};

use crate::config::Config;
use crate::framing::{self, DATA, DRIVER_FEATURES, HEADER, OPTIONAL, PART_HEADER, record};
use crate::loading::Loading;
use crate::{memory, rig};

const LIMIT: Duration = Duration::from_secs(180);

type Body = fn(&Loading) -> Result<()>;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let tests: [(&str, Body); 14] = [
        ("byte_by_byte", byte_by_byte),
        ("odd_segments", odd_segments),
        ("repeated_records", repeated_records),
        ("truncated", truncated),
        ("empty", empty),
        ("garbage", garbage),
        ("unknown_records", unknown_records),
        ("huge_records", huge_records),
        ("wrapping_sizes", wrapping_sizes),
        ("empty_record", empty_record),
        ("optional_records", optional_records),
        ("malformed_parts", malformed_parts),
        ("features_of_another_device", features_of_another_device),
        ("no_memory", no_memory),
    ];
    for (name, test) in tests {
        let config = Arc::clone(config);
        suite.add_slow("stream", "rs", name, LIMIT, move || {
            test(&Loading::set_up(&config)?)
        });
    }
}

/// "The user is not required to preserve buffer segmentation"
fn load_in_segments(loading: &Loading, lengths: impl Iterator<Item = usize>) -> Result<()> {
    rig::recover(&loading.target)?;
    let mut fd = rig::resume(&loading.target)?;
    let mut rest = &loading.stream[..];
    for length in lengths {
        if rest.is_empty() {
            break;
        }
        let (segment, behind) = rest.split_at(length.min(rest.len()));
        fd.write_all(segment)
            .with_context(|| format!("{length} bytes, {} before the end", rest.len()))?;
        rest = behind;
    }
    expect_eq!(rest.len(), 0, "bytes left over");
    loading.target.go(State::Stop)?;
    loading.target.go(State::Running)
}

fn byte_by_byte(loading: &Loading) -> Result<()> {
    load_in_segments(loading, std::iter::repeat(1))
}

fn odd_segments(loading: &Loading) -> Result<()> {
    for length in [3, 7, 15, 16, 17, 31, 64, 127, 4095, 4097] {
        load_in_segments(loading, std::iter::repeat(length))
            .with_context(|| format!("segments of {length}"))?;
    }
    load_in_segments(loading, (1..).map(|n| n * n % 61 + 1))
}

/// A target of a long pre-copy gets the whole state several times.
fn repeated_records(loading: &Loading) -> Result<()> {
    let data = loading.plain()?;
    loading.accepts(
        "three times the same data",
        &[&data[..], &data, &data].concat(),
    )
}

fn truncated(loading: &Loading) -> Result<()> {
    let whole = loading.stream.len();
    // A stream with an identity must have its end: there is nowhere to cut it.
    let ends: Vec<usize> = framing::records(&loading.stream)?
        .iter()
        .scan(0, |end, record| {
            *end += HEADER + record.content.len();
            Some(*end)
        })
        .collect();
    let mut cuts: Vec<usize> = std::iter::once(0)
        .chain(ends.iter().copied())
        .flat_map(|end| {
            [
                end.saturating_sub(1),
                end + 1,
                end + HEADER - 1,
                end + HEADER,
                end + HEADER + 1,
            ]
        })
        .chain((1..16).map(|n| whole * n / 16))
        .chain(ends.iter().copied())
        .filter(|cut| *cut > 0 && *cut < whole)
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    expect!(
        cuts.len() > 10,
        "only {} places to cut a stream of {whole} bytes",
        cuts.len()
    );
    for cut in cuts {
        loading.refuses(&format!("{cut} of {whole} bytes"), &loading.stream[..cut])?;
    }
    let plain = loading.plain()?;
    for cut in [
        1,
        HEADER - 1,
        HEADER,
        HEADER + 1,
        plain.len() / 2,
        plain.len() - 1,
    ] {
        loading.refuses(&format!("{cut} bytes without identity"), &plain[..cut])?;
    }
    Ok(())
}

fn empty(loading: &Loading) -> Result<()> {
    loading.refuses("nothing at all", &[])
}

fn garbage(loading: &Loading) -> Result<()> {
    // Fixed, so that a failure can be repeated.
    let mut random = Rng::with_seed(1);
    for round in 0..8 {
        let mut bytes = [0; 4096];
        random.fill(&mut bytes);
        loading.refuses(&format!("garbage {round}"), &bytes)?;
    }
    loading.refuses("zeroes", &[0; 4096])?;
    loading.refuses("ones", &[0xff; 4096])
}

fn unknown_records(loading: &Loading) -> Result<()> {
    let data = loading.plain()?;
    for (flags, tag, error) in [
        (0, 0x7777, Errno::EPROTO),
        (2, DATA, Errno::EINVAL),
        (OPTIONAL, DATA, Errno::EINVAL),
        (1 << 31, DATA, Errno::EINVAL),
        (2 | OPTIONAL, 0x7777, Errno::EINVAL),
    ] {
        let unknown = record(32, flags, tag, &[0x5a; 32]);
        let what = format!("record with flags {flags:#x} and tag {tag:#x}");
        let (first, last) = (
            [&unknown[..], &data].concat(),
            [&data[..], &unknown].concat(),
        );
        loading.refuses_with(error, &format!("{what} first"), &first)?;
        loading.refuses_with(error, &format!("{what} last"), &last)?;
    }
    Ok(())
}

/// Nothing may be allocated for bytes that have only been announced.
fn costs_nothing(loading: &Loading, what: &str, stream: &[u8]) -> Result<()> {
    rig::recover(&loading.target)?;
    let mut fd = rig::resume(&loading.target)?;
    let before = memory::available()?;
    let written = fd.write_all(stream);
    let after = memory::available()?;
    note!(
        "{what}: write {written:?}, {} KiB less memory",
        before.saturating_sub(after) >> 10
    );
    expect!(
        after + memory::NOISE > before,
        "{what}: {} MiB of memory gone",
        (before - after) >> 20
    );
    Ok(())
}

fn huge_records(loading: &Loading) -> Result<()> {
    for size in [
        256 << 20,
        (512 << 20) + 1,
        (1 << 32) - 4096,
        1 << 32,
        1 << 40,
        1 << 62,
    ] {
        let stream = record(size, 0, DATA, &[0x5a; 64]);
        let what = format!("record of {size:#x} bytes");
        costs_nothing(loading, &what, &stream)?;
        loading.refuses_with(Errno::EMSGSIZE, &what, &stream)?;
        let what = format!("optional record of {size:#x} bytes");
        costs_nothing(loading, &what, &record(size, OPTIONAL, 0x7777, &[0x5a; 64]))?;
    }
    Ok(())
}

/// Sizes whose sum with anything overflows.
fn wrapping_sizes(loading: &Loading) -> Result<()> {
    for base in [
        u64::MAX,
        u64::from(u32::MAX),
        i64::MAX as u64,
        i32::MAX as u64,
    ] {
        for less in [0, 1, 4, 7, 8, 15, 16, 4095, 4096] {
            let size = base - less;
            let stream = record(size, 0, DATA, &loading.data()?);
            loading.refuses_with(
                Errno::EMSGSIZE,
                &format!("record of {size:#x} bytes"),
                &stream,
            )?;
        }
    }
    Ok(())
}

fn empty_record(loading: &Loading) -> Result<()> {
    let nothing = record(0, 0, DATA, &[]);
    loading.refuses("an empty record", &nothing)?;
    loading.refuses(
        "data, then an empty record",
        &[&loading.plain()?[..], &nothing].concat(),
    )
}

fn optional_records(loading: &Loading) -> Result<()> {
    let data = &loading.plain()?[..];
    for length in [0, 1, 15, 16, 4096, 4097, 1 << 20] {
        let optional = record(length as u64, OPTIONAL, 0x7777, &vec![0x5a; length]);
        let what = format!("optional record of {length} bytes");
        loading.accepts(&format!("{what} first"), &[&optional[..], data].concat())?;
        loading.accepts(&format!("{what} last"), &[data, &optional[..]].concat())?;
        loading.accepts(
            &format!("{what} around"),
            &[&optional[..], &optional, data, &optional].concat(),
        )?;
        loading.refuses(&format!("{what} alone"), &optional)?;
        if length > 0 {
            let cut = &optional[..optional.len() - 1];
            loading.refuses(&format!("{what}, cut"), &[data, cut].concat())?;
        }
    }
    Ok(())
}

/// Records that are whole, with device parts that are not.
fn malformed_parts(loading: &Loading) -> Result<()> {
    const LENGTH_AT: usize = 12;
    let data = &loading.data()?[..];
    let whole = |content: &[u8]| record(content.len() as u64, 0, DATA, content);
    loading.refuses("half a part header", &whole(&data[..PART_HEADER / 2]))?;
    loading.refuses("the last part cut", &whole(&data[..data.len() - 1]))?;
    let mut longer = data.to_vec();
    longer[LENGTH_AT] = longer[LENGTH_AT].wrapping_add(1);
    loading.refuses("the first part's length is off by one", &whole(&longer))?;
    let mut huge = data.to_vec();
    huge[LENGTH_AT..PART_HEADER].copy_from_slice(&u32::MAX.to_le_bytes());
    loading.refuses("a part of 4 GiB", &whole(&huge))?;
    loading.refuses("bytes behind the parts", &whole(&[data, &[0; 8]].concat()))
}

/// A state that the device cannot have, in a stream that is well formed.
fn features_of_another_device(loading: &Loading) -> Result<()> {
    let mut parts = framing::parts(&loading.data()?)?;
    let (_, features) = parts
        .iter_mut()
        .find(|(kind, _)| *kind == DRIVER_FEATURES)
        .context("no part with the driver's features")?;
    // Bit 49: reserved by the specification; no device offers it.
    features[PART_HEADER + 6] |= 2;
    let data: Vec<u8> = parts.into_iter().flat_map(|(_, part)| part).collect();
    let stream = record(data.len() as u64, 0, DATA, &data);
    loading.refuses_with(
        Errno::EOPNOTSUPP,
        "a feature that the device does not offer",
        &stream,
    )
}

/// A write that failed for want of memory has lost bytes of the stream: nothing
/// may be made of the rest, and what was lost is not sent again.
fn no_memory(loading: &Loading) -> Result<()> {
    /// More allocations than taking the stream has.
    const MANY: u32 = 200;
    let failslab = Failslab::enable()?;
    for nth in 1..MANY {
        rig::recover(&loading.target)?;
        let mut fd = rig::resume(&loading.target)?;
        let (written, failed) = failslab.failing(nth, || fd.write_all(&loading.stream))?;
        if !failed {
            expect_eq!(written, Ok(()), "a write with all its memory");
            loading.target.go(State::Stop)?;
            note!("{} allocations", nth - 1);
            return Ok(());
        }
        // Some allocations have a second chance.
        let Err(error) = written else {
            loading.target.go(State::Stop)?;
            continue;
        };
        let what = format!("allocation {nth}");
        expect_eq!(fd.write_all(&loading.stream), Err(error), "{what}: again");
        let ended = loading.target.set_state(State::Stop).map(drop);
        expect_eq!(ended, Err(error), "{what}: RESUMING -> STOP");
        expect_eq!(loading.target.state()?, State::Error, "{what}: state");
    }
    bail!("{MANY} allocations for a small stream");
}
