// SPDX-License-Identifier: GPL-2.0
//! The load on a network function: traffic between the guest and its peer.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::pci::Function;

use super::guest::Guest;
use super::report::{Report, Traffic};
use super::scenario::{GUEST_UP, RESUMED, say};
use super::verdict::CONTINUED;
use super::{peer, prepare};
use crate::control::Command;
use crate::stats::TrafficStats;
use crate::traffic;

/// Messages that show that traffic runs.
const RUNNING: u64 = 100;
/// How long stopped traffic may take to arrive.
const ARRIVED: Duration = Duration::from_secs(20);

/// The guest's peer.
pub struct Network {
    peer: Arc<traffic::Traffic>,
}

impl Network {
    pub fn prepare(pf: &Function) -> Result<Self> {
        prepare::configure_network(pf)?;
        Ok(Self {
            peer: peer::listen()?,
        })
    }

    /// Waits until messages flow both ways.
    pub fn wait_until_running(&self, guest: &mut Guest) -> Result<()> {
        let deadline = Instant::now() + GUEST_UP;
        let mut answer = guest.ask_within(Command::Status, GUEST_UP)?;
        while answer.traffic.stream.received < RUNNING
            || self.peer.stats().stream.received < RUNNING
        {
            ensure!(
                Instant::now() < deadline,
                "the guest runs, but traffic does not: {}",
                summary(&answer.traffic)
            );
            sleep(Duration::from_millis(200));
            answer = guest.ask(Command::Status)?;
        }
        Ok(())
    }

    pub fn mark(&self, report: &mut Report, guest: &mut Guest) -> Result<()> {
        self.peer.restart_gaps();
        let before = guest.ask(Command::Mark)?;
        report.before = Some(Traffic {
            guest: before.traffic,
            peer: self.peer.stats(),
        });
        Ok(())
    }

    pub fn wait_until_continued(&self, report: &mut Report, guest: &mut Guest) -> Result<()> {
        let before = report.before.clone().unwrap_or_default();
        let continued = |now: &TrafficStats, then: &TrafficStats| {
            now.stream.received >= then.stream.received + 2 * CONTINUED
        };
        let deadline = Instant::now() + RESUMED;
        loop {
            let now = Traffic {
                guest: guest.ask(Command::Status)?.traffic,
                peer: self.peer.stats(),
            };
            let both = continued(&now.guest, &before.guest) && continued(&now.peer, &before.peer);
            let broken = now.guest.stream.error.is_some() || now.peer.stream.error.is_some();
            report.after = Some(now);
            if both || broken || Instant::now() > deadline {
                return Ok(());
            }
            sleep(Duration::from_millis(200));
        }
    }

    /// Stops all senders and waits until what they sent has arrived.
    pub fn finish(&self, report: &mut Report, guest: &mut Guest) -> Result<()> {
        say("stopping the traffic");
        self.peer.stop();
        guest.ask(Command::StopTraffic)?;
        let deadline = Instant::now() + ARRIVED;
        loop {
            // Longer than a sender sleeps: after the first round none is sending.
            sleep(Duration::from_millis(300));
            let end = Traffic {
                guest: guest.ask(Command::Status)?.traffic,
                peer: self.peer.stats(),
            };
            let arrived = end.guest.stream.received == end.peer.stream.sent
                && end.peer.stream.received == end.guest.stream.sent;
            if arrived || Instant::now() > deadline {
                report.end = Some(end);
                return Ok(());
            }
        }
    }
}

fn summary(stats: &TrafficStats) -> String {
    serde_json::to_string(stats).unwrap_or_default()
}
