// SPDX-License-Identifier: GPL-2.0
//! Module parameter `dma_logging`.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result};
use harness::ktap::Suite;
use harness::{expect, expect_eq, kmod, skip};
use nix::errno::Errno;

use super::LIMIT;
use super::rig::{Backing, IOVA, Logged, PAGE_SIZE, pages};
use crate::config::{Config, Driver};

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let own = Arc::clone(config);
    suite.add_slow("dma_log", "rs_parameter", "values", LIMIT, move || {
        let result = values(&own);
        // The tests after this one want the default.
        reload(&own, "")?;
        result
    });
}

/// Unloads our module and loads it with `parameters`.
fn reload(config: &Config, parameters: &str) -> Result<()> {
    for function in [config.vf(), config.vf2()].into_iter().flatten() {
        function.unbind()?;
    }
    let name = config.module_name(Driver::Rs);
    if kmod::loaded(&name) {
        kmod::unload(&name).context("unloading")?;
    }
    kmod::load(&name, parameters)
}

fn shown(config: &Config) -> Result<String> {
    let path = format!(
        "/sys/module/{}/parameters/dma_logging",
        config.module_name(Driver::Rs)
    );
    Ok(fs::read_to_string(path)
        .context("the parameter in sysfs")?
        .trim()
        .to_owned())
}

fn values(config: &Config) -> Result<()> {
    if kmod::source(&config.module_name(Driver::Rs)).is_none() {
        skip!("no module file was given (VVP_MODULE)");
    }
    config.load(Driver::Rs)?;
    reload(config, "")?;
    expect_eq!(shown(config)?, "auto", "the default");

    reload(config, "dma_logging=conservative")?;
    expect_eq!(shown(config)?, "conservative", "shown");
    let mut log = Logged::open(config, Backing::Tracked)?;
    let range = log.map(IOVA, 8)?;
    log.start(&[range])?;
    expect_eq!(
        log.report(range)?,
        pages(range),
        "of a page table with dirty bits"
    );
    drop(log);

    reload(config, "dma_logging=iommu")?;
    expect_eq!(shown(config)?, "iommu", "shown");
    for backing in [Backing::Automatic, Backing::Container] {
        let log = Logged::open(config, backing)?;
        expect_eq!(
            log.device.start_dma_log(PAGE_SIZE, &[(IOVA, PAGE_SIZE)]),
            Err(Errno::EOPNOTSUPP),
            "without dirty bits, {backing}"
        );
    }
    lost_domain(config)?;

    reload(config, "dma_logging=off")?;
    expect_eq!(shown(config)?, "off", "shown");
    let log = Logged::open(config, Backing::Tracked)?;
    expect!(!log.device.has_dma_log()?, "DMA logging that is off");
    expect_eq!(
        log.device.start_dma_log(PAGE_SIZE, &[(IOVA, PAGE_SIZE)]),
        Err(Errno::ENOTTY),
        "START"
    );
    drop(log);

    expect!(
        reload(config, "dma_logging=perhaps").is_err(),
        "loaded with a value that there is not"
    );
    Ok(())
}

/// With `iommu`, nothing is made up for what the dirty bits do not tell.
fn lost_domain(config: &Config) -> Result<()> {
    let mut log = Logged::open(config, Backing::Tracked)?;
    let range = log.map(IOVA, 8)?;
    log.start(&[range])?;
    log.write(IOVA)?;
    let new = log.new_page_table()?;
    log.device.attach(new.id()).context("replacing")?;
    expect_eq!(
        log.device
            .read_dma_log(range.0, range.1, PAGE_SIZE)
            .map(drop),
        Err(Errno::EIO),
        "a log that lost its page table"
    );
    log.device.stop_dma_log().context("STOP")?;
    log.start(&[range])?;
    log.write(IOVA + PAGE_SIZE)?;
    expect_eq!(
        log.report(range)?,
        [IOVA + PAGE_SIZE].into(),
        "of a new log"
    );
    Ok(())
}
