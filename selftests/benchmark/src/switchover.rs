// SPDX-License-Identifier: GPL-2.0
//! One switchover: from the request to stop the source until the target runs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use vvp_harness::control::Control;
use vvp_harness::vfio::{DataFd, Device, State};

use crate::clock::thread_time;
use crate::link::{self, CHUNK, Receiver, Transport};
use crate::pair::Pair;

/// A migration that is about to enter its last phase.
pub struct Ready<'a> {
    pair: &'a Pair,
    incoming: DataFd,
    /// `None` without pre-copy.
    outgoing: Option<DataFd>,
}

/// What a switchover took.
#[derive(Clone)]
pub struct Taken {
    pub switchover: Duration,
    /// Until the source had stopped and its stream could be read.
    pub stop: Duration,
    /// Processor time of both sides.
    pub processor: Duration,
    /// Bytes of the stream after the stop.
    pub bytes: u64,
}

/// The target's side of it.
struct Arrival {
    running: Instant,
    processor: Duration,
}

impl<'a> Ready<'a> {
    /// Begins a migration; with pre-copy, `changed` parts change after what the target has.
    pub fn new(pair: &'a Pair, control: &mut Control, changed: Option<u64>) -> Result<Self> {
        let mut incoming = pair.target.device.begin(State::Resuming)?;
        // VMMs ask it when they estimate the downtime.
        pair.source.device.data_size().context("MIG_DATA_SIZE")?;
        let outgoing = match changed {
            None => None,
            Some(parts) => {
                let mut outgoing = pair.source.device.begin(State::PreCopy)?;
                link::copy(&mut outgoing, &mut incoming, &mut vec![1; CHUNK])?;
                if parts > 0 {
                    control.touch_ballast(&pair.source.name, parts as usize)?;
                }
                Some(outgoing)
            }
        };
        Ok(Self {
            pair,
            incoming,
            outgoing,
        })
    }

    /// Stops the source.
    fn stop(&mut self) -> Result<DataFd> {
        let source = &self.pair.source.device;
        match self.outgoing.take() {
            Some(outgoing) => {
                source.go(State::StopCopy)?;
                Ok(outgoing)
            }
            None => source.begin(State::StopCopy),
        }
    }

    /// Switches over, source and target each in a thread of its own.
    pub fn go(mut self, transport: Transport) -> Result<Taken> {
        let (mut sender, receiver) = transport.open()?;
        let incoming = self.incoming.try_clone()?;
        let target = &self.pair.target.device;
        std::thread::scope(|scope| {
            // It waits for the stream before the clock starts.
            let arrival = scope.spawn(|| arrive(target, incoming, receiver));
            let before = thread_time()?;
            let start = Instant::now();
            let mut outgoing = self.stop()?;
            let stop = start.elapsed();
            let bytes = sender.send(&mut outgoing)?;
            let processor = thread_time()? - before;
            // An error before this has closed the link, which ends the other thread, too.
            drop(sender);
            let arrival = arrival.join().map_err(|_| anyhow!("a thread panicked"))??;
            Ok(Taken {
                switchover: arrival.running - start,
                stop,
                processor: processor + arrival.processor,
                bytes,
            })
        })
    }

    /// Switches over in one thread, up to where only one more command makes the target run;
    /// gives the number of admin commands.
    pub fn count_commands(mut self, control: &mut Control) -> Result<u64> {
        let before = control.state()?.all_commands();
        let mut outgoing = self.stop()?;
        link::copy(&mut outgoing, &mut self.incoming, &mut vec![1; CHUNK])?;
        self.pair.target.device.go(State::RunningP2p)?;
        let commands = control.state()?.all_commands() - before;
        self.pair.target.device.go(State::Running)?;
        Ok(commands + 1)
    }
}

fn arrive(target: &Device, mut incoming: DataFd, mut receiver: Receiver) -> Result<Arrival> {
    let before = thread_time()?;
    receiver.receive(&mut incoming)?;
    target.go(State::Running)?;
    Ok(Arrival {
        running: Instant::now(),
        processor: thread_time()? - before,
    })
}
