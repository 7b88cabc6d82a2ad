// SPDX-License-Identifier: GPL-2.0
//! Plays a scenario, step by step, and notes what came of it.

mod break_off;
mod file;
mod migrate;
mod steps;

use anyhow::{Context, Result};

use super::bench;
use super::options::Options;
use super::plot::{Machine, Plot, Side};
use super::report::{Check, Hop, Report, Work};
use super::scenario::Scenario;
use super::scenario::step::Step;

/// Runs the scenario as far as it goes.
pub fn run(options: &Options) -> Report {
    let mut report = blank(options);
    if let Err(error) = play(options, &mut report) {
        report.error = Some(format!("{error:#}"));
    }
    if let Err(error) = repair(&options.scenario) {
        report.error.get_or_insert(format!("{error:#}"));
    }
    report
}

/// Has the bench behave again.
fn repair(scenario: &Scenario) -> Result<()> {
    if scenario.dirty_bits_off() {
        bench::set_dirty_bits(true)?;
    }
    let injects = |step: &Step| matches!(step, Step::Inject(_));
    if scenario.steps.iter().any(injects) {
        bench::clear_faults()?;
    }
    Ok(())
}

fn play(options: &Options, report: &mut Report) -> Result<()> {
    let mut plot = Plot::prepare(options, report)?;
    let mut guest = None;
    let mut hop = 0;
    let result = options
        .scenario
        .steps
        .iter()
        .try_for_each(|step| take(&mut plot, step, &mut guest, &mut hop));
    plot.listen_to_kernel();
    result?;
    report.finished = true;
    Ok(())
}

/// Takes a step with the guest that runs, of which there is none before the first boots.
/// `hop` is the migration to come.
fn take(plot: &mut Plot, step: &Step, guest: &mut Option<Machine>, hop: &mut usize) -> Result<()> {
    match step {
        Step::Boot(_) => {
            if plot.has_booted() {
                plot.renew_loads()?;
            }
            *guest = Some(plot.boot(Side::A)?);
            return Ok(());
        }
        Step::LoseDirtyBits(_) => return bench::set_dirty_bits(false),
        Step::Inject(inject) => return bench::inject(inject),
        _ => {}
    }
    let mut machine = guest.take().context("no guest runs")?;
    match step {
        Step::Migrate(migrate) => {
            for _ in 0..migrate.times {
                machine = plot.migrate(*hop, machine, migrate)?;
                *hop += 1;
            }
        }
        Step::BreakOff(end) => plot.break_off(end, &mut machine)?,
        Step::Untouched(named) => plot.ensure_untouched(&named.name, &machine)?,
        Step::LoadDriver(_) => plot.load_driver(&mut machine)?,
        Step::Work(named) => plot.work(&named.name, &mut machine)?,
        Step::Finish(_) => plot.finish(&mut machine)?,
        Step::OwnTraffic(_) => plot.compare_traffic()?,
        Step::PowerOff(_) => {
            plot.power_off(machine);
            return Ok(());
        }
        Step::Boot(_) | Step::LoseDirtyBits(_) | Step::Inject(_) => {}
    }
    *guest = Some(machine);
    Ok(())
}

/// What a step wants to be true beyond what is required of all migrations.
fn checks(step: &Step) -> Vec<String> {
    match step {
        Step::Migrate(migrate) => migrate
            .hops()
            .flat_map(|name| migrate::checks(migrate, &name))
            .collect(),
        Step::BreakOff(end) => break_off::checks(end),
        Step::Untouched(named) => vec![steps::untouched_check(&named.name)],
        Step::Work(named) => steps::work_checks(&named.name).to_vec(),
        Step::OwnTraffic(_) => vec![steps::OWN_TRAFFIC.to_string()],
        _ => Vec::new(),
    }
}

/// The report of which nothing has been reached yet.
fn blank(options: &Options) -> Report {
    let scenario = &options.scenario;
    // Nothing to watch where the guest does nothing while it moves.
    let functions = match scenario.driver_later() {
        true => 0,
        false => scenario.functions,
    };
    let hop = |name| Hop {
        name,
        work: vec![Work::default(); functions],
        ..Hop::default()
    };
    let mut report = Report {
        hops: scenario
            .migrations()
            .flat_map(|migrate| migrate.hops())
            .map(hop)
            .collect(),
        checks: scenario
            .steps
            .iter()
            .flat_map(checks)
            .map(Check::new)
            .collect(),
        ..Report::default()
    };
    let setting = &mut report.setting;
    setting.device = scenario.device;
    setting.driver = options.driver.name().to_string();
    setting.guest_memory_mib = options.common.memory;
    setting.dirty_bits_off = scenario.dirty_bits_off();
    setting.legacy_guest = scenario.legacy_guest();
    setting.features = scenario.features.clone();
    setting.virtual_iommu = scenario.guest.iommu;
    setting.fixture = options.fixture();
    setting.expected_tracker = Some(options.expect_tracker);
    report
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;
    use std::rc::Rc;

    use super::*;
    use crate::host::common::Common;
    use crate::host::prepare::Driver;
    use crate::host::scenario;
    use crate::host::tracking::{Container, DirtyTracker, Migratable, Tracking};
    use crate::host::verdicts;
    use crate::host::vmm::qemu::Qemu;

    fn options(scenario: Scenario) -> Options {
        Options {
            common: Common {
                pf: "0000:01:00.0".parse().unwrap(),
                kernel: None,
                initrd: PathBuf::new(),
                memory: 160,
                logs: PathBuf::new(),
            },
            scenario,
            called: None,
            driver: Driver::Rs,
            program: Rc::new(Qemu::default()),
            tracking: Tracking {
                container: Container::Iommufd,
                enable_migration: Migratable::On,
                downtime_limit: None,
                dma_logging: None,
            },
            expect_tracker: DirtyTracker::Iommu,
        }
    }

    #[test]
    fn no_two_tests_have_the_same_name_and_none_passes_unseen() {
        let mut names = BTreeSet::new();
        for scenario in scenario::all().unwrap() {
            let report = blank(&options(scenario));
            for verdict in verdicts(&report) {
                assert_eq!(verdict.problem.as_deref(), Some("not reached"));
                let name = format!("{}.{}", report.setting.fixture, verdict.name);
                assert!(names.insert(name.clone()), "{name}");
            }
        }
    }
}
