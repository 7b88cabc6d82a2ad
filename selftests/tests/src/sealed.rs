// SPDX-License-Identifier: GPL-2.0
//! Fixture `sealed`: streams with the records that our driver adds. What they
//! say, that nothing may contradict it, and how each refusal is told.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use vvp_harness::control::opcode;
use vvp_harness::kmsg::Log;
use vvp_harness::ktap::Suite;
use vvp_harness::vfio::Access;
use vvp_harness::{expect, expect_eq};

use crate::config::{Config, DeviceType, Driver};
use crate::framing::{
    self, DATA, DRIVER_FEATURES, END, END_LENGTH, IDENTITY, OPTIONAL, PART_HEADER, Record, end,
    parts, stream,
};
use crate::loading::Loading;
use crate::rig;

const LIMIT: Duration = Duration::from_secs(120);

// Fields of an identity's content.
const MAGIC: usize = 0;
const VERSION: usize = 4;
const DEVICE_TYPE: usize = 6;
const PARTS: usize = 8;
const WORDS: usize = 12;
const FLAGS: usize = 14;
const FEATURES: usize = 16;

type Body = fn(&Config, &Loading) -> Result<()>;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let tests: [(&str, Body); 12] = [
        ("identity_first_end_last", identity_first_end_last),
        ("other_device_type", other_device_type),
        (
            "features_that_the_target_lacks",
            features_that_the_target_lacks,
        ),
        (
            "features_that_nobody_negotiated",
            features_that_nobody_negotiated,
        ),
        ("other_version", other_version),
        ("malformed_identity", malformed_identity),
        ("checksum", checksum),
        ("checksum_left_out", checksum_left_out),
        ("missing_records", missing_records),
        ("records_behind_the_end", records_behind_the_end),
        ("parts_out_of_order", parts_out_of_order),
        ("a_reset_leaves_nothing", a_reset_leaves_nothing),
    ];
    for (name, test) in tests {
        // Of a block function's parts there is none that a device takes whatever it holds.
        if name == "checksum" && config.device == DeviceType::Blk {
            continue;
        }
        let config = Arc::clone(config);
        suite.add_slow("sealed", "rs", name, LIMIT, move || {
            test(&config, &Loading::set_up(&config)?)
        });
    }
}

/// The records without the end, to be changed and ended anew.
fn without_end(loading: &Loading) -> Result<Vec<Record>> {
    let mut records = framing::records(&loading.stream)?;
    let last = records.pop().context("an empty stream")?;
    expect_eq!(last.tag, END, "tag of the last record");
    Ok(records)
}

/// The stream of `records` and the end that they must have.
fn ended(records: &[Record]) -> Vec<u8> {
    [stream(records), end(records).bytes()].concat()
}

/// The stream with its identity changed.
fn with_identity(loading: &Loading, change: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<u8>> {
    let mut records = without_end(loading)?;
    let first = records.first_mut().context("no identity")?;
    expect_eq!(first.tag, IDENTITY, "tag of the first record");
    change(&mut first.content);
    Ok(ended(&records))
}

/// The refusal must be in the kernel log, in one line with these words.
fn refuses_and_says(
    loading: &Loading,
    error: Errno,
    words: &str,
    what: &str,
    stream: &[u8],
) -> Result<()> {
    let mut log = Log::follow()?;
    loading.refuses_with(error, what, stream)?;
    let messages = log.messages()?;
    let told: Vec<_> = messages
        .iter()
        .filter(|message| message.contains("migration stream: "))
        .collect();
    expect_eq!(told.len(), 1, "{what}: lines in the kernel log: {told:?}");
    expect!(told[0].contains(words), "{what}: no '{words}' in {told:?}");
    Ok(())
}

fn identity_first_end_last(config: &Config, loading: &Loading) -> Result<()> {
    let records = framing::records(&loading.stream)?;
    let tags: Vec<u32> = records.iter().map(|record| record.tag).collect();
    expect_eq!(tags, [IDENTITY, DATA, END], "tags");
    let flags: Vec<u32> = records.iter().map(|record| record.flags).collect();
    expect_eq!(flags, [OPTIONAL, 0, OPTIONAL], "flags");

    let identity = &records[0].content;
    ensure!(identity.len() >= FEATURES, "an identity of {identity:?}");
    let parts = parts(&records[1].content)?;
    expect_eq!(&identity[MAGIC..VERSION], b"VVPS", "magic");
    expect_eq!(identity[VERSION..DEVICE_TYPE], [1, 0], "version");
    let kind = config.device.virtio_type();
    expect_eq!(identity[DEVICE_TYPE..PARTS], [kind, 0], "device type");
    let count = (parts.len() as u32).to_le_bytes();
    expect_eq!(identity[PARTS..WORDS], count, "number of parts");
    let (_, features) = parts
        .iter()
        .find(|(kind, _)| *kind == DRIVER_FEATURES)
        .context("no part with the driver's features")?;
    let mut features = &features[PART_HEADER..];
    while let Some(shorter) = features.strip_suffix(&[0; 8]) {
        features = shorter;
    }
    let words = (features.len() as u32 / 8).to_le_bytes();
    expect_eq!(identity[WORDS..FEATURES], words, "number of feature words");
    expect_eq!(&identity[FEATURES..], features, "features");

    expect_eq!(records[2], end(&records[..2]), "end");
    Ok(())
}

fn other_device_type(config: &Config, loading: &Loading) -> Result<()> {
    let own = config.device.virtio_type();
    let other = match config.device {
        DeviceType::Net => DeviceType::Blk.virtio_type(),
        DeviceType::Blk => DeviceType::Net.virtio_type(),
    };
    let stream = with_identity(loading, |identity| identity[DEVICE_TYPE] = other)?;
    let words = format!("is of a device of type {other}, this one has type {own}");
    refuses_and_says(
        loading,
        Errno::EMEDIUMTYPE,
        &words,
        "another device",
        &stream,
    )
}

/// Which feature the device lacks is said when it refuses its parts, not before: asking costs
/// commands, and a guest may be waiting.
fn features_that_the_target_lacks(config: &Config, loading: &Loading) -> Result<()> {
    // Bit 49: reserved by the specification; no device offers it.
    const BYTE: usize = 6;
    const BIT: u8 = 2;
    let mut records = without_end(loading)?;
    records[0].content[FEATURES + BYTE] |= BIT;
    let with_feature = |(kind, mut part): (u16, Vec<u8>)| {
        if kind == DRIVER_FEATURES {
            part[PART_HEADER + BYTE] |= BIT;
        }
        part
    };
    let content = &records[1].content;
    records[1].content = parts(content)?.into_iter().flat_map(with_feature).collect();
    let words = "feature 49, which this device does not offer";
    let what = "feature 49";
    refuses_and_says(loading, Errno::EOPNOTSUPP, words, what, &ended(&records))?;

    let mut control = config.bench.then(|| config.control()).transpose()?;
    let mut gets = || -> Result<Option<u64>> {
        Ok(match &mut control {
            Some(control) => Some(control.state()?.commands(opcode::DEV_PARTS_GET)),
            None => None,
        })
    };
    let before = gets()?;
    loading.accepts("features that the target has", &loading.stream)?;
    expect_eq!(gets()?, before, "commands that read the target's parts");
    Ok(())
}

/// What the identity says of the device data must be so.
fn features_that_nobody_negotiated(config: &Config, loading: &Loading) -> Result<()> {
    let stream = with_identity(loading, |identity| identity[FEATURES] ^= 1)?;
    let mut control = config.bench.then(|| config.control()).transpose()?;
    let mut sets = || -> Result<Option<u64>> {
        Ok(match &mut control {
            Some(control) => Some(control.state()?.commands(opcode::DEV_PARTS_SET)),
            None => None,
        })
    };
    rig::recover(&loading.target)?;
    let before = sets()?;
    let written = rig::resume(&loading.target)?.write_all(&stream);
    expect_eq!(
        written,
        Err(Errno::EBADMSG),
        "an identity without feature 0"
    );
    expect_eq!(sets()?, before, "commands that set parts");
    let words = "other features than announced";
    refuses_and_says(loading, Errno::EBADMSG, words, "feature 0", &stream)
}

/// An identity is optional: one of a version that nobody knows yet is skipped,
/// and what follows it must still be sound.
fn other_version(_: &Config, loading: &Loading) -> Result<()> {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 3] = [
        ("version 2", |_| ()),
        ("a longer version 2", |identity| identity.extend([0x5a; 24])),
        ("a version 2 of many pages", |identity| {
            identity.extend([0x5a; 20_000])
        }),
    ];
    for (what, change) in changes {
        let stream = with_identity(loading, |identity| {
            identity[VERSION] = 2;
            change(identity);
        })?;
        loading.accepts(what, &stream)?;
        let mut damaged = stream.clone();
        let checksum = damaged.len() - END_LENGTH + 8;
        damaged[checksum] ^= 1;
        loading.refuses_with(Errno::EBADMSG, &format!("{what}, damaged"), &damaged)?;
    }
    Ok(())
}

fn malformed_identity(_: &Config, loading: &Loading) -> Result<()> {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 6] = [
        ("no magic", |identity| identity[MAGIC] ^= 1),
        ("nothing", Vec::clear),
        ("a byte", |identity| identity.truncate(1)),
        ("half a feature word", |identity| {
            identity.truncate(FEATURES + 4)
        }),
        ("a word too much", |identity| identity.extend([0; 8])),
        ("4 GiB of words", |identity| {
            identity[WORDS..FEATURES].fill(0xff)
        }),
    ];
    for (what, change) in changes {
        loading.refuses(what, &with_identity(loading, change)?)?;
    }
    Ok(())
}

fn checksum(_: &Config, loading: &Loading) -> Result<()> {
    let good = framing::records(&loading.stream)?;
    // The hardware address: the device would take any.
    let mut bad = good.clone();
    let address = bad[1]
        .content
        .windows(rig::DRIVER_MAC.len())
        .position(|bytes| bytes == rig::DRIVER_MAC)
        .context("no part with the driver's address")?;
    bad[1].content[address + 5] ^= 0x80;
    refuses_and_says(
        loading,
        Errno::EBADMSG,
        "checksum",
        "a changed byte",
        &stream(&bad),
    )?;
    let mut bad = good.clone();
    bad[2].content[8] ^= 1;
    loading.refuses_with(Errno::EBADMSG, "a changed checksum", &stream(&bad))?;
    let mut bad = good;
    bad.insert(
        1,
        Record {
            flags: OPTIONAL,
            tag: 0x7777,
            content: vec![1, 2, 3],
        },
    );
    let records = bad.len() as u64 - 1;
    bad[3].content[..8].copy_from_slice(&records.to_le_bytes());
    loading.refuses_with(Errno::EBADMSG, "an added record", &stream(&bad))
}

/// A stream without a checksum says so, and whatever else protects it stays. It is chosen
/// for a device, and for each stream anew.
fn checksum_left_out(config: &Config, loading: &Loading) -> Result<()> {
    const CHOICE: &str = "stream_checksum";
    let vf = config.vf()?;
    let choice = || -> Result<String> { Ok(vf.attribute(CHOICE)?.trim().to_owned()) };
    expect_eq!(choice()?, "1", "the choice by default");
    for nonsense in ["\n", "2", "maybe"] {
        let written = fs::write(vf.path().join(CHOICE), nonsense);
        let error = written.map_err(|error| error.raw_os_error());
        expect_eq!(
            error,
            Err(Some(Errno::EINVAL as i32)),
            "writing {nonsense:?}"
        );
    }
    expect_eq!(choice()?, "1", "the choice after what is none");

    let source = rig::open(config, &vf, Driver::Rs, Access::Cdev)?;
    vf.set_attribute(CHOICE, "0")?;
    expect_eq!(choice()?, "0", "the choice");
    let saved = rig::save(&source);
    vf.set_attribute(CHOICE, "1")?;
    let stream = saved?;
    let records = framing::records(&stream)?;
    expect_eq!(records[0].content[FLAGS..FEATURES], [1, 0], "flags");
    expect_eq!(records[2].content, end_without_checksum(2), "end");
    loading.accepts("no checksum", &stream)?;

    let mut wrong = records.clone();
    wrong[2].content = end_without_checksum(3);
    let bytes = framing::stream(&wrong);
    loading.refuses_with(Errno::EBADMSG, "a wrong number of records", &bytes)?;
    wrong[2] = end(&records[..2]);
    let bytes = framing::stream(&wrong);
    loading.refuses_with(Errno::EBADMSG, "a checksum that is not to be", &bytes)?;
    loading.refuses("no end", &framing::stream(&records[..2]))?;

    rig::recover(&source)?;
    let records = framing::records(&rig::save(&source)?)?;
    expect_eq!(
        records[0].content[FLAGS..FEATURES],
        [0, 0],
        "flags afterwards"
    );
    expect_eq!(records[2], end(&records[..2]), "end afterwards");
    Ok(())
}

/// The content of an end without a checksum.
fn end_without_checksum(records: u64) -> Vec<u8> {
    let mut content = records.to_le_bytes().to_vec();
    content.resize(END_LENGTH, 0);
    content
}

fn missing_records(_: &Config, loading: &Loading) -> Result<()> {
    let records = without_end(loading)?;
    let (identity, data) = (&records[..1], &records[1..]);
    refuses_and_says(
        loading,
        Errno::EINVAL,
        "end record",
        "no end",
        &stream(&records),
    )?;
    // A record is lost on the way.
    let lost = [stream(data), end(&records).bytes()].concat();
    loading.refuses_with(Errno::EBADMSG, "no identity", &lost)?;
    loading.refuses("no data", &ended(identity))?;
    // Half of the parts are lost, in a record that is whole.
    let mut some = parts(&records[1].content)?;
    some.truncate(some.len() / 2);
    let some: Vec<u8> = some.into_iter().flat_map(|(_, part)| part).collect();
    let fewer = ended(&[records[0].clone(), Record::data(&some)]);
    loading.refuses_with(Errno::EBADMSG, "half of the parts", &fewer)
}

fn records_behind_the_end(_: &Config, loading: &Loading) -> Result<()> {
    for (what, behind) in [
        ("the stream again", loading.stream.clone()),
        ("data", loading.plain()?),
        (
            "an optional record",
            framing::record(3, OPTIONAL, 0x7777, b"abc"),
        ),
    ] {
        loading.refuses(what, &[&loading.stream[..], &behind].concat())?;
    }
    Ok(())
}

fn parts_out_of_order(_: &Config, loading: &Loading) -> Result<()> {
    let mut records = without_end(loading)?;
    let mut parts = parts(&records[1].content)?;
    let features = parts
        .iter()
        .position(|(kind, _)| *kind == DRIVER_FEATURES)
        .context("no part with the driver's features")?;
    // Status and queues stand behind the features.
    let behind = parts.remove(features);
    let (last, _) = parts
        .iter()
        .enumerate()
        .rfind(|(_, (kind, _))| (0x102..=0x105).contains(kind))
        .context("no queues")?;
    parts.insert(last + 1, behind);
    records[1].content = parts.into_iter().flat_map(|(_, part)| part).collect();
    let words = "type 0x101 is out of order";
    let stream = ended(&records);
    refuses_and_says(loading, Errno::EILSEQ, words, "features last", &stream)
}

/// A stream that is refused when all of its data is loaded leaves nothing of it.
fn a_reset_leaves_nothing(config: &Config, loading: &Loading) -> Result<()> {
    if !config.bench {
        vvp_harness::skip!("only the bench can tell which parts a device has");
    }
    let name = config.bench_name(&config.vf2()?)?;
    let mut control = config.control()?;
    rig::recover(&loading.target)?;
    let new = control.parts(&name)?;
    let mut records = framing::records(&loading.stream)?;
    records[2].content[8] ^= 1;
    let written = rig::resume(&loading.target)?.write_all(&stream(&records));
    expect_eq!(written, Err(Errno::EBADMSG), "a wrong checksum");
    expect!(control.parts(&name)? != new, "the test loads nothing");
    rig::recover(&loading.target)?;
    expect_eq!(control.parts(&name)?, new, "parts after a reset");
    Ok(())
}
