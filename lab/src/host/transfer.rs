// SPDX-License-Identifier: GPL-2.0
//! A migration as QEMU is told of it, on either side.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use vvp_harness::wait;

use super::patience::RESUMED;
use super::qmp::Event;
use super::report::Migration;
use super::vm::Vm;

/// How long a migration may take.
const MIGRATION: Duration = Duration::from_secs(120);
/// How long a step of it may take for which no memory is sent.
const STEP: Duration = Duration::from_secs(60);

/// How a guest gets from one QEMU to another.
#[derive(Clone, Debug)]
pub struct Transfer {
    pub uri: String,
    /// Capabilities beyond the usual, of both sides.
    pub capabilities: Vec<&'static str>,
    /// Parameters of both sides, by name.
    pub parameters: Value,
}

/// Bytes of memory sent in a second: QEMU's default.
const BANDWIDTH: u64 = 128 << 20;
/// So few that a guest's memory takes a minute, all of which is pre-copy.
const CRAWL: u64 = 512 << 10;

impl Transfer {
    /// Over TCP, from one QEMU to another that waits for it.
    pub fn live() -> Self {
        Self {
            uri: "tcp:127.0.0.1:7010".to_string(),
            capabilities: Vec::new(),
            parameters: json!({"max-bandwidth": BANDWIDTH}),
        }
    }

    /// The same so slowly that there is time to do something during pre-copy.
    pub fn crawling() -> Self {
        Self {
            parameters: json!({"max-bandwidth": CRAWL}),
            ..Self::live()
        }
    }

    /// Sets what both sides must agree on.
    fn configure(&self, vm: &mut Vm) -> Result<()> {
        let capabilities: Vec<Value> = ["events"]
            .iter()
            .chain(&self.capabilities)
            .map(|name| json!({"capability": name, "state": true}))
            .collect();
        vm.qmp().execute(
            "migrate-set-capabilities",
            json!({"capabilities": capabilities}),
        )?;
        vm.qmp()
            .execute("migrate-set-parameters", self.parameters.clone())?;
        Ok(())
    }

    /// Has `target` take what comes.
    pub fn expect(&self, target: &mut Vm) -> Result<()> {
        self.configure(target)?;
        target
            .qmp()
            .execute("migrate-incoming", json!({"uri": self.uri}))?;
        Ok(())
    }

    /// Has `source` send the guest. Returns when that was, by the clock of its events.
    pub fn begin(&self, source: &mut Vm) -> Result<i64> {
        self.configure(source)?;
        let start_us = now_us()?;
        source.qmp().execute("migrate", json!({"uri": self.uri}))?;
        Ok(start_us)
    }
}

/// How long, in milliseconds, the guest may stand still. QEMU goes on sending memory
/// until it can be.
pub fn limit_downtime(source: &mut Vm, limit: u64) -> Result<()> {
    let parameters = json!({"downtime-limit": limit});
    source.qmp().execute("migrate-set-parameters", parameters)?;
    Ok(())
}

/// Has a migration that crawls go on at full speed.
pub fn hurry(source: &mut Vm) -> Result<()> {
    let parameters = json!({"max-bandwidth": BANDWIDTH});
    source.qmp().execute("migrate-set-parameters", parameters)?;
    Ok(())
}

/// Waits for the end of a migration, good or bad.
pub fn wait_until_ended(source: &mut Vm) -> Result<Migration> {
    let deadline = Instant::now() + MIGRATION;
    loop {
        let answer = source.qmp().execute("query-migrate", json!({}))?;
        match answer["status"].as_str() {
            Some("completed" | "failed" | "cancelled") => {
                return Ok(Migration::from_query(&answer));
            }
            _ if Instant::now() > deadline => {
                bail!("the migration did not end within {} s", MIGRATION.as_secs());
            }
            _ => sleep(Duration::from_millis(50)),
        }
    }
}

/// Waits until memory is being sent while the device is in pre-copy.
pub fn wait_until_in_pre_copy(source: &mut Vm, start_us: i64) -> Result<()> {
    wait_for_event(source, "the device is in pre-copy", start_us, |event| {
        is_device_state(event, "pre-copy")
    })?;
    wait::until("memory is being sent", STEP, || {
        let answer = source.qmp().execute("query-migrate", json!({}))?;
        let sent = answer.pointer("/ram/transferred").and_then(Value::as_u64);
        let active = answer["status"] == "active";
        Ok((active && sent.unwrap_or(0) > 0).then_some(()))
    })
}

/// Whether QEMU reports that a device is in `state`.
pub fn is_device_state(event: &Event, state: &str) -> bool {
    event.name == "VFIO_MIGRATION" && event.data["device-state"] == state
}

/// Waits until the guest goes on in `target`.
pub fn wait_until_running(target: &mut Vm) -> Result<()> {
    wait::until("the guest runs on the target", RESUMED, || {
        target.check()?;
        Ok((target.run_state()? == "running").then_some(()))
    })
}

/// Waits until QEMU has reported, since `start_us`, what `wanted` looks for.
pub fn wait_for_event(
    vm: &mut Vm,
    what: &str,
    start_us: i64,
    wanted: impl Fn(&Event) -> bool,
) -> Result<()> {
    wait::until(what, STEP, || {
        vm.check()?;
        let mut events = vm.qmp().events()?.iter();
        let found = events.any(|event| event.time_us >= start_us && wanted(event));
        Ok(found.then_some(()))
    })
}

/// The clock that QEMU stamps its events with, in microseconds.
pub fn now_us() -> Result<i64> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("clock")?;
    i64::try_from(now.as_micros()).context("clock")
}
