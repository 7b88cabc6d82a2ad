// SPDX-License-Identifier: GPL-2.0
//! Fixture `round_trip`: the state of a function in use, moved to another
//! function, where its driver goes on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use vvp_harness::control::Control;
use vvp_harness::ktap::Suite;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Access, Device, MSIX, Space, State};
use vvp_harness::{expect, expect_eq, note};

use crate::config::{Config, Driver};
use crate::framing;
use crate::rig::{self, Talk};

const LIMIT: Duration = Duration::from_secs(120);

/// How the source is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All at once, from the stopped device.
    StopCopy,
    /// First while it runs, then the rest.
    PreCopy,
}

impl Mode {
    /// As it appears in the names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::StopCopy => "stop_copy",
            Self::PreCopy => "pre_copy",
        }
    }
}

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    use Access::{Cdev, Group};
    use Driver::{C, Rs};
    use Mode::{PreCopy, StopCopy};
    // C to C says that the bench and this test are right, whatever ours does.
    let cases = [
        (C, C, StopCopy, Cdev),
        (C, C, StopCopy, Group),
        (C, C, PreCopy, Cdev),
        (Rs, Rs, StopCopy, Cdev),
        (Rs, Rs, StopCopy, Group),
        (C, Rs, StopCopy, Cdev),
        (C, Rs, PreCopy, Cdev),
        (Rs, C, StopCopy, Cdev),
        (Rs, Rs, PreCopy, Cdev),
        (Rs, Rs, PreCopy, Group),
        (Rs, C, PreCopy, Cdev),
    ];
    for (from, to, mode, access) in cases {
        let config = Arc::clone(config);
        suite.add_slow(
            "round_trip",
            format!("{from}_to_{to}_{access}"),
            mode.name(),
            LIMIT,
            move || round_trip(&config, from, to, mode, access),
        );
    }
    let own = Arc::clone(config);
    suite.add_slow(
        "round_trip",
        format!("rs_to_rs_{}", config.access),
        "there_and_back",
        LIMIT,
        move || there_and_back(&own),
    );
}

/// Reads the whole state of `source`, which ends in STOP_COPY.
pub fn save(source: &Device, mode: Mode) -> Result<Vec<u8>> {
    match mode {
        Mode::StopCopy => rig::save(source),
        Mode::PreCopy => {
            let mut fd = source.begin(State::PreCopy)?;
            let info = fd.precopy().context("VFIO_MIG_GET_PRECOPY_INFO")?;
            expect!(info.initial_bytes > 0, "no initial data to pre-copy");
            let mut stream = fd.read_available()?;
            expect!(!stream.is_empty(), "pre-copy gave no data");
            note!("{} bytes while running", stream.len());
            source.go(State::StopCopy)?;
            stream.append(&mut fd.read_all()?);
            Ok(stream)
        }
    }
}

/// The device parts of both functions, as far as a migration makes them equal: a device
/// may verify those of the common configuration and keep its own.
pub fn moved_parts(control: &mut Control, from: &str, to: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let (sent, received) = (control.parts(from)?, control.parts(to)?);
    if control.state()?.choices.verify_common_cfg {
        return Ok((
            framing::without_common_cfg(&sent)?,
            framing::without_common_cfg(&received)?,
        ));
    }
    Ok((sent, received))
}

/// What the bench says of both functions must be the same.
pub fn compare_parts(config: &Config, source: &Function, target: &Function) -> Result<()> {
    let mut control: Control = config.control()?;
    let (from, to) = (config.bench_name(source)?, config.bench_name(target)?);
    let (sent, received) = moved_parts(&mut control, &from, &to)?;
    expect!(!sent.is_empty(), "the source has no device parts");
    if sent != received {
        let at = sent
            .iter()
            .zip(&received)
            .take_while(|(a, b)| a == b)
            .count();
        anyhow::bail!(
            "device parts differ from byte {at:#x} on: source ({} bytes) {:02x?}, target ({} bytes) {:02x?}",
            sent.len(),
            sent.get(at & !15..(at + 48).min(sent.len()))
                .unwrap_or_default(),
            received.len(),
            received
                .get(at & !15..(at + 48).min(received.len()))
                .unwrap_or_default(),
        );
    }
    note!("{} bytes of device parts are equal", sent.len());
    let state = control.state()?;
    let (sent, received) = (state.function(&from)?, state.function(&to)?);
    expect_eq!(received.status, sent.status, "device status");
    expect_eq!(received.features, sent.features, "negotiated features");
    expect_eq!(received.mac, sent.mac, "hardware address");
    let rings = |function: &vvp_harness::control::FunctionState| -> Vec<_> {
        let queues = function.queues.iter();
        queues
            .map(|q| {
                (
                    q.index, q.size, q.enabled, q.vector, q.desc, q.driver, q.device,
                )
            })
            .collect()
    };
    expect_eq!(rings(received), rings(sent), "queues");
    Ok(())
}

/// Loads `stream` into `target` and lets the driver of `talk` go on there.
fn arrive(
    config: &Config,
    source: &Function,
    target: &Function,
    device: &Device,
    talk: &mut Talk,
    stream: &[u8],
) -> Result<()> {
    device.enable_bus_master()?;
    device.route_interrupts(MSIX, &talk.interrupts)?;
    rig::load(device, stream)?;
    if config.bench {
        compare_parts(config, source, target)?;
    }
    device.go(State::Running)?;
    talk.net.move_to(device)
}

fn round_trip(config: &Config, from: Driver, to: Driver, mode: Mode, access: Access) -> Result<()> {
    let (vf, vf2) = (config.vf()?, config.vf2()?);
    let space = Arc::new(Space::new(access)?);
    let source = rig::open_in(config, &vf, from, &space)?;
    let target = rig::open_in(config, &vf2, to, &space)?;
    let mut talk = Talk::start(config, &vf, &source)?;
    talk.exchange(30)?;

    let stream = save(&source, mode)?;
    note!("stream of {} bytes", stream.len());
    // What the driver does now only the target can see.
    for _ in 0..5 {
        talk.enqueue_to_peer()?;
    }
    arrive(config, &vf, &vf2, &target, &mut talk, &stream)?;
    source.go(State::Stop)?;

    talk.expect_at_peer()?;
    talk.exchange(30)?;
    talk.net.drain()?;
    talk.expect_silence()
}

/// A driver that is moved, and moved back to where it came from.
fn there_and_back(config: &Config) -> Result<()> {
    let (vf, vf2) = (config.vf()?, config.vf2()?);
    let space = Arc::new(Space::new(config.access)?);
    let first = rig::open_in(config, &vf, Driver::Rs, &space)?;
    let second = rig::open_in(config, &vf2, Driver::Rs, &space)?;
    let mut talk = Talk::start(config, &vf, &first)?;
    let mut ends = [(&vf, &first), (&vf2, &second)];
    for _ in 0..4 {
        let [(source, from), (target, to)] = ends;
        talk.exchange(10)?;
        let stream = rig::save(from)?;
        arrive(config, source, target, to, &mut talk, &stream)?;
        // As a VMM does that gives its device up.
        rig::recover(from)?;
        talk.exchange(10)?;
        ends.swap(0, 1);
    }
    talk.expect_silence()
}
