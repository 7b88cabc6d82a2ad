// SPDX-License-Identifier: GPL-2.0
//! What is done with devices when something failed, and what is said of it.

use anyhow::Error;
use vvp_harness::debugfs::Files;
use vvp_harness::pci::Function;
use vvp_harness::vfio::State;

use crate::access::Opened;
use crate::exit::Failure;

/// Has a source run again; says what became of it.
pub fn source(opened: &Opened) -> String {
    let address = opened.function.address();
    if opened.device.set_state(State::Running).is_ok() {
        return format!("{address} is RUNNING again");
    }
    reset(opened)
}

/// Has a target forget what it was given; says what became of it.
pub fn target(opened: &Opened) -> String {
    if matches!(opened.device.state(), Ok(State::Running)) {
        return format!("{} is RUNNING", opened.function.address());
    }
    reset(opened)
}

/// Has a device forget its state; says what became of it.
pub fn reset(opened: &Opened) -> String {
    let address = opened.function.address();
    let reset = opened.device.reset();
    match (reset, opened.device.state()) {
        (Ok(()), Ok(State::Running)) => format!("{address} was reset and is RUNNING"),
        (Err(errno), Ok(state)) => {
            format!("{address} cannot be reset ({errno}) and was {state} when it was closed")
        }
        (Ok(()), Ok(state)) => format!("{address} was reset and is {state}: bind it anew"),
        (_, Err(error)) => format!("the state of {address} is unknown ({error:#}): bind it anew"),
    }
}

/// `error` with what became of the devices behind it; the exit status stays.
pub fn told(error: &Error, devices: &[String]) -> Error {
    let text = format!("{error:#}; {}", devices.join(", "));
    let exit = Failure::exit_of(error);
    Failure::new(exit, text).into()
}

/// What our driver noted, to tell more than an errno can.
pub struct Notes {
    files: Files,
    before: (Option<String>, u64),
}

impl Notes {
    /// Of what happens to `function` from now on.
    pub fn of(function: &Function) -> Self {
        let files = Files::of(function);
        let before = noted(&files);
        Self { files, before }
    }

    /// Adds the driver's word to an error, if there is any.
    pub fn explain(&self, error: Error) -> Error {
        let now = noted(&self.files);
        match &now.0 {
            Some(text) if now != self.before && text != "none" => {
                let exit = Failure::exit_of(&error);
                Failure::new(exit, format!("{error:#} (the driver says: {text})")).into()
            }
            _ => error,
        }
    }
}

/// The last error and how many admin commands have failed: the same may go wrong twice.
fn noted(files: &Files) -> (Option<String>, u64) {
    let commands = files.commands().unwrap_or_default();
    let failed = commands.values().map(|commands| commands.errors).sum();
    (files.last_error().ok(), failed)
}
