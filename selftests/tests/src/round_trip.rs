// SPDX-License-Identifier: GPL-2.0
//! Fixture `round_trip`: the state of a function in use, moved to another
//! function, where its driver goes on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use vvp_harness::ktap::Suite;
use vvp_harness::note;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Access, Device, MSIX, Space, State};

use crate::config::{Config, Driver};
use crate::rig::{self, Talk};
use crate::transfer::{Mode, compare_parts, save};

const LIMIT: Duration = Duration::from_secs(120);

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
