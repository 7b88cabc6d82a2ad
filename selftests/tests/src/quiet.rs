// SPDX-License-Identifier: GPL-2.0
//! Fixture `quiet`: a device that has been stopped does nothing to the outside,
//! whatever is asked of it, and goes on as if nothing had been.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use vvp_harness::control::Control;
use vvp_harness::ktap::Suite;
use vvp_harness::net::PageWriter;
use vvp_harness::vfio::{DmaBuffer, PAGE, State};
use vvp_harness::{expect, expect_eq};

use crate::config::{Config, Driver};
use crate::rig;
use crate::work::Work;

const IOVA: u64 = 0x9000_0000;
const PATTERN: u64 = 0x5a5a_a5a5_1234_8765;
/// Time in which a device that does act would have acted.
const WHILE: Duration = Duration::from_millis(200);

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    use State::{PreCopy, PreCopyP2p, RunningP2p, Stop, StopCopy};
    // From RUNNING, the kernel goes to PRE_COPY_P2P by way of RUNNING_P2P; VMMs come from
    // PRE_COPY, by another arc.
    let ways: [&'static [State]; 6] = [
        &[RunningP2p],
        &[PreCopyP2p],
        &[PreCopy, PreCopyP2p],
        &[Stop],
        &[StopCopy],
        &[PreCopy, StopCopy],
    ];
    for driver in [Driver::Rs, Driver::C] {
        for way in ways {
            let config = Arc::clone(config);
            let names: Vec<_> = way.iter().rev().map(State::to_string).collect();
            suite.add(
                "quiet",
                format!("{driver}_{}", config.access),
                format!("in_{}", names.join("_from_")),
                move || quiet(&config, driver, way),
            );
        }
    }
}

/// What only the bench can ask and see.
struct Witness {
    control: Control,
    name: String,
    writer: PageWriter,
    page: DmaBuffer,
}

impl Witness {
    fn expect_nothing_written(&mut self) -> Result<()> {
        let (asked, done) = self.writer.try_write(IOVA);
        expect!(asked != done, "the page writer worked");
        let state = self.control.state()?;
        expect!(
            state.function(&self.name)?.stopped,
            "the device is not in stopped mode"
        );
        let written = self.control.dma_writes(&self.name, true)?;
        expect!(written.is_empty(), "the device wrote {written:x?}");
        let touched = (0..PAGE)
            .step_by(8)
            .any(|at| self.page.read::<u64>(at) != PATTERN);
        expect!(!touched, "the page was written");
        Ok(())
    }
}

/// Stopped by `way`, one state after the other.
fn quiet(config: &Config, driver: Driver, way: &[State]) -> Result<()> {
    let vf = config.vf()?;
    let device = rig::open(config, &vf, driver, config.access)?;
    let mut work = Work::start(config, &vf, &device)?;
    work.exchange(5)?;
    work.rest()?;
    let mut witness = if config.bench {
        let page = DmaBuffer::new(IOVA, PAGE)?;
        for at in (0..PAGE).step_by(8) {
            page.write(at, PATTERN);
        }
        device.space().map(&page)?;
        Some(Witness {
            control: config.control()?,
            name: config.bench_name(&vf)?,
            writer: PageWriter::of(&device)?.context("the bench has no page writer")?,
            page,
        })
    } else {
        None
    };

    let mut fds = Vec::new();
    for &state in way {
        let fd = device.set_state(state);
        fds.extend(fd.with_context(|| format!("to {state}"))?);
    }
    for vector in 0..work.interrupts().vectors() {
        work.interrupts().take(vector)?;
    }
    if let Some(witness) = &mut witness {
        witness.control.dma_writes(&witness.name, true)?;
    }
    work.order()?;
    std::thread::sleep(WHILE);
    work.expect_idle()?;
    for vector in 0..work.interrupts().vectors() {
        expect_eq!(
            work.interrupts().take(vector)?,
            0,
            "interrupts of vector {vector}"
        );
    }
    if let Some(witness) = &mut witness {
        witness.expect_nothing_written()?;
    }
    drop(fds);

    device.go(State::Running)?;
    work.expect_done()
}
