// SPDX-License-Identifier: GPL-2.0
//! The guest's course of life: set up, put the functions to work, obey.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::device::Device;
use super::mounts;
use super::patience::until;
use super::port::Port;
use super::worker::Worker;
use crate::control::{Answer, Command, DRIVER_LATER, NO_PAGES, PLAIN, Request};

/// Runs until asked to power off.
pub fn run() -> Result<()> {
    mounts::mount_all()?;
    let port = until("the control port", Port::open)?;
    let find = if told(PLAIN) {
        Device::find_plain
    } else {
        Device::find_all
    };
    let mut guest = Guest {
        devices: until("the functions under test", find)?,
        workers: Vec::new(),
    };
    if told(DRIVER_LATER) {
        println!("l2-guest: leaving the functions alone");
    } else {
        guest.work()?;
    }
    guest.obey(port)
}

/// Whether the guest's functions are to write pages.
fn writes_pages() -> bool {
    !told(PLAIN) && !told(NO_PAGES)
}

/// Whether `word`, of the form "name=value", was on the kernel's command line: the
/// kernel hands on, as environment, what it has no use for itself.
fn told(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, value)| std::env::var(name).is_ok_and(|own| own == value))
}

/// All functions, and those that are at work.
struct Guest {
    devices: Vec<Device>,
    workers: Vec<Worker>,
}

impl Guest {
    /// Puts all functions to work.
    fn work(&mut self) -> Result<()> {
        ensure!(self.workers.is_empty(), "the functions are at work");
        for (index, device) in self.devices.iter().enumerate() {
            self.workers
                .push(Worker::start(device, index, writes_pages())?);
        }
        println!("l2-guest: at work");
        Ok(())
    }

    /// Executes commands until the last one.
    fn obey(&mut self, mut port: Port) -> Result<()> {
        loop {
            let Some(request) = port.request()? else {
                // Nobody is connected, as it is for a moment after a migration.
                sleep(Duration::from_millis(20));
                continue;
            };
            let result = self.execute(&request);
            if let Err(error) = &result {
                println!("l2-guest: {:?}: {error:#}", request.command);
            }
            port.answer(&self.answer(&request, result))?;
            if request.command == Command::PowerOff {
                return Ok(());
            }
        }
    }

    fn execute(&mut self, request: &Request) -> Result<()> {
        match request.command {
            // Also a guest without work can tell that it lives.
            Command::Status | Command::PowerOff => Ok(()),
            Command::LoadDriver => {
                self.devices.iter().try_for_each(Device::load_driver)?;
                self.work()
            }
            command => self
                .workers
                .get(request.function)
                .with_context(|| format!("function {} is not at work", request.function))?
                .execute(command),
        }
    }

    fn answer(&self, request: &Request, result: Result<()>) -> Answer {
        let worker = self.workers.get(request.function);
        let (traffic, disk, pages) = worker.map(Worker::stats).unwrap_or_default();
        Answer {
            id: request.id,
            error: result.err().map(|error| format!("{error:#}")),
            traffic,
            pages,
            disk,
        }
    }
}
