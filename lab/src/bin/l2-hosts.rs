// SPDX-License-Identifier: GPL-2.0
//! `l2-hosts`: live-migrates a guest from one host to another, by libvirt or by QEMU
//! alone. It runs on both hosts at once: the source has the say and judges.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use vvp_harness::ktap;
use vvp_lab::host::Common;
use vvp_lab::host::two_hosts::{Facts, Manager, Options, source, target, verdicts};

/// Live-migrates a guest that owns a virtio VF of the bench to another host.
#[derive(Parser)]
#[command(name = "l2-hosts")]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Start the guest, send it to the other host, and judge. Prints KTAP.
    Source(Both),
    /// Be the other host, until told that it is over.
    Target(Both),
}

#[derive(Parser)]
struct Both {
    /// Who starts the guest and has it migrated.
    #[arg(long, value_enum, default_value = "libvirt")]
    manager: Manager,
    /// A directory that both hosts see.
    #[arg(long, env = "VVP_HOSTS", value_name = "DIR")]
    shared: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl Both {
    fn options(self) -> Options {
        Options {
            manager: self.manager,
            shared: self.shared,
            common: self.common,
        }
    }
}

fn main() -> ExitCode {
    match act(Arguments::parse().role) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True if every requirement is met.
fn act(role: Role) -> Result<bool> {
    match role {
        Role::Target(both) => target(&both.options()).map(|()| true),
        Role::Source(both) => {
            let options = both.options();
            let facts = source(&options);
            let verdicts = verdicts(options.manager, &facts);
            let fixture = options.manager.fixture();
            let finished = verdicts.iter().map(|verdict| verdict.finished(fixture));
            print!(
                "{}",
                ktap::report_finished(&notes(fixture, &facts), finished)
            );
            Ok(verdicts.iter().all(|verdict| verdict.problem.is_none()))
        }
    }
}

/// What the reader of the log may want to know.
fn notes(fixture: &str, facts: &Facts) -> String {
    let mut notes = facts.figures.clone();
    for oddity in &facts.oddities {
        notes += &format!("report: {fixture}: not held against the driver: {oddity}\n");
    }
    notes
}
