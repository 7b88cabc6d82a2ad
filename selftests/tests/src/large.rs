// SPDX-License-Identifier: GPL-2.0
//! Fixture `large`: functions whose context has many megabytes, on an admin
//! queue that is no larger than others and has no indirect descriptors.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use vvp_harness::ktap::Suite;
use vvp_harness::vfio::{Access, Device, Space, State};
use vvp_harness::{expect, expect_eq, note};

use crate::config::{Config, Driver};
use crate::framing::{self, DATA};
use crate::rig;

const LIMIT: Duration = Duration::from_secs(180);

/// What the functions have at least.
const LARGE: usize = 60 << 20;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    type Test = fn(&Config) -> Result<()>;
    let tests: [(&str, Test); 2] = [("stop_copy", stop_copy), ("pre_copy", pre_copy)];
    for (name, test) in tests {
        let config = Arc::clone(config);
        suite.add_slow("large", "rs_cdev", name, LIMIT, move || test(&config));
    }
}

fn pair(config: &Config) -> Result<[Device; 2]> {
    let open = |function| {
        let space = Arc::new(Space::new(Access::Cdev)?);
        rig::open_in(config, function, Driver::Rs, &space)
    };
    Ok([open(&config.vf()?)?, open(&config.vf2()?)?])
}

/// The device data of the first record.
fn data(stream: &[u8]) -> Result<Vec<u8>> {
    let records = framing::records(stream)?.into_iter();
    let data = records.into_iter().find(|record| record.tag == DATA);
    Ok(data.context("no device data")?.content)
}

/// What the target has must be what the source had.
fn expect_loaded(source: &[u8], target: &Device) -> Result<()> {
    let again = data(&rig::save(target)?)?;
    let source = data(source)?;
    expect!(source.len() >= LARGE, "only {} bytes", source.len());
    expect_eq!(again.len(), source.len(), "bytes of the target's context");
    let differs = again.iter().zip(&source).position(|(a, b)| a != b);
    expect_eq!(differs, None, "first byte that differs");
    target.go(State::Running)
}

/// The source is not what the target is without having been loaded.
fn change_source(config: &Config, value: u8) -> Result<()> {
    let name = config.bench_name(&config.vf()?)?;
    let mut control = config.control()?;
    for position in [0, LARGE / 2, LARGE - 1] {
        control.poke_extra(&name, position, value)?;
    }
    Ok(())
}

fn stop_copy(config: &Config) -> Result<()> {
    let [source, target] = pair(config)?;
    change_source(config, 0x5a)?;
    let announced = source.data_size()?;
    let stream = rig::save(&source)?;
    expect!(
        stream.len() as u64 <= announced,
        "{} bytes, {announced} were announced",
        stream.len()
    );
    note!("{} bytes", stream.len());
    rig::load(&target, &stream)?;
    expect_loaded(&stream, &target)
}

fn pre_copy(config: &Config) -> Result<()> {
    let [source, target] = pair(config)?;
    let mut fd = source.begin(State::PreCopy)?;
    let info = fd.precopy()?;
    let mut stream = fd.read_available()?;
    expect_eq!(stream.len() as u64, info.initial_bytes, "initial bytes");
    let initial = data(&stream)?;
    change_source(config, 0xa5)?;
    source.go(State::StopCopy)?;
    let last = fd.read_all()?;
    expect!(
        last.len() < LARGE / 100,
        "{} bytes in STOP_COPY after three of them changed",
        last.len()
    );
    stream.extend(last);
    rig::load(&target, &stream)?;
    // What the source has now.
    source.go(State::Stop)?;
    let now = rig::save(&source)?;
    expect!(data(&now)? != initial, "nothing changed in the source");
    expect_loaded(&now, &target)
}
