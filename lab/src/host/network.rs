// SPDX-License-Identifier: GPL-2.0
//! The load on a network function: traffic between the guest and its peer.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use vvp_harness::pci::Function;

use super::guest::Guest;
use super::patience::{GUEST_UP, RESUMED, say};
use super::report::{Traffic, Work};
use super::traffic_verdict::CONTINUED;
use super::{peer, prepare};
use crate::control::Command;
use crate::stats::TrafficStats;
use crate::traffic;

/// Messages that show that traffic runs.
const RUNNING: u64 = 100;
/// How long stopped traffic may take to arrive.
const ARRIVED: Duration = Duration::from_secs(20);

/// The peer of one of the guest's functions.
pub struct Network {
    index: usize,
    peer: Arc<traffic::Traffic>,
}

impl Network {
    pub fn prepare(pf: &Function, index: usize) -> Result<Self> {
        prepare::configure_network(pf, index)?;
        Ok(Self {
            index,
            peer: peer::listen(index)?,
        })
    }

    /// Gives up the guest there was, and waits for another.
    pub fn renew(&mut self) -> Result<()> {
        self.peer.close();
        self.peer = peer::listen(self.index)?;
        Ok(())
    }

    /// Waits until messages flow both ways.
    pub fn wait_until_running(&self, guest: &mut Guest) -> Result<()> {
        self.wait_for_messages(guest, RUNNING)
    }

    /// Waits until so many messages have arrived at each end.
    pub fn wait_for_messages(&self, guest: &mut Guest, count: u64) -> Result<()> {
        let deadline = Instant::now() + GUEST_UP;
        let mut answer = guest.ask_within(self.index, Command::Status, GUEST_UP)?;
        while answer.traffic.stream.received < count || self.peer.stats().stream.received < count {
            ensure!(
                Instant::now() < deadline,
                "the guest runs, but traffic does not: {}",
                summary(&answer.traffic)
            );
            sleep(Duration::from_millis(200));
            answer = guest.ask(self.index, Command::Status)?;
        }
        Ok(())
    }

    pub fn mark(&self, work: &mut Work, guest: &mut Guest) -> Result<()> {
        self.peer.restart_gaps();
        let before = guest.ask(self.index, Command::Mark)?;
        work.before = Some(Traffic {
            guest: before.traffic,
            peer: self.peer.stats(),
        });
        Ok(())
    }

    pub fn wait_until_continued(&self, work: &mut Work, guest: &mut Guest) -> Result<()> {
        let before = work.before.clone().unwrap_or_default();
        let continued = |now: &TrafficStats, then: &TrafficStats| {
            now.stream.received >= then.stream.received + 2 * CONTINUED
        };
        let deadline = Instant::now() + RESUMED;
        loop {
            let now = Traffic {
                guest: guest.ask(self.index, Command::Status)?.traffic,
                peer: self.peer.stats(),
            };
            let both = continued(&now.guest, &before.guest) && continued(&now.peer, &before.peer);
            let broken = now.guest.stream.error.is_some() || now.peer.stream.error.is_some();
            if both || broken || Instant::now() > deadline {
                // Not before: what a guest that is lost meanwhile did is no result.
                work.after = Some(now);
                return Ok(());
            }
            sleep(Duration::from_millis(200));
        }
    }

    /// Stops all senders and notes what has arrived of what they sent.
    pub fn finish(&self, work: &mut Work, guest: &mut Guest) -> Result<()> {
        work.end = Some(self.stop(guest)?);
        Ok(())
    }

    /// Stops all senders and waits until what they sent has arrived.
    pub fn stop(&self, guest: &mut Guest) -> Result<Traffic> {
        say("stopping the traffic");
        self.peer.stop();
        guest.ask(self.index, Command::StopTraffic)?;
        let deadline = Instant::now() + ARRIVED;
        loop {
            // Longer than a sender sleeps: after the first round none is sending.
            sleep(Duration::from_millis(300));
            let end = Traffic {
                guest: guest.ask(self.index, Command::Status)?.traffic,
                peer: self.peer.stats(),
            };
            let arrived = end.guest.stream.received == end.peer.stream.sent
                && end.peer.stream.received == end.guest.stream.sent;
            if arrived || Instant::now() > deadline {
                return Ok(end);
            }
        }
    }
}

fn summary(stats: &TrafficStats) -> String {
    serde_json::to_string(stats).unwrap_or_default()
}
