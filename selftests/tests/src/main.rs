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
mod dirty;
mod disk_rig;
mod dma_log;
mod dma_logging;
mod edu;
mod expected;
mod faults;
mod fd_lifetime;
mod framing;
mod iommu;
mod kmemleak;
mod kvm_ring;
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
mod stream;
mod torture;
mod vfmig;
mod vmm;
mod weaknesses;
mod without_iommufd;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use vvp_harness::ktap::{self, Suite};
use vvp_harness::vfio::Access;

use config::{Arguments, Config, DeviceType};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (list, filters) = (arguments.list, arguments.filters());
    match Config::new(arguments) {
        Ok(config) => run(&Arc::new(config), list, &filters),
        Err(error) => ktap::bail_out(&format!("{error:#}")),
    }
}

fn run(config: &Arc<Config>, list: bool, filters: &[String]) -> ExitCode {
    let mut suite = Suite::default();
    if config.edu {
        edu::add(&mut suite);
        vfmig::add_edu(&mut suite);
    } else if config.large {
        large::add(&mut suite, config);
    } else if config.device == DeviceType::Blk {
        blk::add(&mut suite, config);
    } else if config.no_admin {
        no_admin::add(&mut suite, config);
        vfmig::add_no_admin(&mut suite, config);
    } else if config.transitional {
        legacy::add(&mut suite, config);
        // A modern driver must be able to use such a device, too.
        round_trip::add(&mut suite, config);
    } else {
        module::add(&mut suite, config);
        passthrough::add(&mut suite, config);
        if config.access == Access::Group {
            without_iommufd::add(&mut suite, config);
        }
        iommu::add(&mut suite, config);
        dirty::add(&mut suite, config);
        dma_log::add(&mut suite, config);
        vmm::add(&mut suite, config);
        kvm_ring::add(&mut suite, config);
        arcs::add(&mut suite, config);
        quiet::add(&mut suite, config);
        recovery::add(&mut suite, config);
        round_trip::add(&mut suite, config);
        precopy::add(&mut suite, config);
        stream::add(&mut suite, config);
        sealed::add(&mut suite, config);
        observe::add(&mut suite, config);
        vfmig::add(&mut suite, config);
        fd_lifetime::add(&mut suite, config);
        lifetimes::add(&mut suite, config);
        torture::add(&mut suite, config);
        if config.bench {
            blackout::add(&mut suite, config);
            weaknesses::add(&mut suite, config);
        }
        // Last: an object whose destruction was refused stays until the PF is reset.
        faults::add(&mut suite, config);
    }
    lockdep::add(&mut suite);
    kmemleak::add(&mut suite);
    if let Err(filter) = suite.retain(filters) {
        return ktap::bail_out(&format!("no test here has '{filter}' in its name"));
    }
    if list {
        suite.list();
        return ExitCode::SUCCESS;
    }
    if config.bench || config.edu {
        suite.forbid_skips(expected::skips(config.access));
    }
    if !nix::unistd::geteuid().is_root() {
        println!("KTAP version 1\n1..0 # SKIP root is needed");
        return ExitCode::from(ktap::SKIP);
    }
    let ready = config.prepare().and_then(|()| kmemleak::begin());
    match ready {
        Ok(()) => suite.run(),
        Err(error) => ktap::bail_out(&format!("{error:#}")),
    }
}
