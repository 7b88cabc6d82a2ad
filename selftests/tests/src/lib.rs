// SPDX-License-Identifier: GPL-2.0
//! Selftests of `virtio_vfio_pci_rs`, over the interfaces userspace has: sysfs,
//! VFIO, iommufd. They run in the bench's virtual machine and, as far as they
//! need no help from the bench, on a real host.
//!
//! Output is KTAP; the exit status is kselftest's.

mod arcs;
mod blackout;
mod blk;
mod config;
mod data_fd;
mod description;
mod dirty;
mod disk_rig;
mod disturbance;
mod dma_log;
mod dma_logging;
mod edu;
mod events;
mod expected;
mod faults;
mod framing;
mod iommu;
mod kmemleak;
pub mod kvm_ring;
mod large;
mod legacy;
mod lifetimes;
mod loading;
mod lockdep;
mod memory;
mod module;
mod no_admin;
mod observe;
mod passthrough;
mod precopy;
mod quiet;
mod recovery;
mod rig;
mod round_trip;
mod sealed;
mod states;
mod stream;
mod torture;
mod transfer;
mod unlike;
mod vfmig;
mod vmm;
mod weakness_table;
mod weaknesses;
mod without_iommufd;
mod work;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use vvp_harness::ktap::{self, Suite};
use vvp_harness::vfio::Access;

use config::{Arguments, Config, DeviceType};

/// What the program `vvp-selftests` does.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (list, dry_run) = (arguments.list, arguments.dry_run);
    let filters = arguments.filters();
    match Config::new(arguments) {
        Ok(config) => {
            let config = Arc::new(config);
            let mut suite = select(&config);
            if let Err(filter) = suite.retain(&filters) {
                return ktap::bail_out(&format!("no test here has '{filter}' in its name"));
            }
            if list {
                suite.list();
                return ExitCode::SUCCESS;
            }
            run(&config, suite, dry_run)
        }
        Err(error) => ktap::bail_out(&format!("{error:#}")),
    }
}

/// The tests for what there is, and for what it can do.
fn select(config: &Arc<Config>) -> Suite {
    let mut suite = Suite::default();
    if config.edu {
        edu::add(&mut suite);
        vfmig::add_edu(&mut suite);
    } else if config.large {
        large::add(&mut suite, config);
    } else if config.unlike {
        unlike::add(&mut suite, config);
    } else if config.no_admin {
        no_admin::add(&mut suite, config);
        vfmig::add_no_admin(&mut suite, config);
    } else {
        add_migratable(&mut suite, config);
    }
    lockdep::add(&mut suite);
    kmemleak::add(&mut suite);
    if config.bench || config.edu {
        suite.forbid_skips(expected::skips(config.access));
    }
    suite
}

/// The tests of functions that can be migrated.
fn add_migratable(suite: &mut Suite, config: &Arc<Config>) {
    let net = config.device == DeviceType::Net;
    module::add(suite, config);
    // Its BAR 0 is for ports, and other than what these compare it with and map.
    if !config.transitional {
        passthrough::add(suite, config);
    }
    if config.access == Access::Group && net {
        without_iommufd::add(suite, config);
    }
    iommu::add(suite, config);
    dirty::add(suite, config);
    dma_log::add(suite, config);
    vmm::add(suite, config);
    kvm_ring::add(suite, config);
    arcs::add(suite, config);
    recovery::add(suite, config);
    quiet::add(suite, config);
    if net {
        round_trip::add(suite, config);
    } else {
        blk::add(suite, config);
    }
    precopy::add(suite, config);
    observe::add(suite, config);
    vfmig::add(suite, config);
    if config.transitional {
        legacy::add(suite, config);
    }
    stream::add(suite, config);
    sealed::add(suite, config);
    data_fd::add(suite, config);
    lifetimes::add(suite, config);
    torture::add(suite, config);
    if config.bench {
        events::add(suite, config);
        if net {
            blackout::add(suite, config);
        }
        // They are of the drivers, whatever the function is.
        if net && !config.transitional {
            weaknesses::add(suite, config);
        }
    }
    // Last: an object whose destruction was refused stays until the PF is reset.
    faults::add(suite, config);
}

/// Runs them, and leaves the machine as it was.
fn run(config: &Config, mut suite: Suite, dry_run: bool) -> ExitCode {
    if !nix::unistd::geteuid().is_root() {
        println!("KTAP version 1\n1..0 # SKIP root is needed");
        return ExitCode::from(ktap::SKIP);
    }
    let disturbance = match config.disturbance() {
        Ok(found) => found,
        Err(error) => return ktap::bail_out(&format!("{error:#}")),
    };
    match &disturbance {
        Some(found) => ktap::diagnose(&format!("what is disturbed, and put back:\n{found}")),
        None if dry_run => ktap::diagnose("a machine made for these tests"),
        None => {}
    }
    if dry_run {
        return ExitCode::SUCCESS;
    }
    // From here on an interruption ends the tests, and not what puts everything back.
    if let Err(error) = suite.stop_at_signals() {
        return ktap::bail_out(&format!("{error:#}"));
    }
    let ready = config.prepare().and_then(|()| kmemleak::begin());
    let status = match ready {
        Ok(()) => suite.run(),
        Err(error) => ktap::bail_out(&format!("{error:#}")),
    };
    match disturbance.map_or(Ok(()), |found| found.restore()) {
        Ok(()) => status,
        Err(error) => ktap::bail_out(&format!("not all is as it was: {error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weaknesses that tests of other fixtures are for.
    const ELSEWHERE: [(&str, &str); 4] = [
        ("b02", "lifetimes.rs_cdev.two_writers"),
        ("b05", "data_fd.rs_cdev.outlives_the_binding"),
        ("b07", "faults.rs.get_lies"),
        ("b12", "faults.rs.destroy_fails"),
    ];

    fn titles(arguments: &[&str]) -> Vec<String> {
        let arguments = ["vvp-selftests"].iter().chain(arguments);
        let config = Config::new(Arguments::parse_from(arguments)).unwrap();
        select(&Arc::new(config)).titles()
    }

    #[test]
    fn names_are_unique_whatever_is_selected() {
        for arguments in [
            &["--bench"][..],
            &["--bench", "--access", "group"],
            &["--bench", "--device", "blk"],
            &["--bench", "--transitional"],
            &["--bench", "--no-admin"],
            &["--bench", "--large"],
            &["--bench", "--unlike"],
            &["--edu"],
            &[],
        ] {
            let mut titles = titles(arguments);
            assert!(!titles.is_empty(), "{arguments:?}");
            titles.sort();
            let count = titles.len();
            titles.dedup();
            assert_eq!(titles.len(), count, "{arguments:?}");
        }
    }

    #[test]
    fn every_weakness_has_a_test() {
        let titles = titles(&["--bench"]);
        for number in weakness_table::read().unwrap().keys() {
            let elsewhere = ELSEWHERE.iter().find(|(weakness, _)| weakness == number);
            let found = titles.iter().any(|title| match elsewhere {
                Some((_, other)) => title == other,
                None => title.starts_with(&format!("weaknesses.rs.{number}_")),
            });
            assert!(found, "{number}");
        }
    }
}
