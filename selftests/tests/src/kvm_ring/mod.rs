// SPDX-License-Identifier: GPL-2.0
//! Fixture `kvm_ring`: pages written by a vCPU, told by KVM's dirty ring, and by a
//! device, told by DMA logging: what a migration has to merge.

pub mod guest;
mod merged;
mod ring;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use vvp_harness::ktap::{Suite, Test};

use crate::config::Config;

const LIMIT: Duration = Duration::from_secs(180);

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    type Body = fn() -> Result<()>;
    let tests: [(&str, Body); 5] = [
        ("exactly_what_was_written", ring::exact),
        ("reset_rearms", ring::rearmed),
        ("soft_full_and_back_pressure", ring::full),
        ("harvested_while_running", ring::parallel),
        ("sizes", ring::sizes),
    ];
    // KVM's part, without which there is nothing to merge.
    for (name, body) in tests {
        suite.add_test(Test::new("kvm_ring", "vcpu", name, LIMIT, body).foreign());
    }
    let config = Arc::clone(config);
    suite.add_slow(
        "kvm_ring",
        "vcpu_and_device",
        "pre_copy",
        LIMIT,
        move || merged::pre_copy(&config),
    );
}
