// SPDX-License-Identifier: GPL-2.0
//! `vfmig save`: the state of a function, to a file.

use std::io::Write;

use anyhow::{Context, Result, bail};
use report::quantity;
use serde::Serialize;
use vvp_harness::vfio::{Flags, State};

use super::pump::Pump;
use super::recover::{self, Notes};
use crate::access::Opened;
use crate::cli;
use crate::exit::Exit;
use crate::file::{self, Output};
use crate::output;
use crate::timeline::Clock;

#[derive(Debug, Serialize)]
struct Saved {
    function: String,
    driver: Option<String>,
    access: String,
    file: String,
    bytes: u64,
    pre_copy_bytes: Option<u64>,
    total_us: u64,
    stopped_us: u64,
}

/// Runs the command.
pub fn run(arguments: &cli::Save, json: bool) -> Result<Exit> {
    // First of all, so that no signal leaves a half-written file behind.
    let mut pump = Pump::new("saving")?;
    let mut file = Output::create(&arguments.file)?;
    let opened = Opened::open(&arguments.function, arguments.opening)?;
    let flags = opened.migration()?;
    if arguments.pre_copy && !flags.has(Flags::PRE_COPY) {
        bail!(
            "{} has no pre-copy: leave --pre-copy out",
            arguments.function
        );
    }
    let notes = Notes::of(&opened.function);
    let saved = save(&opened, arguments, &mut file, &mut pump)
        .and_then(|saved| file.complete().map(|()| saved))
        .map_err(|error| {
            let error = notes.explain(error.context(format!("saving {}", arguments.function)));
            recover::told(&error, &[recover::source(&opened)])
        })?;
    drop(pump);
    if file::is_standard(&arguments.file) {
        return Ok(Exit::Ok);
    }
    if json {
        output::json(&saved)?;
    } else {
        output::text(&format!(
            "{}: {} bytes in {}, stopped for {}\n",
            saved.function,
            saved.bytes,
            quantity(saved.total_us as f64, "us"),
            quantity(saved.stopped_us as f64, "us")
        ))?;
    }
    Ok(Exit::Ok)
}

fn save(
    opened: &Opened,
    arguments: &cli::Save,
    file: &mut Output<'_>,
    pump: &mut Pump,
) -> Result<Saved> {
    let device = &opened.device;
    let shown = arguments.file.display();
    let mut sink = |bytes: &[u8]| {
        file.write_all(bytes)
            .with_context(|| format!("writing {shown}"))
    };
    let clock = Clock::start();
    let (mut fd, pre_copy_bytes, stopped);
    if arguments.pre_copy {
        fd = device.begin(State::PreCopy)?;
        pre_copy_bytes = Some(pump.drain(&mut fd, &mut sink)?);
        stopped = clock.now();
        device.go(State::StopCopy)?;
    } else {
        stopped = clock.now();
        fd = device.begin(State::StopCopy)?;
        pre_copy_bytes = None;
    }
    let rest = pump.drain(&mut fd, &mut sink)?;
    drop(fd);
    device.go(State::Running)?;
    let now = clock.now();
    Ok(Saved {
        function: arguments.function.to_string(),
        driver: opened.function.driver(),
        access: opened.access.to_string(),
        file: shown.to_string(),
        bytes: rest + pre_copy_bytes.unwrap_or(0),
        pre_copy_bytes,
        total_us: now,
        stopped_us: now - stopped,
    })
}
