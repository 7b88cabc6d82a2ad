// SPDX-License-Identifier: GPL-2.0
//! Fixture `iommu`: a device reaches exactly what it was given. Needs the bench.

use std::sync::Arc;

use anyhow::{Context, Result};
use vvp_harness::control::Control;
use vvp_harness::ktap::Suite;
use vvp_harness::net::PageWriter;
use vvp_harness::vfio::{Access, Device, DmaBuffer, PAGE};
use vvp_harness::{expect, expect_eq, wait};

use crate::config::{Config, Driver};
use crate::rig;

const IOVA: u64 = 0x9000_0000;
const PATTERN: u64 = 0x5a5a_a5a5_1234_8765;

type Body = fn(&mut Walled) -> Result<()>;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let tests: [(&str, Body); 3] = [
        ("unmapped_address_faults", unmapped),
        ("unmapping_takes_effect", unmapping),
        ("remapping_takes_effect", remapping),
    ];
    for driver in [Driver::Rs, Driver::C] {
        for access in [Access::Cdev, Access::Group] {
            for (name, test) in tests {
                let config = Arc::clone(config);
                suite.add("iommu", format!("{driver}_{access}"), name, move || {
                    test(&mut Walled::set_up(&config, driver, access)?)
                });
            }
        }
    }
}

struct Walled {
    writer: PageWriter,
    device: Device,
    control: Control,
}

impl Walled {
    fn set_up(config: &Config, driver: Driver, access: Access) -> Result<Self> {
        let control = config.control()?;
        let device = rig::open(config, &config.vf()?, driver, access)?;
        let writer = PageWriter::of(&device)?.context("the bench has no page writer")?;
        Ok(Self {
            writer,
            device,
            control,
        })
    }

    fn buffer(&self, iova: u64) -> Result<DmaBuffer> {
        let buffer = DmaBuffer::new(iova, PAGE)?;
        fill(&buffer);
        self.device.space().map(&buffer)?;
        Ok(buffer)
    }

    /// Has the device write where it may not, and waits for the fault.
    fn expect_fault(&mut self, iova: u64) -> Result<()> {
        let before = self.control.state()?.iommu.faults;
        self.writer.try_write(iova);
        wait::until("an I/O page fault", wait::PATIENCE, || {
            Ok((self.control.state()?.iommu.faults > before).then_some(()))
        })
    }
}

fn fill(buffer: &DmaBuffer) {
    for offset in (0..PAGE).step_by(8) {
        buffer.write(offset, PATTERN);
    }
}

fn untouched(buffer: &DmaBuffer) -> bool {
    (0..PAGE)
        .step_by(8)
        .all(|offset| buffer.read::<u64>(offset) == PATTERN)
}

fn unmapped(walled: &mut Walled) -> Result<()> {
    let buffer = walled.buffer(IOVA)?;
    walled.expect_fault(IOVA + (16 * PAGE) as u64)?;
    expect!(untouched(&buffer), "a write to elsewhere arrived here");
    let sequence = walled.writer.write(IOVA)?;
    expect!(
        PageWriter::holds(&buffer, 0, sequence),
        "a write after a fault did not arrive"
    );
    Ok(())
}

/// The IOMMU may have cached the translation; the kernel must have it forget.
fn unmapping(walled: &mut Walled) -> Result<()> {
    let buffer = walled.buffer(IOVA)?;
    let sequence = walled.writer.write(IOVA)?;
    expect!(
        PageWriter::holds(&buffer, 0, sequence),
        "the first write did not arrive"
    );
    walled
        .device
        .space()
        .unmap(IOVA, PAGE as u64)
        .context("unmapping")?;
    fill(&buffer);
    walled.expect_fault(IOVA)?;
    expect!(untouched(&buffer), "a page that was taken away was written");
    Ok(())
}

fn remapping(walled: &mut Walled) -> Result<()> {
    let first = walled.buffer(IOVA)?;
    let before = walled.writer.write(IOVA)?;
    walled
        .device
        .space()
        .unmap(IOVA, PAGE as u64)
        .context("unmapping")?;
    let second = walled.buffer(IOVA)?;
    let after = walled.writer.write(IOVA)?;
    expect!(
        PageWriter::holds(&second, 0, after),
        "the new page was not written"
    );
    expect!(
        PageWriter::holds(&first, 0, before),
        "the old page was written"
    );
    expect_eq!(after, before + 1, "sequence");
    Ok(())
}
