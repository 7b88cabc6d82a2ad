// SPDX-License-Identifier: GPL-2.0
//! Fixture `no_admin`: a VF whose PF has no admin virtqueue is passed through as
//! by vfio-pci, cannot migrate, and the log says so once.

use std::sync::Arc;

use anyhow::Result;
use nix::errno::Errno;
use vvp_harness::debugfs::Files;
use vvp_harness::kmsg::Log;
use vvp_harness::ktap::Suite;
use vvp_harness::vfio::{Access, State};
use vvp_harness::{expect, expect_eq, note};

use crate::config::{Config, Driver};
use crate::rig::{self, Talk};

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let own = Arc::clone(config);
    suite.add("no_admin", "rs", "says_so_once", move || says_so_once(&own));
    for access in [Access::Cdev, Access::Group] {
        let own = Arc::clone(config);
        suite.add(
            "no_admin",
            format!("rs_{access}"),
            "device_works",
            move || device_works(&own, access),
        );
        let own = Arc::clone(config);
        suite.add(
            "no_admin",
            format!("rs_{access}"),
            "no_migration",
            move || no_migration(&own, access),
        );
    }
}

fn says_so_once(config: &Config) -> Result<()> {
    let vf = config.vf()?;
    config.load(Driver::Rs)?;
    vf.unbind()?;
    let mut log = Log::follow()?;
    config.bind(&vf, Driver::Rs)?;
    let address = vf.address().to_string();
    let messages: Vec<String> = log
        .messages()?
        .into_iter()
        .filter(|message| message.contains(&address) && message.contains("migration"))
        .collect();
    note!("{messages:?}");
    expect_eq!(messages.len(), 1, "messages about migration");
    expect_eq!(
        messages[0].contains("admin"),
        true,
        "the message gives the reason: {messages:?}"
    );
    Ok(())
}

fn device_works(config: &Config, access: Access) -> Result<()> {
    let vf = config.vf()?;
    let device = rig::open(config, &vf, Driver::Rs, access)?;
    let mut talk = Talk::start(config, &vf, &device)?;
    talk.exchange(20)?;
    talk.expect_silence()
}

fn no_migration(config: &Config, access: Access) -> Result<()> {
    let vf = config.vf()?;
    let device = rig::open(config, &vf, Driver::Rs, access)?;
    expect!(!Files::of(&vf).exist(), "files of a migration in debugfs");
    expect!(
        !vf.path().join("precopy_interval_ms").exists(),
        "a setting of migration in sysfs"
    );
    expect_eq!(
        device.migration_features(),
        Ok(Vec::new()),
        "features of migration"
    );
    expect_eq!(
        device.set_state(State::Stop).err(),
        Some(Errno::ENOTTY),
        "setting a state"
    );
    Ok(())
}
