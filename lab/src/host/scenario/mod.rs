// SPDX-License-Identifier: GPL-2.0
//! What happens to a guest, from beginning to end. A scenario is a script: what it
//! needs, what it wants to be true, and how it goes.

mod cancel_and_retry;
mod driver_later;
mod file;
mod hop;
mod multifd;
mod next_guest;
mod once;
mod plot;
mod pre_copy;
mod reset;
mod switchover_ack;
mod there_and_back;
mod two_functions;

use anyhow::Result;
use clap::ValueEnum;

use self::plot::Plot;
use super::bench;
use super::common::Common;
use super::prepare::{DeviceType, Driver};
use super::report::{Check, Hop, Report, Work};
use super::tracking::{DirtyTracker, Tracking};
use super::virtual_iommu::VirtualIommu;

/// The scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// One live migration.
    Once,
    /// To another function, back, and to the other again.
    ThereAndBack,
    /// Cancelled during pre-copy; a second try completes.
    CancelAndRetry,
    /// To a file, and out of it when the source is gone.
    File,
    /// Reset during pre-copy; a second try completes when the guest is up again.
    Reset,
    /// Once; then another guest boots on the function that was left.
    NextGuest,
    /// The guest's driver takes the function only on the target.
    DriverLater,
    /// A guest with two functions.
    TwoFunctions,
    /// The source waits for the target's word before it stops the guest.
    SwitchoverAck,
    /// Over several connections.
    Multifd,
}

impl Scenario {
    fn script(self) -> &'static Script {
        match self {
            Scenario::Once => &once::SCRIPT,
            Scenario::ThereAndBack => &there_and_back::SCRIPT,
            Scenario::CancelAndRetry => &cancel_and_retry::SCRIPT,
            Scenario::File => &file::SCRIPT,
            Scenario::Reset => &reset::SCRIPT,
            Scenario::NextGuest => &next_guest::SCRIPT,
            Scenario::DriverLater => &driver_later::SCRIPT,
            Scenario::TwoFunctions => &two_functions::SCRIPT,
            Scenario::SwitchoverAck => &switchover_ack::SCRIPT,
            Scenario::Multifd => &multifd::SCRIPT,
        }
    }
}

/// How a scenario goes, and what makes it what it is.
struct Script {
    /// Tells its tests' names from those of other scenarios.
    name: &'static str,
    /// Names of its migrations that are to complete.
    hops: &'static [&'static str],
    /// Names of what it wants beyond what all want.
    checks: &'static [&'static str],
    /// Functions of the guest.
    functions: usize,
    /// The guest leaves its functions alone until it is asked to load their driver.
    driver_later: bool,
    /// The guest may boot again.
    reboots: bool,
    /// Trace events of QEMU's that it looks for.
    events: &'static [&'static str],
    play: fn(&mut Plot) -> Result<()>,
}

impl Script {
    /// One migration of a guest with one function.
    const fn new(name: &'static str, play: fn(&mut Plot) -> Result<()>) -> Self {
        Self {
            name,
            hops: &[""],
            checks: &[],
            functions: 1,
            driver_later: false,
            reboots: false,
            events: &[],
            play,
        }
    }
}

/// What to migrate, and how.
#[derive(Clone, Debug)]
pub struct Options {
    pub common: Common,
    pub scenario: Scenario,
    /// What the tests of this run are called, if not by what it is.
    pub called: Option<String>,
    pub device: DeviceType,
    pub driver: Driver,
    /// Tell the IOMMU model not to set dirty bits.
    pub dirty_bits_off: bool,
    /// Have the guest use the legacy interface only.
    pub legacy_guest: bool,
    /// Give the guest an IOMMU, which it is to use so.
    pub virtual_iommu: Option<VirtualIommu>,
    /// How QEMU reaches the device and learns of dirty pages.
    pub tracking: Tracking,
    /// Who is to report the device's dirty pages to QEMU.
    pub expect_tracker: DirtyTracker,
}

impl Options {
    /// What the tests of this run are called.
    fn fixture(&self) -> String {
        if let Some(name) = &self.called {
            return name.clone();
        }
        match self.scenario {
            Scenario::Once if self.dirty_bits_off && self.virtual_iommu.is_some() => {
                "l2_virtual_iommu_negative_control".to_string()
            }
            Scenario::Once if self.virtual_iommu == Some(VirtualIommu::Translating) => {
                "l2_virtual_iommu_translating".to_string()
            }
            Scenario::Once if self.virtual_iommu.is_some() => "l2_virtual_iommu".to_string(),
            Scenario::Once if self.dirty_bits_off => "l2_negative_control".to_string(),
            Scenario::Once if self.legacy_guest => "l2_legacy_guest".to_string(),
            Scenario::Once if self.device == DeviceType::Blk => "l2_blk_migration".to_string(),
            Scenario::Once => self.tracking.fixture().to_string(),
            scenario => format!("l2.{}", scenario.script().name),
        }
    }
}

/// Runs the scenario as far as it goes.
pub fn run(options: &Options) -> Report {
    let script = options.scenario.script();
    let mut report = blank(options, script);
    if let Err(error) = play(options, script, &mut report) {
        report.error = Some(format!("{error:#}"));
    }
    if options.dirty_bits_off {
        if let Err(error) = bench::set_dirty_bits(true) {
            report.error.get_or_insert(format!("{error:#}"));
        }
    }
    report
}

fn play(options: &Options, script: &'static Script, report: &mut Report) -> Result<()> {
    let mut plot = Plot::prepare(options, script, report)?;
    let result = (script.play)(&mut plot);
    plot.listen_to_kernel();
    result?;
    report.finished = true;
    Ok(())
}

/// The report of which nothing has been reached yet.
fn blank(options: &Options, script: &Script) -> Report {
    let hop = |&name| Hop {
        name,
        // Nothing to watch where the guest does nothing while it moves.
        work: vec![
            Work::default();
            if script.driver_later {
                0
            } else {
                script.functions
            }
        ],
        ..Hop::default()
    };
    let mut report = Report {
        hops: script.hops.iter().map(hop).collect(),
        checks: script.checks.iter().copied().map(Check::new).collect(),
        ..Report::default()
    };
    let setting = &mut report.setting;
    setting.device = options.device;
    setting.driver = options.driver.name().to_string();
    setting.guest_memory_mib = options.common.memory;
    setting.dirty_bits_off = options.dirty_bits_off;
    setting.legacy_guest = options.legacy_guest;
    setting.virtual_iommu = options.virtual_iommu;
    setting.fixture = options.fixture();
    setting.expected_tracker = Some(options.expect_tracker);
    report
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;
    use crate::host::tracking::{Container, Migratable};
    use crate::host::verdicts;

    fn options(scenario: Scenario) -> Options {
        Options {
            common: Common {
                pf: "0000:01:00.0".parse().unwrap(),
                kernel: PathBuf::new(),
                initrd: PathBuf::new(),
                memory: 160,
                logs: PathBuf::new(),
            },
            scenario,
            called: None,
            device: DeviceType::Net,
            driver: Driver::Rs,
            dirty_bits_off: false,
            legacy_guest: false,
            virtual_iommu: None,
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
    fn scenarios_are_called_alike_everywhere() {
        for scenario in Scenario::value_variants() {
            let name = scenario.to_possible_value().unwrap();
            assert_eq!(name.get_name(), scenario.script().name);
        }
    }

    #[test]
    fn no_two_tests_have_the_same_name_and_none_passes_unseen() {
        let mut names = BTreeSet::new();
        for &scenario in Scenario::value_variants() {
            let report = blank(&options(scenario), scenario.script());
            for verdict in verdicts(&report) {
                assert_eq!(verdict.problem.as_deref(), Some("not reached"));
                let name = format!("{}.{}", report.setting.fixture, verdict.name);
                assert!(names.insert(name.clone()), "{name}");
            }
        }
    }
}
