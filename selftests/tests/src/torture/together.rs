// SPDX-License-Identifier: GPL-2.0
//! State changes, resets, reads, writes and questions, all at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use fastrand::Rng;
use vvp_harness::vfio::{Access, DataFd, Device};
use vvp_harness::{expect_eq, note};

use crate::config::{Config, Driver};
use crate::rig;
use crate::states::SPECIFIED;

const MOVES: u32 = 120;
/// Descriptors kept open, of sessions old and new.
const KEPT: usize = 6;

/// On a device reached by `access`.
pub fn all_at_once(config: &Config, access: Access) -> Result<()> {
    let device = rig::open(config, &config.vf()?, Driver::Rs, access)?;
    let stream = rig::save(&device)?;
    let over = AtomicBool::new(false);
    let (sender, receiver) = channel();
    let outcome = std::thread::scope(|scope| {
        let threads = [
            scope.spawn(|| reset_again_and_again(&device, &over)),
            scope.spawn(|| ask(&device, &over)),
            scope.spawn(|| transfer(receiver, &stream)),
        ];
        let moved = move_about(&device, sender);
        over.store(true, Ordering::Relaxed);
        let others: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        (moved, others)
    });
    let (moved, others) = outcome;
    note!("{} of {MOVES} state changes succeeded", moved?);
    for other in others {
        other.map_err(|_| anyhow!("a thread panicked"))??;
    }
    rig::recover(&device)?;
    rig::prove_migration(&device)?;
    rig::recover(&device)?;
    if config.bench {
        expect_eq!(
            config.control()?.state()?.admin.objects,
            [],
            "resource objects left"
        );
    }
    Ok(())
}

/// Any state, from whatever state it is; gives descriptors away.
fn move_about(device: &Device, descriptors: Sender<DataFd>) -> Result<u32> {
    let mut random = Rng::with_seed(0x1234_5678);
    let mut succeeded = 0;
    for _ in 0..MOVES {
        match device.set_state(SPECIFIED[random.usize(..SPECIFIED.len())]) {
            Ok(fd) => {
                succeeded += 1;
                if let Some(fd) = fd {
                    descriptors
                        .send(fd)
                        .context("the transferring thread is gone")?;
                }
            }
            // Half a stream is no state to leave RESUMING with; only a reset helps.
            Err(_) => device.reset().context("reset after a refused change")?,
        }
    }
    ensure!(
        succeeded > MOVES / 10,
        "only {succeeded} of {MOVES} state changes succeeded"
    );
    Ok(succeeded)
}

fn reset_again_and_again(device: &Device, over: &AtomicBool) -> Result<()> {
    let mut random = Rng::with_seed(0x5555_aaaa);
    while !over.load(Ordering::Relaxed) {
        device.reset().context("VFIO_DEVICE_RESET")?;
        std::thread::sleep(Duration::from_millis(random.usize(..200) as u64));
    }
    Ok(())
}

/// Questions that have an answer at any time.
fn ask(device: &Device, over: &AtomicBool) -> Result<()> {
    while !over.load(Ordering::Relaxed) {
        device.state()?;
        device.migration_flags().context("flags")?;
        device.data_size().context("data size")?;
    }
    Ok(())
}

/// Reads from and writes to descriptors, alive or dead, until there are no more.
fn transfer(descriptors: Receiver<DataFd>, stream: &[u8]) -> Result<()> {
    let mut random = Rng::with_seed(0x8765_4321);
    let mut kept: Vec<DataFd> = Vec::new();
    for fd in descriptors {
        kept.push(fd);
        if kept.len() > KEPT {
            kept.remove(random.usize(..KEPT));
        }
        for fd in &mut kept {
            let mut bytes = [0; 64];
            // Every descriptor is of one direction; the other is refused, and so
            // is everything once its session has ended.
            let _ = fd.read_once(&mut bytes);
            let start = random.usize(..stream.len());
            let end = start + random.usize(..stream.len() - start + 1);
            let _ = fd.write_once(&stream[start..end]);
            let _ = fd.write_all(stream);
        }
    }
    Ok(())
}
