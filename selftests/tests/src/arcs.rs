// SPDX-License-Identifier: GPL-2.0
//! Fixture `arcs`: the state machine, every pair of states.
//!
//! The C driver runs through the table as well. Where both drivers disagree with it, the
//! uAPI's text decides who is wrong; they may share a mistake.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use vfio_bindings::bindings::vfio;
use vvp_harness::ktap::Suite;
use vvp_harness::vfio::{Access, FEATURE_HEADER, Flags, State};
use vvp_harness::{expect, expect_eq};

use crate::config::{Config, Driver};
use crate::rig;
use crate::states::Outcome::{self, Plain, Refused, Session};
use crate::states::{TABLE, TO, enter};

const LIMIT: Duration = Duration::from_secs(120);

/// What both drivers claim to support.
const CLAIMED: Flags = Flags::STOP_COPY.and(Flags::P2P).and(Flags::PRE_COPY);

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    for (driver, access) in [
        (Driver::Rs, Access::Cdev),
        (Driver::Rs, Access::Group),
        (Driver::C, Access::Cdev),
    ] {
        let variant = format!("{driver}_{access}");
        let own = Arc::clone(config);
        suite.add("arcs", &*variant, "flags", move || {
            flags(&own, driver, access)
        });
        for (from, row) in &TABLE {
            let config = Arc::clone(config);
            suite.add_slow(
                "arcs",
                &*variant,
                format!("from_{from}"),
                LIMIT,
                move || every_arc(&config, driver, access, *from, row),
            );
        }
        let own = Arc::clone(config);
        suite.add("arcs", &*variant, "malformed_requests", move || {
            malformed(&own, driver, access)
        });
        let own = Arc::clone(config);
        suite.add("arcs", &*variant, "data_size", move || {
            data_size(&own, driver, access)
        });
    }
}

fn flags(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let device = rig::open(config, &config.vf()?, driver, access)?;
    expect_eq!(device.migration_flags(), Ok(CLAIMED), "migration flags");
    expect_eq!(
        device.state()?,
        State::Running,
        "state of a device just opened"
    );
    Ok(())
}

fn every_arc(
    config: &Config,
    driver: Driver,
    access: Access,
    from: State,
    row: &[Outcome; 8],
) -> Result<()> {
    let device = rig::open(config, &config.vf()?, driver, access)?;
    let stream = rig::save(&device)?;
    for (to, expected) in TO.into_iter().zip(row) {
        let fd = enter(&device, from, &stream)?;
        let answer = device.set_state(to);
        let found = match &answer {
            Ok(None) => Plain,
            Ok(Some(_)) => Session,
            Err(Errno::EINVAL) => Refused,
            Err(errno) => bail!("{from} -> {to}: {errno}"),
        };
        expect_eq!(found, *expected, "{from} -> {to}");
        let end = if *expected == Refused { from } else { to };
        expect_eq!(device.state()?, end, "state after {from} -> {to}");
        drop((fd, answer));
    }
    rig::recover(&device)
}

/// Requests that the uAPI forbids are refused and change nothing.
fn malformed(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let device = rig::open(config, &config.vf()?, driver, access)?;
    for state in [8, 9, 0x100, u32::MAX] {
        expect_eq!(
            device.set_state_number(state).err(),
            Some(Errno::EINVAL),
            "state {state}"
        );
    }

    const GET: u32 = vfio::VFIO_DEVICE_FEATURE_GET;
    const SET: u32 = vfio::VFIO_DEVICE_FEATURE_SET;
    const PROBE: u32 = vfio::VFIO_DEVICE_FEATURE_PROBE;
    const STATE: u32 = vfio::VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
    const SIZE: u32 = vfio::VFIO_DEVICE_FEATURE_MIG_DATA_SIZE;
    const FLAGS: u32 = vfio::VFIO_DEVICE_FEATURE_MIGRATION;
    let whole = (FEATURE_HEADER + 8) as u32;
    let cases = [
        (
            "state: argsz ends inside the state",
            SET | STATE,
            whole - 5,
            Errno::EINVAL,
        ),
        (
            "state: argsz ends inside the descriptor",
            SET | STATE,
            whole - 1,
            Errno::EINVAL,
        ),
        (
            "state: argsz ends inside the header",
            SET | STATE,
            7,
            Errno::EINVAL,
        ),
        ("state: argsz 0", SET | STATE, 0, Errno::EINVAL),
        (
            "state: GET and SET at once",
            GET | SET | STATE,
            whole,
            Errno::EINVAL,
        ),
        ("state: neither GET nor SET", STATE, whole, Errno::EINVAL),
        (
            "state: unknown flag",
            GET | STATE | (1 << 19),
            whole,
            Errno::EINVAL,
        ),
        ("flags: SET", SET | FLAGS, whole, Errno::EINVAL),
        (
            "flags: argsz too small",
            GET | FLAGS,
            whole - 1,
            Errno::EINVAL,
        ),
        (
            "flags: probing for SET",
            SET | PROBE | FLAGS,
            whole,
            Errno::EINVAL,
        ),
        ("size: SET", SET | SIZE, whole, Errno::EINVAL),
        (
            "size: argsz too small",
            GET | SIZE,
            whole - 1,
            Errno::EINVAL,
        ),
        ("unknown feature", GET | 0x7fff, whole, Errno::ENOTTY),
    ];
    for (what, flags, argsz, expected) in cases {
        let mut payload = [0; 8];
        payload[0] = State::Stop as u8;
        expect_eq!(
            device.feature(flags, argsz, &mut payload),
            Err(expected),
            "{what}"
        );
        expect_eq!(device.state()?, State::Running, "state after: {what}");
    }
    for (what, flags) in [
        ("flags", GET | FLAGS),
        ("state", GET | SET | STATE),
        ("size", GET | SIZE),
    ] {
        expect_eq!(device.probe(flags), Ok(()), "probing for {what}");
    }
    Ok(())
}

/// "MIG_DATA_SIZE may be asked in any state"; a VMM plans its downtime with it.
fn data_size(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let device = rig::open(config, &config.vf()?, driver, access)?;
    let stream = rig::save(&device)?;
    for (state, _) in &TABLE {
        let fd = enter(&device, *state, &stream)?;
        let size = device
            .data_size()
            .with_context(|| format!("size in {state}"))?;
        expect!(size > 0, "size 0 in {state}");
        // The C driver leaves its record headers out of account.
        if driver == Driver::Rs {
            expect!(
                size >= stream.len() as u64,
                "{state}: {size} bytes estimated, the stream has {}",
                stream.len()
            );
        }
        expect_eq!(device.state()?, *state, "state after asking for the size");
        drop(fd);
    }
    rig::recover(&device)
}
