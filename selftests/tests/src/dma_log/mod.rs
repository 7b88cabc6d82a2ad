// SPDX-License-Identifier: GPL-2.0
//! Fixture `dma_log`: what VFIO's DMA logging reports, against what the model of
//! the device says it wrote. Needs the bench's page writer and its IOMMU.

mod another_build;
mod conservative;
mod dma_buf;
mod domains;
mod errors;
mod exact;
mod killed;
mod large;
mod owners;
mod parameter;
mod rig;
mod unwritable;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use vvp_harness::ktap::Suite;

use crate::config::Config;
use crate::dma_logging::require_dirty_bits;
use rig::Backing;

/// Hundreds of writes of an emulated device.
const LIMIT: Duration = Duration::from_secs(180);

type Test = fn(&Config, Backing) -> Result<()>;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let mut tests: Vec<(Backing, &'static str, Test)> = Vec::new();
    for (name, test) in errors::TESTS.into_iter().chain(unwritable::TESTS) {
        tests.extend(Backing::ALL.map(|backing| (backing, name, test)));
    }
    for (name, test) in killed::TESTS {
        tests.push((Backing::Automatic, name, *test));
    }
    for (name, test) in conservative::TESTS {
        tests.extend(Backing::UNTRACKED.map(|backing| (backing, name, test)));
    }
    for (name, test) in conservative::CONTAINER_TESTS {
        tests.push((Backing::Container, name, test));
    }
    for list in [
        exact::TESTS,
        large::TESTS,
        owners::TESTS,
        domains::TESTS,
        unwritable::TRACKED_TESTS,
        dma_buf::TESTS,
    ] {
        tests.extend(
            list.iter()
                .map(|(name, test)| (Backing::Tracked, *name, *test)),
        );
    }
    for (backing, name, test) in tests {
        let config = Arc::clone(config);
        suite.add_slow("dma_log", format!("rs_{backing}"), name, LIMIT, move || {
            if backing == Backing::Tracked {
                require_dirty_bits()?;
            }
            test(&config, backing)
        });
    }
    parameter::add(suite, config);
}
