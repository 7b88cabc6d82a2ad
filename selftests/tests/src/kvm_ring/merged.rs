// SPDX-License-Identifier: GPL-2.0
//! A pre-copy migration of memory that a vCPU and a device write at the same time.
//! Device writes are in no vCPU's ring, and vCPU writes in no log of the device:
//! only both together say what has to be sent again.

use std::collections::BTreeSet;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use kvm_ioctls::VmFd;
use kvm_ring::DirtyRing;
use nix::sys::memfd::{MFdFlags, memfd_create};
use vvp_harness::net::PageWriter;
use vvp_harness::vfio::{Access, Device, DirtyTracking, DmaBuffer, Mapping, PAGE, Space};
use vvp_harness::{expect, expect_eq, note, skip};

use super::guest::{DATA, ENTRIES, Guest, Stopped, address};
use crate::config::{Config, Driver};
use crate::dma_logging::{DmaLogging, require_dirty_bits};

const PAGES: u64 = 1024;
const PAGE_SIZE: u64 = PAGE as u64;
const LENGTH: u64 = PAGES * PAGE_SIZE;
/// Passes with everything running, at most.
const PASSES: usize = 12;
/// So few pages that the rest can be sent with everything stopped: two bursts' worth.
const FEW: usize = 2 * (GUEST_BURST as usize + DEVICE_BURST as usize);
/// Bursts that are allowed from the first pass to the second; half as many in each
/// further one, as VMMs slow down a guest that writes faster than they send.
const BURSTS: u32 = 64;
/// What the vCPU and the device write before they rest.
const GUEST_BURST: u32 = 12;
const DEVICE_BURST: u64 = 6;
const REST: Duration = Duration::from_millis(2);

/// Pages by number.
type Pages = BTreeSet<u64>;

/// A pass over memory: pages by who told of them.
struct Pass {
    vcpu: Pages,
    device: Pages,
}

impl Pass {
    fn merged(&self) -> Pages {
        &self.vcpu | &self.device
    }
}

pub fn pre_copy(config: &Config) -> Result<()> {
    require_dirty_bits()?;
    let mut control = config.control()?;
    control.dirty_bits(true)?;
    let vf = config.vf()?;
    let name = config.bench_name(&vf)?;
    config.bind(&vf, Driver::Rs)?;
    let _setting = DmaLogging::set(&vf, "iommu")?;

    let file: File = memfd_create(c"guest memory", MFdFlags::MFD_CLOEXEC)
        .context("memfd")?
        .into();
    file.set_len(LENGTH).context("size of the memory")?;
    let memory = Rc::new(DmaBuffer::of_file(DATA, &file, LENGTH as usize)?);

    let space = Arc::new(Space::new(Access::Cdev)?);
    let mut device = Device::bind(&vf, &space)?;
    if !device.iommu_tracks_dirty()? {
        skip!("the IOMMU does not track dirty pages");
    }
    let tracking = DirtyTracking::allocate(&device)?;
    device.attach(tracking.id()).context("attaching")?;
    for page in 0..PAGES {
        space.map_part(&memory, page * PAGE_SIZE, PAGE_SIZE, address(page))?;
    }
    let mut writer = PageWriter::of(&device)?.context("the bench has no page writer")?;
    let mut guest = Guest::new(Rc::clone(&memory), Some(ENTRIES))?;
    control.dma_writes(&name, true)?;
    device
        .start_dma_log(PAGE_SIZE, &[(DATA, LENGTH)])
        .context("starting the log")?;

    let (stop, (stopped, wait)) = (AtomicBool::new(false), mpsc::channel());
    let allowed = AtomicU32::new(BURSTS);
    let migrator = Migrator {
        ring: guest.ring(ENTRIES)?,
        vm: guest.vm(),
        device: &device,
        memory: file.try_clone().context("memory")?,
        stop: &stop,
        allowed: &allowed,
        stopped: wait,
    };
    let (written_by_guest, migrated) = thread::scope(|scope| -> Result<_> {
        let migrator = scope.spawn(move || migrator.migrate());
        let written = write_until(&stop, &allowed, &mut guest, &mut writer);
        // Whatever happened, the migrator is not to wait forever.
        drop(stopped);
        let migrated = migrator
            .join()
            .map_err(|_| anyhow!("the migrator died"))??;
        Ok((written?, migrated))
    })?;
    let (passes, target) = migrated;

    for (index, pass) in passes.iter().enumerate() {
        let last = index + 1 == passes.len();
        note!(
            "pass {}{}: {} pages from the vCPU's ring, {} from the device's log, {} in all",
            index + 1,
            if last { ", stopped" } else { "" },
            pass.vcpu.len(),
            pass.device.len(),
            pass.merged().len()
        );
    }
    let all = |of: fn(&Pass) -> &Pages| passes.iter().flat_map(of).copied().collect::<Pages>();
    expect_eq!(all(|pass| &pass.vcpu), written_by_guest, "told by the ring");
    let written_by_device: Pages = control
        .dma_writes(&name, true)?
        .into_iter()
        .map(|iova| (iova - DATA) / PAGE_SIZE)
        .collect();
    expect_eq!(
        all(|pass| &pass.device),
        written_by_device,
        "told by the log"
    );
    expect!(
        !written_by_guest.is_superset(&written_by_device)
            && !written_by_device.is_superset(&written_by_guest),
        "one source alone would have done"
    );
    let differing: Vec<u64> = (0..LENGTH as usize)
        .step_by(8)
        .filter(|offset| memory.read::<u64>(*offset) != target.read(*offset))
        .map(|offset| offset as u64 / PAGE_SIZE)
        .collect();
    expect_eq!(differing, [0_u64; 0], "pages that differ on the target");
    expect!(passes.len() <= PASSES, "the passes did not converge");
    device.stop_dma_log().context("stopping the log")
}

/// The vCPU and the device at work. Returns what the vCPU has written.
fn write_until(
    stop: &AtomicBool,
    allowed: &AtomicU32,
    guest: &mut Guest,
    writer: &mut PageWriter,
) -> Result<Pages> {
    let (mut written, mut round) = (Pages::new(), 0);
    let mut burst = || -> Result<()> {
        written.extend(guest.prepare(round, GUEST_BURST)?);
        while guest.run()? == Stopped::Full {
            // The migrator makes room.
            thread::sleep(REST);
        }
        for step in 0..DEVICE_BURST {
            let page = (u64::from(round) * DEVICE_BURST + step) * 37 % PAGES;
            writer.write(address(page))?;
        }
        round += 1;
        thread::sleep(REST);
        Ok(())
    };
    while !stop.load(Ordering::Acquire) {
        let one = |bursts: u32| bursts.checked_sub(1);
        match allowed.fetch_update(Ordering::AcqRel, Ordering::Acquire, one) {
            Ok(_) => burst()?,
            Err(_) => thread::sleep(REST),
        }
    }
    // However the threads went: something is left for the last pass.
    burst()?;
    burst()?;
    Ok(written)
}

/// What migrates, in a thread of its own.
struct Migrator<'a> {
    ring: DirtyRing,
    vm: Arc<VmFd>,
    device: &'a Device,
    memory: File,
    stop: &'a AtomicBool,
    /// Bursts that may still be written.
    allowed: &'a AtomicU32,
    /// Ends when nobody writes any more.
    stopped: Receiver<()>,
}

impl Migrator<'_> {
    fn migrate(mut self) -> Result<(Vec<Pass>, Target)> {
        let source = Mapping::of_file(&self.memory, 0, LENGTH as usize)?;
        let mut target = Target(vec![0; LENGTH as usize / 8]);
        let result = self.passes(&source, &mut target);
        self.stop.store(true, Ordering::Release);
        let mut passes = result?;
        // Until the writer lets go of its end.
        let _ = self.stopped.recv();
        let last = self.collect()?;
        target.take(&source, &last.merged());
        passes.push(last);
        Ok((passes, target))
    }

    /// All pages, and then what was written meanwhile, until that is little.
    fn passes(&mut self, source: &Mapping, target: &mut Target) -> Result<Vec<Pass>> {
        target.take(source, &(0..PAGES).collect());
        let mut passes = Vec::new();
        for number in 0..PASSES {
            let pass = self.collect()?;
            self.allowed
                .store((BURSTS >> number).max(1), Ordering::Release);
            let pages = pass.merged();
            target.take(source, &pages);
            passes.push(pass);
            if pages.len() <= FEW {
                break;
            }
        }
        Ok(passes)
    }

    /// What was written since this was last asked, from both sources. The pages
    /// themselves are read afterwards: what is written from now on is told next time.
    fn collect(&mut self) -> Result<Pass> {
        let vcpu = self.ring.harvest().iter().map(|page| page.offset).collect();
        kvm_ring::reset(&self.vm)?;
        let device = self
            .device
            .read_dma_log(DATA, LENGTH, PAGE_SIZE)
            .context("reading the log")?
            .pages()
            .into_iter()
            .map(|iova| (iova - DATA) / PAGE_SIZE)
            .collect();
        Ok(Pass { vcpu, device })
    }
}

/// Memory on the target.
struct Target(Vec<u64>);

impl Target {
    fn take(&mut self, source: &Mapping, pages: &Pages) {
        for page in pages {
            let start = (*page * PAGE_SIZE) as usize;
            for offset in (start..start + PAGE).step_by(8) {
                self.0[offset / 8] = source.read(offset);
            }
        }
    }

    fn read(&self, offset: usize) -> u64 {
        self.0[offset / 8]
    }
}
