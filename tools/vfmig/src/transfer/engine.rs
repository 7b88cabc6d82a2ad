// SPDX-License-Identifier: GPL-2.0
//! A migration from one device to another, in the order in which VMMs do it.

use std::time::Duration;

use anyhow::{Context, Result};
use vvp_harness::vfio::{DataFd, Device, Flags, State};

use super::pump::{Pump, load_piece};
use super::tracking::Tracking;
use super::verify::Copy;
use crate::access::Opened;
use crate::timeline::{Clock, Phase, Round, Side, Timeline};

/// What is wanted of a migration.
pub struct Wishes {
    /// Read while the source runs.
    pub pre_copy: bool,
    /// Rounds of that, at most.
    pub rounds: u32,
    /// Between them.
    pub pause: Duration,
    /// Compare in the end.
    pub verify: bool,
}

/// A migration under way. What happened is in `timeline` also when it fails.
pub struct Engine<'a> {
    pub source: &'a Opened,
    pub target: &'a Opened,
    pub flags: Flags,
    pub target_flags: Flags,
    pub tracking: Option<Tracking>,
    pub timeline: &'a mut Timeline,
    pub clock: Clock,
    pub pump: Pump,
}

impl Engine<'_> {
    /// Does it; in the end the source is in STOP and the target runs.
    pub fn run(&mut self, wishes: &Wishes) -> Result<()> {
        let mut copy = wishes.verify.then(Copy::new).transpose()?;
        let target = self.target;
        let source = self.source;
        let mut to = self.arc(Side::Target, State::Resuming, |state| {
            target.device.begin(state)
        })?;

        let mut from;
        let stopped;
        if wishes.pre_copy {
            // Older kernels have only the first version; both serve.
            let _ = source.device.precopy_v2();
            from = self.arc(Side::Source, State::PreCopy, |state| {
                source.device.begin(state)
            })?;
            self.pre_copy(wishes, &mut from, &mut to, &mut copy)?;
            if self.flags.has(Flags::P2P) {
                self.go(Side::Source, State::PreCopyP2p)?;
            }
            stopped = self.clock.now();
            self.go(Side::Source, State::StopCopy)?;
        } else {
            if self.flags.has(Flags::P2P) {
                self.go(Side::Source, State::RunningP2p)?;
            }
            stopped = self.clock.now();
            from = self.arc(Side::Source, State::StopCopy, |state| {
                source.device.begin(state)
            })?;
        }

        let start = self.begin_phase("stop-copy", Side::Both);
        self.timeline.stop_copy_bytes = self.copy(&mut from, &mut to, &mut copy)?;
        self.end_phase("stop-copy", Side::Both, start);
        drop((from, to));

        self.go(Side::Target, State::Stop)
            .context("the target does not accept the stream")?;
        if let Some(copy) = copy {
            let start = self.begin_phase("verifying", Side::Target);
            let same = copy.matches(target, &mut self.pump).context("verifying")?;
            self.end_phase("verifying", Side::Target, start);
            self.timeline.verified = Some(same);
        }
        if self.target_flags.has(Flags::P2P) {
            self.go(Side::Target, State::RunningP2p)?;
        }
        self.go(Side::Target, State::Running)?;
        self.timeline.stopped_us = Some(self.clock.now() - stopped);
        // The target runs: whatever happens to the source now, this one has the state.
        self.go(Side::Source, State::Stop)
    }

    /// Rounds, until one finds nothing.
    fn pre_copy(
        &mut self,
        wishes: &Wishes,
        from: &mut DataFd,
        to: &mut DataFd,
        copy: &mut Option<Copy>,
    ) -> Result<()> {
        let start = self.clock.now();
        for number in 1..=wishes.rounds {
            self.pump
                .progress
                .phase(&format!("pre-copy, round {number}"));
            let start_us = self.clock.now();
            let left = from.precopy().context("VFIO_MIG_GET_PRECOPY_INFO")?;
            let bytes = self.copy(from, to, copy)?;
            let dirty_pages = match &self.tracking {
                Some(tracking) => Some(tracking.take(self.source)?),
                None => None,
            };
            self.timeline.rounds.push(Round {
                start_us,
                end_us: self.clock.now(),
                initial_bytes: left.initial_bytes,
                dirty_bytes: left.dirty_bytes,
                reinit: left.reinit,
                bytes,
                dirty_pages,
            });
            if bytes == 0 {
                break;
            }
            self.pump.interrupt.wait(wishes.pause)?;
        }
        self.end_phase("pre-copy", Side::Both, start);
        Ok(())
    }

    fn copy(&mut self, from: &mut DataFd, to: &mut DataFd, copy: &mut Option<Copy>) -> Result<u64> {
        let timeline = &mut *self.timeline;
        self.pump.drain(from, &mut |bytes| {
            load_piece(to, bytes)?;
            timeline.bytes += bytes.len() as u64;
            match copy {
                Some(copy) => copy.add(bytes),
                None => Ok(()),
            }
        })
    }

    fn go(&mut self, side: Side, state: State) -> Result<()> {
        let device: &Device = match side {
            Side::Target => &self.target.device,
            _ => &self.source.device,
        };
        self.arc(side, state, |state| device.go(state))
    }

    /// A change of state, which is a phase of that name.
    fn arc<T>(
        &mut self,
        side: Side,
        state: State,
        change: impl FnOnce(State) -> Result<T>,
    ) -> Result<T> {
        let name = state.to_string();
        let start = self.begin_phase(&name, side);
        let changed = change(state);
        self.end_phase(&name, side, start);
        let whose = if side == Side::Target {
            "target"
        } else {
            "source"
        };
        changed.with_context(|| whose)
    }

    fn begin_phase(&mut self, name: &str, side: Side) -> u64 {
        self.pump.progress.phase(&side.phase(name));
        self.clock.now()
    }

    fn end_phase(&mut self, name: &str, side: Side, start_us: u64) {
        self.timeline.phases.push(Phase {
            name: name.to_owned(),
            side,
            start_us,
            end_us: self.clock.now(),
        });
    }
}
