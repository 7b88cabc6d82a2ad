// SPDX-License-Identifier: GPL-2.0
//! What must not happen beside a device access: it waits until the access ends.
//!
//! That something does not happen can only be looked for, for a while. A bench
//! that waits passes however slow the machine is; one that does not is caught
//! unless its thread is kept from running for all that time.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use vfio_bench::function::Port;
use vfio_bench::iommu::Unit;
use vfio_bench::iommu::registers::FEATURES;
use vfio_bench::memory::{GuestRam, PhysicalMemory};
use vfio_bench::pci::port::FunctionPort;
use vm_memory::{Bytes, GuestAddress};

use crate::guest::{ENABLED, PF};
use crate::wire::{opcode, register};

const RAM: usize = 1 << 20;
const COMMAND_BUFFER: u64 = 0x1000;
const SEMAPHORE: u64 = 0x3000;
const WORD: u64 = 0x4000;

/// How long is looked for what must not happen.
const WHILE: Duration = Duration::from_millis(100);

struct Rig {
    ram: Arc<GuestRam>,
    unit: Arc<Unit>,
    port: Arc<FunctionPort>,
}

impl Rig {
    /// A function that is bus master, behind an IOMMU that is off.
    fn new() -> Self {
        let memory = PhysicalMemory::from_ranges(&[(GuestAddress(0), RAM)]).expect("memory");
        let ram = Arc::new(GuestRam::from_memory(memory));
        let unit = Arc::new(Unit::new(ram.clone(), FEATURES, Box::new(|| {})));
        let port = Arc::new(FunctionPort::new(PF, ram.clone(), unit.clone()));
        port.set_bus_master(true);
        Self { ram, unit, port }
    }

    /// Starts `action` while an access is under way, and asserts that it is over
    /// only after the access.
    fn assert_waits(&self, action: impl FnOnce() + Send + 'static) {
        let (done, finished) = mpsc::channel();
        let mut action = Some(action);
        let mut thread = None;
        self.port.with_dma(&mut |memory| {
            let (action, done) = (action.take().expect("one access"), done.clone());
            thread = Some(thread::spawn(move || {
                action();
                // The test that listens may have failed.
                let _ = done.send(());
            }));
            let early = finished.recv_timeout(WHILE);
            assert_eq!(early, Err(RecvTimeoutError::Timeout), "during an access");
            memory
                .write_obj(1_u32, GuestAddress(WORD))
                .expect("what was allowed goes on");
        });
        finished.recv().expect("it ends after the access");
        thread.expect("a thread").join().expect("a sound thread");
        let word: u32 = self.ram.read().read_obj(GuestAddress(WORD)).expect("RAM");
        assert_eq!(word, 1);
    }
}

#[test]
fn clearing_bus_master_waits_for_accesses() {
    let rig = Rig::new();
    let port = rig.port.clone();
    rig.assert_waits(move || port.set_bus_master(false));
    rig.port.with_dma(&mut |memory| {
        memory
            .write_obj(2_u32, GuestAddress(WORD))
            .expect_err("no bus master");
    });
}

#[test]
fn commands_wait_for_accesses() {
    let rig = Rig::new();
    let write = |offset: u64, value: u64| rig.unit.write(offset, &value.to_le_bytes());
    write(register::COMMAND_BUFFER, COMMAND_BUFFER | (8 << 56));
    // A device table of zeroes: V = 0, so that everything passes.
    write(register::DEVICE_TABLE, 0x1_0000 | 0x1f);
    write(register::CONTROL, ENABLED);
    let command = [opcode::COMPLETION_WAIT | SEMAPHORE | 1, 7];
    let memory = rig.ram.read().clone();
    for (at, word) in [COMMAND_BUFFER, COMMAND_BUFFER + 8]
        .into_iter()
        .zip(command)
    {
        memory.write_obj(word, GuestAddress(at)).expect("RAM");
    }
    let unit = rig.unit.clone();
    rig.assert_waits(move || unit.write(register::COMMAND_TAIL, &16_u64.to_le_bytes()));
    let semaphore: u64 = memory.read_obj(GuestAddress(SEMAPHORE)).expect("RAM");
    assert_eq!(semaphore, 7);
}

#[test]
fn unmapping_waits_for_accesses() {
    let rig = Rig::new();
    let ram = rig.ram.clone();
    // Nothing lies wholly inside the range: the RAM stays.
    rig.assert_waits(move || assert_eq!(ram.unmap(0, 0x1000), 0));
}
