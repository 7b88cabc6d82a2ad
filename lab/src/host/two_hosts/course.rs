// SPDX-License-Identifier: GPL-2.0
//! The source: starts the guest, sends it to the other host, and looks at what came of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use vvp_harness::wait;

use super::alone::{self, Alone};
use super::far::{CONTROL, Far};
use super::ground::{Ground, Role, prepare};
use super::{Facts, Manager, Options, daemons, domain, libvirt};
use crate::control::Command;
use crate::host::guest::Guest;
use crate::host::kernel_log::complaints;
use crate::host::network::Network;
use crate::host::patience::{RESUMED, say};

/// First request number on the target: above all that are used on the source.
const ON_TARGET: u64 = 1 << 32;
/// How long a guest that was told to power off may take to answer that it will.
const FAREWELL: Duration = Duration::from_secs(2);
/// The guest's only function.
const ONLY: usize = 0;

/// Runs the course as far as it goes.
pub fn source(options: &Options) -> Facts {
    let mut facts = Facts::default();
    if let Err(error) = steps(options, &mut facts) {
        facts.error = Some(format!("{error:#}"));
    }
    listen(&fs::read(domain::CONSOLE).unwrap_or_default(), &mut facts);
    facts
}

/// The guest on the source.
enum Near {
    Domain,
    Alone(Alone),
}

fn steps(options: &Options, facts: &mut Facts) -> Result<()> {
    say("preparing the source");
    let ground = prepare(Role::Source, options)?;
    let network = Network::prepare(&ground.pf, ONLY)?;
    match options.manager {
        Manager::Libvirt => daemons::start(Role::Source)?,
        Manager::Qemu => alone::bind(&ground.vf)?,
    }
    say("waiting for the target");
    let mut far = Far::connect()?;
    let mut near = start(options, &ground, facts)?;
    let mut guest = Guest::connect(Path::new(domain::CONTROL), 1)?;
    network
        .wait_until_running(&mut guest)
        .with_context(|| last_words(&mut near))?;
    network.mark(&mut facts.work, &mut guest)?;

    say("migrating");
    let outcome = match &mut near {
        Near::Domain => libvirt::migrate(&ground.vf, &mut facts.libvirt)?,
        Near::Alone(qemu) => qemu.migrate(&mut far)?,
    };
    if let Err(refused) = &outcome {
        // A guest that was lost before says nothing about the migration.
        guest
            .ask(ONLY, Command::Status)
            .with_context(|| refused.clone())?;
        facts.migrated = Some(Err(refused.clone()));
        bail!("the migration did not complete: {refused}");
    }
    facts.figures += &outcome.unwrap_or_default();
    facts.figures.push('\n');
    facts.migrated = Some(Ok(()));
    drop(guest);
    if let Near::Alone(qemu) = near {
        qemu.quit()?;
    }

    say("watching the guest on the target");
    let mut guest = Guest::connect_to(Role::Target.place(CONTROL), ON_TARGET)?;
    look(facts, &mut guest, &network)?;
    facts.target = Some(far.device()?);
    network.finish(&mut facts.work, &mut guest)?;

    say("ending the guest");
    // It does not matter any more if the answer gets out before the end.
    let _ = guest.ask_within(ONLY, Command::PowerOff, FAREWELL);
    match options.manager {
        Manager::Libvirt => libvirt::wait_until_gone()?,
        Manager::Qemu => far.wait_until_ended()?,
    }
    facts.ended = Some(());
    facts.left_on_target = far.device()?.driver;
    listen(far.console()?.as_bytes(), facts);
    Ok(())
}

fn start(options: &Options, ground: &Ground, facts: &mut Facts) -> Result<Near> {
    match options.manager {
        Manager::Libvirt => {
            libvirt::start(&options.common, &ground.vf, &mut facts.libvirt)?;
            Ok(Near::Domain)
        }
        Manager::Qemu => {
            say("starting the guest");
            Alone::start(&options.common, &ground.vf).map(Near::Alone)
        }
    }
}

/// What is known of a guest that is not at work.
fn last_words(near: &mut Near) -> String {
    let state = match near {
        Near::Domain => libvirt::runs_here(),
        Near::Alone(qemu) => qemu.check(),
    };
    state.map_or_else(|error| format!("{error:#}"), |()| "QEMU runs".to_string())
}

/// The guest must go on where it was, and the pages that the device wrote must have come
/// along.
fn look(facts: &mut Facts, guest: &mut Guest, network: &Network) -> Result<()> {
    wait::until("the guest notices that it has moved", RESUMED, || {
        let pages = guest.ask(ONLY, Command::Status)?.pages;
        Ok((pages.moved || pages.error.is_some()).then_some(()))
    })?;
    network.wait_until_continued(&mut facts.work, guest)?;
    say("checking the pages that only the device wrote");
    facts.work.pages = Some(guest.ask(ONLY, Command::CheckPages)?.pages);
    facts.work.pages_rewritten = Some(guest.ask(ONLY, Command::RewritePages)?.pages);
    Ok(())
}

/// Takes down what the guest's kernel complains about.
fn listen(console: &[u8], facts: &mut Facts) {
    let (alarms, oddities) = complaints(&String::from_utf8_lossy(console));
    facts.alarms.extend(alarms);
    facts.oddities.extend(oddities);
}
