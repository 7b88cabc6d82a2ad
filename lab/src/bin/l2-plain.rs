// SPDX-License-Identifier: GPL-2.0
//! `l2-plain`: gives a guest a VF that cannot be migrated, inside the host under
//! test, and judges whether passthrough is all that it should be.

use std::process::ExitCode;

use clap::Parser;
use vvp_harness::ktap;
use vvp_lab::host::plain::{self, Facts};
use vvp_lab::host::{Common, plain_verdicts};

/// What its tests are called.
const FIXTURE: &str = "l2_plain";

/// Runs a guest that owns a virtio network VF of a PF without admin virtqueue.
/// Prints KTAP.
#[derive(Parser)]
#[command(name = "l2-plain")]
struct Arguments {
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    let facts = plain::run(&Arguments::parse().common);
    let verdicts = plain_verdicts(&facts);
    let finished = verdicts.iter().map(|verdict| verdict.finished(FIXTURE));
    print!("{}", ktap::report_finished(&notes(&facts), finished));
    let met = verdicts.iter().all(|verdict| verdict.problem.is_none());
    if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What the reader of the log may want to know.
fn notes(facts: &Facts) -> String {
    let mut notes = String::new();
    if let Some(blockers) = &facts.blockers {
        notes += &format!("QEMU says against a migration: {blockers:?}\n");
    }
    if let Some(traffic) = &facts.traffic {
        let (guest, peer) = (&traffic.guest.stream, &traffic.peer.stream);
        notes += &format!(
            "{} of {} messages reached the guest, {} of {} the peer; {} of {} datagrams were lost\n",
            guest.received,
            peer.sent,
            peer.received,
            guest.sent,
            traffic.probes_lost(),
            traffic.probes_sent()
        );
    }
    for oddity in &facts.oddities {
        notes += &format!("report: {FIXTURE}: not held against the driver: {oddity}\n");
    }
    notes
}
