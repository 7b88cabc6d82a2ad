// SPDX-License-Identifier: GPL-2.0
//! Drives the page writer of the device under test.
//!
//! The point of the exercise is to see, after a migration, the pages as they were
//! transferred. So the writer must not touch them once it runs on the target: it
//! has to notice that its device is another one, whose registers are as after a
//! reset. They are not part of what is migrated. Every step therefore checks that
//! the address and the sequence in the device are the ones it put there:
//!
//! 1. the address of the next page is written;
//! 2. the sequence executed last must still be ours: else the device changed
//!    before 2;
//! 3. the new sequence is written, which makes the device write the page;
//! 4. it must appear as executed, and the address must still be ours: else the
//!    device changed between 2 and 4, and what the new device wrote, if anything,
//!    went to address 0, which Linux leaves unused.

use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};

use super::device::Device;
use super::page_set::{Expected, PageSet};
use crate::pattern::PAGE_SIZE;

const ADDRESS: usize = 0x0;
const SEQUENCE: usize = 0x8;
const EXECUTED: usize = 0xc;

/// How long a device may leave a write undone, for example while it is stopped.
const PATIENCE: Duration = Duration::from_secs(20);

/// Access to the registers of a page writer.
pub trait Registers {
    fn address(&self) -> u64;
    fn set_address(&mut self, address: u64);
    fn set_sequence(&mut self, sequence: u32);
    fn executed(&self) -> u32;
}

/// The registers of a real device.
pub struct Mapped {
    base: NonNull<u8>,
}

// SAFETY: the mapping belongs to this value, and device registers can be accessed
// from any thread.
unsafe impl Send for Mapped {}

impl Mapped {
    /// Maps the registers, for the rest of the process's life.
    pub fn new(device: &Device) -> Result<Self> {
        let (file, offset) = device.page_writer()?;
        ensure!(
            offset as usize % PAGE_SIZE == 0,
            "the page writer is not at a page boundary"
        );
        let length = NonZeroUsize::new(PAGE_SIZE).context("page size")?;
        // SAFETY: a new shared mapping of a BAR at an address of the kernel's
        // choice; no Rust object lives there.
        let base = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                &file,
                i64::from(offset),
            )
        }
        .context("mapping the page writer")?;
        Ok(Self { base: base.cast() })
    }
}

impl Registers for Mapped {
    fn address(&self) -> u64 {
        // SAFETY: the register is inside the mapped page and naturally aligned.
        unsafe { self.base.add(ADDRESS).cast::<u64>().read_volatile() }
    }

    fn set_address(&mut self, address: u64) {
        // SAFETY: as above. What the device does with it concerns only `PageSet`.
        unsafe { self.base.add(ADDRESS).cast::<u64>().write_volatile(address) }
    }

    fn set_sequence(&mut self, sequence: u32) {
        // SAFETY: as above. The device now writes to the address set before: a
        // page of a `PageSet`, which is read with volatile accesses only.
        unsafe {
            self.base
                .add(SEQUENCE)
                .cast::<u32>()
                .write_volatile(sequence)
        }
    }

    fn executed(&self) -> u32 {
        // SAFETY: as above.
        unsafe { self.base.add(EXECUTED).cast::<u32>().read_volatile() }
    }
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The device confirmed the write.
    Written,
    /// The device is another one than at the step before.
    Moved,
}

/// A page writer at work on a set of pages.
pub struct Writer<R> {
    registers: R,
    pages: PageSet,
    /// Sequence executed last, by this device and for us.
    last: u32,
    /// Sequences are never used twice, not even on another device.
    next: u32,
    writes: u64,
}

impl<R: Registers> Writer<R> {
    pub fn new(registers: R, pages: PageSet) -> Self {
        Self {
            last: registers.executed(),
            registers,
            pages,
            next: 1,
            writes: 0,
        }
    }

    pub fn pages(&self) -> &PageSet {
        &self.pages
    }

    /// Confirmed page writes.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// Counts confirmed page writes from here.
    pub fn count_anew(&mut self) {
        self.writes = 0;
    }

    /// Takes the present device, whatever it is, for ours.
    pub fn adopt(&mut self) {
        self.last = self.registers.executed();
    }

    /// Has the device write the next page in turn.
    pub fn step(&mut self) -> Result<Step> {
        let sequence = self.next;
        let index = sequence as usize % self.pages.len();
        let address = self.pages.address(index);
        self.registers.set_address(address);
        if self.registers.executed() != self.last {
            return Ok(Step::Moved);
        }
        self.next += 1;
        let confirmed = Expected::Sequence(sequence);
        let unconfirmed = self.pages.expected(index).unconfirmed(sequence);
        *self.pages.expected(index) = unconfirmed;
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.registers.set_sequence(sequence);
            let executed = self.registers.executed();
            if self.registers.address() != address {
                return Ok(Step::Moved);
            }
            if executed == sequence {
                break;
            }
            ensure!(
                Instant::now() < deadline,
                "the device leaves page write {sequence} undone: executed {executed:#x}"
            );
            sleep(Duration::from_millis(1));
        }
        *self.pages.expected(index) = confirmed;
        self.last = sequence;
        self.writes += 1;
        Ok(Step::Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    /// A device that is replaced by a fresh one after a number of accesses.
    #[derive(Default)]
    struct Model {
        address: u64,
        executed: u32,
        accesses_left: Cell<Option<u32>>,
        /// Addresses written to since the replacement.
        written_since: Vec<u64>,
        replaced: Cell<bool>,
    }

    impl Model {
        /// One access; true if it is the first one that meets the new device.
        fn access(&self) -> bool {
            match self.accesses_left.get() {
                Some(0) => {
                    self.accesses_left.set(None);
                    self.replaced.set(true);
                    true
                }
                Some(left) => {
                    self.accesses_left.set(Some(left - 1));
                    false
                }
                None => false,
            }
        }
    }

    impl Registers for Shared {
        fn address(&self) -> u64 {
            self.borrow_mut().settle().address
        }
        fn set_address(&mut self, address: u64) {
            self.borrow_mut().settle().address = address;
        }
        fn set_sequence(&mut self, sequence: u32) {
            let mut model = self.borrow_mut();
            let model = model.settle();
            model.executed = sequence;
            if model.replaced.get() {
                let address = model.address;
                model.written_since.push(address);
            }
        }
        fn executed(&self) -> u32 {
            self.borrow_mut().settle().executed
        }
    }

    impl Model {
        /// Replaces the device if it is time to.
        fn settle(&mut self) -> &mut Self {
            if self.access() {
                self.address = 0;
                self.executed = 0;
            }
            self
        }
    }

    type Shared = Rc<RefCell<Model>>;

    fn writer() -> (Writer<Shared>, Shared) {
        let pages = PageSet::anywhere(4);
        let model = Rc::new(RefCell::new(Model::default()));
        (Writer::new(model.clone(), pages), model)
    }

    #[test]
    fn every_step_confirms_a_page() {
        let (mut writer, _) = writer();
        for _ in 0..5 {
            assert_eq!(writer.step().unwrap(), Step::Written);
        }
        assert_eq!(writer.writes(), 5);
        assert_eq!(*writer.pages.expected(1), Expected::Sequence(5));
        assert_eq!(*writer.pages.expected(2), Expected::Sequence(2));
    }

    #[test]
    fn a_new_device_is_noticed_wherever_it_comes_in() {
        for after in 0..20 {
            let (mut writer, model) = writer();
            assert_eq!(writer.step().unwrap(), Step::Written);
            model.borrow().accesses_left.set(Some(after));
            let moved = (0..10).any(|_| writer.step().unwrap() == Step::Moved);
            assert!(moved, "unnoticed after {after} accesses");
            let healed: Vec<u64> = model.borrow().written_since.clone();
            assert!(
                healed.iter().all(|&address| address == 0),
                "the new device wrote a page after {after} accesses"
            );
        }
    }
}
