// SPDX-License-Identifier: GPL-2.0
//! Fixture `torture`: anything in any order. What counts is that the kernel has nothing to
//! say, that everything returns, and that the device works afterwards.

mod client;
mod host;
mod order;
mod rounds;
mod tally;
mod together;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use vvp_harness::ktap::Suite;
use vvp_harness::vfio::Access;

use crate::config::Config;

const LIMIT: Duration = Duration::from_secs(180);

/// What a round may take beyond the time that all rounds have.
const LAST_ROUND: Duration = Duration::from_secs(240);

/// How the tests at random are run.
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// Where the decisions of torture.*.at_random come from
    #[arg(long = "torture-seed", value_name = "NUMBER", default_value_t = 13)]
    seed: u64,
    /// The round that it begins with: a failure says in which it was
    #[arg(long = "torture-round", value_name = "NUMBER", default_value_t = 1)]
    round: u64,
    /// How long it goes on; without, there is no such test
    #[arg(long = "torture-seconds", value_name = "S")]
    seconds: Option<u64>,
}

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    for access in [Access::Cdev, Access::Group] {
        let config = Arc::clone(config);
        suite.add_slow(
            "torture",
            format!("rs_{access}"),
            "all_at_once",
            LIMIT,
            move || together::all_at_once(&config, access),
        );
    }
    // It takes away what a host's own users need.
    let Some(seconds) = config.torture.seconds.filter(|_| config.bench) else {
        return;
    };
    let config = Arc::clone(config);
    let time = Duration::from_secs(seconds);
    suite.add_slow("torture", "rs", "at_random", time + LAST_ROUND, move || {
        rounds::at_random(&config, config.torture, time)
    });
}
