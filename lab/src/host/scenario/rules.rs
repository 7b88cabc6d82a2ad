// SPDX-License-Identifier: GPL-2.0
//! What a scenario must be so that it can be played, beyond what its form says.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};

use super::step::{Cause, Inject, Step, Via};
use super::{DriverTime, Scenario};
use crate::host::prepare::DeviceType;

/// As many functions as a bench of the usual size has for either side.
const FUNCTIONS: std::ops::RangeInclusive<usize> = 1..=3;

/// Fails, naming the field, if `scenario` cannot be played.
pub fn check(scenario: &Scenario) -> Result<()> {
    ensure!(is_name(&scenario.name), "name: {NAME}");
    ensure!(
        FUNCTIONS.contains(&scenario.functions),
        "functions: there can be 1 to {}",
        FUNCTIONS.end()
    );
    if scenario.device == DeviceType::Blk {
        ensure!(
            scenario.functions == 1 && scenario.guest.driver == DriverTime::AtBoot,
            "device: a guest has one disk, and its driver at boot"
        );
    }
    let mut guest = Guest::default();
    let mut names = BTreeSet::new();
    for (index, step) in scenario.steps.iter().enumerate() {
        let place = || format!("step {} ({})", index + 1, step.name());
        guest.take(scenario, step).with_context(place)?;
        for name in names_of(step) {
            let fits = (name.is_empty() && !matches!(step, Step::Untouched(_) | Step::Work(_)))
                || is_name(&name);
            ensure!(fits, "{}: name: {NAME}", place());
            let title = format!("{} '{name}'", step.name());
            ensure!(names.insert(title), "{}: name: '{name}' is taken", place());
        }
    }
    ensure!(guest.migrated_ever, "step: nothing is migrated");
    ensure!(!guest.runs, "step: the last one must be power-off");
    Ok(())
}

const NAME: &str = "small letters, digits, '-' and '_' make a name";

fn is_name(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

/// Names that must be unique among the steps of a kind.
fn names_of(step: &Step) -> Vec<String> {
    match step {
        Step::Migrate(migrate) => migrate.hops().collect(),
        Step::BreakOff(end) => vec![end.name.clone()],
        Step::Untouched(named) | Step::Work(named) => vec![named.name.clone()],
        _ => Vec::new(),
    }
}

/// What has become of the guest.
#[derive(Default)]
struct Guest {
    booted_ever: bool,
    migrated_ever: bool,
    runs: bool,
    works: bool,
    /// It has been migrated and what it does has not been judged since.
    on_the_way: bool,
}

impl Guest {
    fn take(&mut self, scenario: &Scenario, step: &Step) -> Result<()> {
        match step {
            Step::Boot(_) => {
                ensure!(!self.runs, "a guest runs already");
                ensure!(
                    !self.booted_ever || scenario.device == DeviceType::Net,
                    "only one guest can have the disk"
                );
                self.booted_ever = true;
                self.runs = true;
                self.works = scenario.guest.driver == DriverTime::AtBoot;
                return Ok(());
            }
            Step::Inject(inject) => return answer(inject),
            Step::LoseDirtyBits(_) => return Ok(()),
            _ => ensure!(self.runs, "no guest runs"),
        }
        match step {
            Step::Migrate(migrate) => {
                ensure!(migrate.times > 0, "times: at least once");
                ensure!(
                    migrate.channels.is_none_or(|channels| channels > 0),
                    "channels: at least one"
                );
                ensure!(
                    migrate.via == Via::Tcp
                        || !migrate.switchover_ack && migrate.channels.is_none(),
                    "via: a file gives no answers and takes one connection"
                );
                self.migrated_ever = true;
                self.on_the_way = self.works && !scenario.dirty_bits_off();
            }
            Step::BreakOff(end) => {
                ensure!(self.works, "the guest does nothing that could go on");
                ensure!(
                    end.by != Cause::Reset || scenario.device == DeviceType::Net,
                    "by: a guest that boots again has network functions"
                );
            }
            Step::LoadDriver(_) => {
                ensure!(!self.works, "the driver is loaded");
                self.works = true;
            }
            Step::Work(_) | Step::Finish(_) => {
                ensure!(self.works, "the guest does nothing that could be judged");
                ensure!(
                    scenario.device == DeviceType::Net || matches!(step, Step::Finish(_)),
                    "it is for network functions"
                );
                self.works = false;
                self.on_the_way = false;
            }
            Step::OwnTraffic(_) => ensure!(
                scenario.device == DeviceType::Net,
                "it is for network functions"
            ),
            Step::Untouched(_) => ensure!(!self.works, "the guest's driver has the function"),
            Step::PowerOff(_) => {
                ensure!(
                    !self.on_the_way,
                    "a guest that has been migrated must finish before"
                );
                self.runs = false;
            }
            Step::Boot(_) | Step::Inject(_) | Step::LoseDirtyBits(_) => {}
        }
        Ok(())
    }
}

fn answer(inject: &Inject) -> Result<()> {
    ensure!(inject.nth > 0 && inject.count > 0, "nth, count: from 1");
    match (inject.status, inject.delay_ms) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        _ => bail!("status, delay-ms: one of them must be given"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(head: &str, steps: &[&str]) -> String {
        let mut text = format!("name = \"x\"\nabout = \"y\"\n{head}\n");
        for step in steps {
            text += &format!("[[step]]\n{step}\n");
        }
        Scenario::parse(&text, "x").map_or_else(|error| format!("{error:#}"), |_| String::new())
    }

    const BOOT: &str = "boot = {}";
    const MIGRATE: &str = "migrate = {}";
    const FINISH: &str = "finish = {}";
    const OFF: &str = "power-off = {}";

    #[test]
    fn a_guest_boots_moves_and_ends() {
        assert_eq!(problem("", &[BOOT, MIGRATE, FINISH, OFF]), "");
    }

    #[test]
    fn what_cannot_be_played_is_refused_by_name() {
        for (head, steps, expected) in [
            ("", &[MIGRATE][..], "step 1 (migrate): no guest runs"),
            ("", &[BOOT, BOOT], "step 2 (boot): a guest runs already"),
            ("", &[BOOT, FINISH, OFF], "step: nothing is migrated"),
            (
                "",
                &[BOOT, MIGRATE, FINISH],
                "step: the last one must be power-off",
            ),
            ("", &[BOOT, MIGRATE, OFF], "must finish before"),
            (
                "",
                &[BOOT, MIGRATE, MIGRATE, FINISH, OFF],
                "name: '' is taken",
            ),
            (
                "",
                &[BOOT, "migrate = { times = 0 }"],
                "times: at least once",
            ),
            (
                "",
                &[BOOT, "migrate = { name = \"A\" }"],
                "step 2 (migrate): name: ",
            ),
            ("", &[BOOT, "load-driver = {}"], "the driver is loaded"),
            (
                "",
                &[BOOT, "untouched = { name = \"a\" }"],
                "has the function",
            ),
            (
                "",
                &[BOOT, "inject = { command = \"parts-get\" }"],
                "status, delay-ms",
            ),
            ("functions = 9", &[BOOT], "functions: "),
            ("device = \"blk\"\nfunctions = 2", &[BOOT], "device: "),
            (
                "device = \"blk\"",
                &[BOOT, "work = { name = \"a\" }"],
                "for network",
            ),
            (
                "[guest]\ndriver = \"later\"",
                &[BOOT, "break-off = { by = \"cancel\" }"],
                "nothing",
            ),
        ] {
            let found = problem(head, steps);
            assert!(found.contains(expected), "{found} instead of {expected}");
        }
    }
}
