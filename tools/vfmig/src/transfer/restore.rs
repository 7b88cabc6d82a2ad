// SPDX-License-Identifier: GPL-2.0
//! `vfmig restore`: the state of a function, from a file.

use std::io::{self, Read};

use anyhow::{Context, Result};
use report::quantity;
use serde::Serialize;
use vvp_harness::vfio::State;

use super::pump::Pump;
use super::recover::{self, Notes};
use super::verify::Copy;
use crate::access::Opened;
use crate::cli;
use crate::exit::Exit;
use crate::file;
use crate::output;
use crate::timeline::Clock;

#[derive(Debug, Serialize)]
struct Restored {
    function: String,
    driver: Option<String>,
    access: String,
    file: String,
    bytes: u64,
    total_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
}

/// Runs the command.
pub fn run(arguments: &cli::Restore, json: bool) -> Result<Exit> {
    let input: Box<dyn Read> = if file::is_standard(&arguments.file) {
        Box::new(io::stdin())
    } else {
        Box::new(file::open(&arguments.file)?)
    };
    let opened = Opened::open(&arguments.function, arguments.opening)?;
    opened.migration()?;
    let notes = Notes::of(&opened.function);
    let restored = restore(&opened, arguments, input).map_err(|error| {
        let context = format!("restoring {}", arguments.function);
        let error = notes.explain(error.context(context));
        recover::told(&error, &[recover::target(&opened)])
    })?;
    if json {
        output::json(&restored)?;
    } else {
        let verdict = match restored.verified {
            None => "",
            Some(true) => ", verified",
            Some(false) => ", BUT ITS STATE DIFFERS from the stream's",
        };
        output::text(&format!(
            "{}: {} bytes loaded in {}{verdict}\n",
            restored.function,
            restored.bytes,
            quantity(restored.total_us as f64, "us")
        ))?;
    }
    Ok(match restored.verified {
        Some(false) => Exit::No,
        _ => Exit::Ok,
    })
}

fn restore(opened: &Opened, arguments: &cli::Restore, input: Box<dyn Read>) -> Result<Restored> {
    let device = &opened.device;
    let clock = Clock::start();
    let mut pump = Pump::new("restoring")?;
    let mut fd = device.begin(State::Resuming)?;
    let mut input = Tee {
        input,
        copy: arguments.verify.then(Copy::new).transpose()?,
    };
    let bytes = pump.load(&mut input, &mut fd)?;
    drop(fd);
    device
        .go(State::Stop)
        .context("the stream is not accepted")?;
    let total_us = clock.now();
    let verified = match input.copy {
        Some(copy) => Some(copy.matches(opened, &mut pump).context("verifying")?),
        None => None,
    };
    device.go(State::Running)?;
    Ok(Restored {
        function: arguments.function.to_string(),
        driver: opened.function.driver(),
        access: opened.access.to_string(),
        file: arguments.file.display().to_string(),
        bytes,
        total_us,
        verified,
    })
}

/// Keeps what is read.
struct Tee {
    input: Box<dyn Read>,
    copy: Option<Copy>,
}

impl Read for Tee {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(out)?;
        if let Some(copy) = &mut self.copy {
            copy.add(out.get(..length).unwrap_or_default())
                .map_err(io::Error::other)?;
        }
        Ok(length)
    }
}
