// SPDX-License-Identifier: GPL-2.0
//! Round after round: a client that does anything, a host that does the rest, and then the
//! question whether all is as it should be.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use vvp_harness::failslab::Failslab;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Space, State};
use vvp_harness::{expect, expect_eq, kmod, note, sriov};

use super::Options;
use super::client::{self, Client};
use super::host::Host;
use super::order::{Ending, Order};
use super::tally::{Book, Event};
use crate::config::{Config, Driver};
use crate::lockdep;
use crate::rig;

/// Functions that there are between the rounds.
const VFS: u32 = 2;

/// Rounds until the time is up.
pub fn at_random(config: &Config, options: Options, time: Duration) -> Result<()> {
    let begun = Instant::now();
    let book = Book::new()?;
    let failslab = Failslab::enable_with_pages()?;
    let pf = config.vf()?.physfn().context("no PF")?;
    let driver = pf.driver().context("the PF has no driver")?;
    let mut number = options.round;
    while begun.elapsed() < time {
        let mut order = Order::new(options.seed, number);
        if order.ending == Ending::Pf && lockdep::reports_unbinding() {
            order.ending = Ending::Sriov;
        }
        note!("{order}");
        let functions = [config.vf()?, config.vf2()?];
        for function in &functions {
            config.bind(function, Driver::Rs)?;
        }
        let round = Host {
            config,
            pf: &pf,
            functions: &functions,
            order: &order,
            book: &book,
            first: options.round,
        };
        let client = client::start(&Client {
            config,
            functions: &functions,
            order: &order,
            book: &book,
            failslab: &failslab,
        })?;
        round
            .run(client)
            .and_then(|()| put_back(config, &pf, &driver, order.ending))
            .and_then(|()| judge(config, &order))
            .with_context(|| order.to_string())?;
        number += 1;
    }
    drop(failslab);
    let sums = book.sums()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("osrelease")?;
    let checks = match fs::exists("/sys/kernel/debug/kmemleak").context("kmemleak")? {
        true => "debug",
        false => "plain",
    };
    note!(
        "counted: seed {} seconds {} kernel {} checks {checks}{sums}",
        options.seed,
        begun.elapsed().as_secs(),
        kernel.trim()
    );
    for event in [Event::Transitions, Event::Transfers, Event::Requests] {
        expect!(sums.of(event) > 0, "nothing was counted: {event:?}");
    }
    Ok(())
}

/// Makes the machine what it was before the round.
fn put_back(config: &Config, pf: &Function, driver: &str, ending: Ending) -> Result<()> {
    match ending {
        Ending::Leave | Ending::Kill | Ending::Unbind | Ending::Unload => return Ok(()),
        Ending::Remove => {
            let name = config.bench_name(&config.vf()?)?;
            config.control()?.remove(&name, false)?;
            sriov::set_numvfs(pf, 0)?;
        }
        Ending::Pf => {
            pf.bind(driver)?;
            config.wait_for_pf(pf)?;
        }
        Ending::Sriov => {}
    }
    sriov::bring_up_bench(pf, VFS).map(drop)
}

/// Both functions work, state moves from one to the other, and nothing was left.
fn judge(config: &Config, order: &Order) -> Result<()> {
    let open = |function: Result<Function>| {
        let space = Arc::new(Space::new(order.access)?);
        rig::open_in(config, &function?, Driver::Rs, &space)
    };
    let (source, target) = (open(config.vf())?, open(config.vf2())?);
    for device in [&source, &target] {
        rig::recover(device)?;
    }
    rig::prove_migration(&source).context("a migration of the first to itself")?;
    let stream = rig::save(&source)?;
    rig::load(&target, &stream).context("a migration to the second")?;
    target.go(State::Running)?;
    for device in [&source, &target] {
        rig::recover(device)?;
    }
    drop((source, target));
    let left = config.control()?.state()?.admin.objects;
    expect_eq!(left, [], "resource objects left");
    let users = kmod::users(&config.module_name(Driver::Rs))?;
    expect_eq!(users, 0, "users of the module");
    Ok(())
}
