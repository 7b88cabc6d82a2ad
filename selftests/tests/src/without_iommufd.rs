// SPDX-License-Identifier: GPL-2.0
//! Fixture `without_iommufd`: what the driver must not offer where the kernel has no
//! iommufd, and so no bitmaps that VFIO could answer questions about dirty pages with.

use std::sync::Arc;

use anyhow::Result;
use nix::errno::Errno;
use vvp_harness::ktap::Suite;
use vvp_harness::vfio::Access;
use vvp_harness::{expect, expect_eq, skip};

use crate::config::{Config, Driver};
use crate::rig;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let config = Arc::clone(config);
    suite.add("without_iommufd", "rs_group", "no_dma_logging", move || {
        no_dma_logging(&config)
    });
}

/// Neither to VMMs nor to administrators.
fn no_dma_logging(config: &Config) -> Result<()> {
    if std::path::Path::new("/dev/iommu").exists() {
        skip!("this kernel has iommufd");
    }
    let vf = config.vf()?;
    let device = rig::open(config, &vf, Driver::Rs, Access::Group)?;
    expect_eq!(device.has_dma_log(), Ok(false), "DMA logging is offered");
    expect_eq!(
        device.start_dma_log(4096, &[(0, 4096)]),
        Err(Errno::ENOTTY),
        "START of what is not offered"
    );
    expect!(
        vf.attribute("dma_logging").is_err(),
        "there is a setting for what is not there"
    );
    Ok(())
}
