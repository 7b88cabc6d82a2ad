// SPDX-License-Identifier: GPL-2.0
//! The ring by itself.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use kvm_ring::DirtyRing;
use vvp_harness::vfio::{DmaBuffer, PAGE};
use vvp_harness::{expect, expect_eq, note};

use super::guest::{DATA, ENTRIES, Guest, RESERVED, Stopped, vm};

/// Pages of the guest's data.
const PAGES: usize = 1024;

fn guest() -> Result<(Guest, DirtyRing)> {
    let memory = Rc::new(DmaBuffer::new(DATA, PAGES * PAGE)?);
    let guest = Guest::new(memory, Some(ENTRIES))?;
    let ring = guest.ring(ENTRIES)?;
    Ok((guest, ring))
}

fn harvest(ring: &mut DirtyRing) -> BTreeSet<u64> {
    ring.harvest().iter().map(|page| page.offset).collect()
}

/// Each page once, and no other.
pub fn exact() -> Result<()> {
    let (mut guest, mut ring) = guest()?;
    for round in 0..4 {
        let written = guest.prepare(round, 100)?;
        expect_eq!(guest.run()?, Stopped::Done, "round {round}");
        let pages = ring.harvest();
        expect_eq!(pages.len(), written.len(), "round {round}: entries");
        expect!(pages.iter().all(|page| page.slot == 1), "another slot");
        let found: BTreeSet<u64> = pages.iter().map(|page| page.offset).collect();
        expect_eq!(found, written, "round {round}: pages");
        expect_eq!(
            kvm_ring::reset(&guest.vm())?,
            pages.len(),
            "round {round}: reset"
        );
        expect_eq!(
            ring.harvest().len(),
            0,
            "round {round}: entries after a reset"
        );
    }
    // Many writes to few pages are few entries.
    guest.confine(16);
    let written = guest.prepare(5, 2000)?;
    expect_eq!(guest.run()?, Stopped::Done, "few pages");
    expect_eq!(harvest(&mut ring), written, "few pages");
    Ok(())
}

/// A page comes again when it is written after a reset, and only then.
pub fn rearmed() -> Result<()> {
    let (mut guest, mut ring) = guest()?;
    let written = guest.prepare(7, 50)?;
    guest.run()?;
    expect_eq!(harvest(&mut ring), written, "first");
    guest.prepare(7, 50)?;
    guest.run()?;
    expect_eq!(ring.harvest().len(), 0, "harvested, not reset");
    expect_eq!(kvm_ring::reset(&guest.vm())?, written.len(), "reset");
    guest.prepare(7, 50)?;
    guest.run()?;
    expect_eq!(harvest(&mut ring), written, "after the reset");
    // A reset of what was not harvested is none.
    guest.prepare(8, 50)?;
    guest.run()?;
    expect_eq!(
        kvm_ring::reset(&guest.vm())?,
        written.len(),
        "only what was harvested"
    );
    Ok(())
}

/// A guest that writes more than the ring holds is stopped in time, stays stopped
/// until there is room, and loses nothing.
pub fn full() -> Result<()> {
    let (mut guest, mut ring) = guest()?;
    let written = guest.prepare(3, 5000)?;
    expect!(
        written.len() > 2 * ENTRIES,
        "too few pages to fill the ring"
    );
    let (mut found, mut stops) = (BTreeSet::new(), 0);
    while guest.run()? == Stopped::Full {
        stops += 1;
        let left = guest.left()?;
        for _ in 0..3 {
            expect_eq!(guest.run()?, Stopped::Full, "with a full ring");
        }
        expect_eq!(guest.left()?, left, "writes left, with a full ring");
        // Harvesting is not enough.
        let pages = harvest(&mut ring);
        expect!(
            (1..=ENTRIES - RESERVED + 1).contains(&pages.len()),
            "{} entries in a ring that is nearly full",
            pages.len()
        );
        expect_eq!(guest.run()?, Stopped::Full, "harvested, not reset");
        let reset = kvm_ring::reset(&guest.vm())?;
        expect_eq!(reset, pages.len(), "entries reset");
        found.extend(pages);
    }
    found.extend(harvest(&mut ring));
    expect_eq!(found, written, "pages in all");
    note!("{} pages, stopped {stops} times", written.len());
    expect!(
        stops >= written.len() / ENTRIES,
        "stopped {stops} times only"
    );
    Ok(())
}

/// One thread harvests while another runs the guest, and waits when told to.
pub fn parallel() -> Result<()> {
    let (mut guest, ring) = guest()?;
    let vm = guest.vm();
    // What is full waits for room; `None` is the end.
    let (wait, waiting) = mpsc::channel::<Option<mpsc::Sender<()>>>();
    let harvester = thread::spawn(move || -> Result<(BTreeSet<u64>, usize)> {
        let (mut ring, mut found, mut harvests) = (ring, BTreeSet::new(), 0);
        loop {
            let request = waiting.try_recv();
            let pages = harvest(&mut ring);
            if !pages.is_empty() {
                harvests += 1;
                found.extend(pages);
                kvm_ring::reset(&vm)?;
            }
            match request {
                Ok(Some(reply)) => reply.send(()).context("waking the vCPU")?,
                Ok(None) => return Ok((found, harvests)),
                Err(mpsc::TryRecvError::Empty) => thread::yield_now(),
                Err(mpsc::TryRecvError::Disconnected) => return Err(anyhow!("the vCPU died")),
            }
        }
    });
    let mut written = BTreeSet::new();
    for round in 0..20 {
        written.extend(guest.prepare(100 + round, 1000)?);
        while guest.run()? == Stopped::Full {
            let (reply, room) = mpsc::channel();
            wait.send(Some(reply)).context("asking for room")?;
            room.recv().context("waiting for room")?;
        }
    }
    wait.send(None).context("ending the harvest")?;
    let (found, harvests) = harvester
        .join()
        .map_err(|_| anyhow!("the harvester died"))??;
    note!("{} pages in {harvests} harvests", found.len());
    expect_eq!(found, written, "pages");
    expect!(harvests > 1, "harvested {harvests} times");
    Ok(())
}

/// Rings that KVM does not give.
pub fn sizes() -> Result<()> {
    for entries in [0, 1, ENTRIES - 1, ENTRIES + 1, 1 << 20] {
        expect!(
            kvm_ring::enable(&vm()?, entries).is_err(),
            "a ring of {entries} entries"
        );
    }
    let vm = vm()?;
    kvm_ring::enable(&vm, ENTRIES)?;
    expect!(
        kvm_ring::enable(&vm, ENTRIES).is_err(),
        "rings enabled twice"
    );
    expect_eq!(kvm_ring::reset(&vm)?, 0, "entries of no ring");
    Ok(())
}
