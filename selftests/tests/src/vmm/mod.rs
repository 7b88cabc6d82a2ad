// SPDX-License-Identifier: GPL-2.0
//! Fixture `vmm`: migrations as a VMM written in Rust makes them, with the crates
//! of rust-vmm that cloud-hypervisor uses, in several passes over memory that the
//! device goes on writing. Needs the bench's page writer.

mod client;
mod passes;
mod snapshot;
mod state;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use vvp_harness::ktap::Suite;
use vvp_harness::{expect, expect_eq, note};

use crate::config::{Config, Driver};
use crate::dma_logging::require_dirty_bits;
use client::{Vmm, Way};

/// Thousands of writes of an emulated device.
const LIMIT: Duration = Duration::from_secs(180);

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    for way in Way::ALL {
        let config = Arc::clone(config);
        suite.add_slow("vmm", format!("rs_{way}"), "pre_copy", LIMIT, move || {
            migrate(&config, way)
        });
    }
    snapshot::add(suite, config);
}

fn migrate(config: &Config, way: Way) -> Result<()> {
    if way.is_exact() {
        require_dirty_bits()?;
    }
    let mut control = config.control()?;
    control.dirty_bits(true)?;
    let (one, two) = (config.vf()?, config.vf2()?);
    for vf in [&one, &two] {
        config.bind(vf, Driver::Rs)?;
    }
    let name = config.bench_name(&one)?;
    let source = Vmm::start(&one, way)?;
    let target = Vmm::start(&two, way)?;
    control.dma_writes(&name, true)?;

    let done = passes::migrate(&source, &target)?;
    note!(
        "pages by pass: {:?}, of {}; {} writes meanwhile; device state {} bytes, of which {} \
         with the device stopped",
        done.passes
            .iter()
            .map(|pages| pages.len())
            .collect::<Vec<_>>(),
        client::PAGES,
        done.writes,
        done.state_bytes,
        done.last_state_bytes
    );

    let differing = source.differences(&target);
    expect_eq!(differing, [0_u64; 0], "pages that differ on the target");
    // Else there was nothing to find.
    expect!(
        !done.left_at_stop.is_empty(),
        "nothing was left for the last pass"
    );
    // The first pass sends everything unasked, so what was written in it counts, too.
    let written = control.dma_writes(&name, true)?.into_iter().collect();
    let reported = done.reported();
    if way.is_exact() {
        expect_eq!(reported, written, "pages reported in all passes");
    } else {
        for (index, pages) in done.passes.iter().enumerate() {
            expect_eq!(pages.len() as u64, client::PAGES, "pages of pass {index}");
        }
        expect!(reported.is_superset(&written), "a page was lost");
    }
    target.prove_device()
}
