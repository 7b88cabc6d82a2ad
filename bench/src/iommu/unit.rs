// SPDX-License-Identifier: GPL-2.0
//! The IOMMU proper: registers in action, commands, events, translation.
//!
//! # Locking
//!
//! Guest memory first ([`GuestRam`]), the unit's own state second. Translation
//! runs with memory held for reading by whoever accesses it. Commands run with
//! memory quiesced: once a COMPLETION_WAIT has answered, no access is under way
//! any more that was translated by what an earlier command told to forget.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use vfio_bench_protocol::IommuState;
use vm_memory::iommu::Error;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, Iotlb, Permissions};

use super::cache::Cache;
use super::command::{Command, Prefetch};
use super::device_table::{self, DeviceTableEntry, Translation};
use super::event::{Event, PageFault};
use super::page_table::{self, Access, Fault, Page};
use super::registers::{self, ENTRY_SIZE, Registers, control, offset, status};
use crate::memory::{GuestRam, PhysicalMemory};

/// Addresses of message signalled interrupts: never memory.
const INTERRUPT_ADDRESSES: std::ops::RangeInclusive<u64> = 0xfee0_0000..=0xfeef_ffff;

/// Raises the unit's interrupt.
pub type RaiseInterrupt = Box<dyn Fn() + Send + Sync>;

/// Why an access was refused. Events, if any, have been logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no legal device table entry for the requester.
    #[error("the device table entry is illegal")]
    DeviceTable,
    /// TV is clear.
    #[error("the device is blocked")]
    Blocked,
    /// An entry on the way is not present.
    #[error("the page is not present")]
    NotPresent,
    /// IR or IW is missing on some level.
    #[error("the page does not permit the access")]
    Permission,
    /// A page table has reserved bits or cannot be read.
    #[error("a page table entry is illegal")]
    PageTable,
    /// Not memory, whatever the page tables say.
    #[error("the address belongs to interrupts")]
    InterruptAddress,
    /// The translation leads nowhere.
    #[error("the address is outside guest memory")]
    Outside,
}

/// One AMD-Vi IOMMU.
pub struct Unit {
    ram: Arc<GuestRam>,
    interrupt: RaiseInterrupt,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    registers: Registers,
    cache: Cache,
    counters: Counters,
    /// Negative control for dirty tracking: off means D bits are never set.
    dirty_bits: bool,
    /// An interrupt is due when the lock is released.
    interrupt: bool,
}

#[derive(Debug, Default)]
struct Counters {
    faults: u64,
    walks: u64,
    iotlb_hits: u64,
    dirty_bits_set: u64,
    /// Accesses that were permitted but had no memory behind them.
    outside: u64,
    commands: BTreeMap<&'static str, u64>,
}

impl std::fmt::Debug for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unit")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Unit {
    /// A unit in its power-on state that offers `features`, see
    /// [`super::registers::FEATURES`].
    pub fn new(ram: Arc<GuestRam>, features: u64, interrupt: RaiseInterrupt) -> Self {
        let state = State {
            registers: Registers::new(features),
            cache: Cache::default(),
            counters: Counters::default(),
            dirty_bits: true,
            interrupt: false,
        };
        Self {
            ram,
            interrupt,
            state: Mutex::new(state),
        }
    }

    /// Returns to the power-on state. Counters and the dirty bit switch belong
    /// to the bench, not to the unit, and stay.
    pub fn reset(&self) {
        let mut state = self.lock();
        state.registers = Registers::new(state.registers.features);
        state.cache.forget_all();
    }

    /// Switches setting of D bits off and on.
    pub fn set_dirty_bits(&self, enabled: bool) {
        self.lock().dirty_bits = enabled;
    }

    /// What the control protocol shows of the unit.
    pub fn state(&self) -> IommuState {
        let state = self.lock();
        let counters = &state.counters;
        let commands = counters.commands.iter();
        IommuState {
            enabled: state.registers.enabled(),
            faults: counters.faults,
            walks: counters.walks,
            iotlb_hits: counters.iotlb_hits,
            dirty_bits_set: counters.dirty_bits_set,
            dirty_bits: state.dirty_bits,
            outside: counters.outside,
            commands: commands
                .map(|(&name, &count)| (name.into(), count))
                .collect(),
        }
    }

    /// A read of MMIO space.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        let state = self.lock();
        for (position, byte) in data.iter_mut().enumerate() {
            // Nothing is behind the last address.
            let at = offset.checked_add(position as u64);
            *byte = at.map_or(0, |at| {
                (state.registers.read(at & !7) >> ((at & 7) * 8)) as u8
            });
        }
    }

    /// A write to MMIO space. Bytes of one register take effect together.
    pub fn write(&self, offset: u64, data: &[u8]) {
        // Whatever starts commands must not overlap with device accesses.
        let memory = self.ram.quiesce();
        let mut state = self.lock();
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() && at < registers::SIZE {
            let skip = (at & 7) as usize;
            let (now, later) = rest.split_at(rest.len().min(8 - skip));
            let (mut value, mut mask) = ([0; 8], [0; 8]);
            value[skip..skip + now.len()].copy_from_slice(now);
            mask[skip..skip + now.len()].fill(0xff);
            let register = at & !7;
            state.registers.write(
                register,
                u64::from_le_bytes(value),
                u64::from_le_bytes(mask),
            );
            if matches!(register, offset::CONTROL | offset::COMMAND_TAIL) {
                state.run_commands(&memory);
            }
            at += now.len() as u64;
            rest = later;
        }
        drop(memory);
        self.release(state);
    }

    /// Translates an access of `requester` and enters the pages it touches into
    /// `mappings`.
    pub fn translate(
        &self,
        memory: &PhysicalMemory,
        requester: u16,
        (iova, length): (u64, usize),
        access: Permissions,
        mappings: &mut Iotlb,
    ) -> Result<(), Refusal> {
        let mut state = self.lock();
        let result = state.translate(memory, requester, (iova, length), access, mappings);
        self.release(state);
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Releases the lock and then raises the interrupt that became due under it.
    fn release(&self, mut state: MutexGuard<'_, State>) {
        let interrupt = std::mem::take(&mut state.interrupt);
        drop(state);
        if interrupt {
            (self.interrupt)();
        }
    }
}

impl State {
    /// Runs the commands up to the tail. Pointers beyond the ring count from its
    /// beginning, as hardware decodes no more of them than the ring is long.
    fn run_commands(&mut self, memory: &PhysicalMemory) {
        while self.registers.commands_run() {
            let Some((base, size)) = self.registers.command_ring() else {
                return;
            };
            let head = self.registers.command_head % size;
            if head == self.registers.command_tail % size {
                return;
            }
            if let Err(event) = self.run_command(memory, base + head) {
                // The head stays at the command in question.
                self.registers.command_halted = true;
                self.log(memory, event);
                return;
            }
            self.registers.command_head = (head + ENTRY_SIZE) % size;
        }
    }

    fn run_command(&mut self, memory: &PhysicalMemory, address: u64) -> Result<(), Event> {
        let [low, high] =
            read_words::<2>(memory, address).ok_or(Event::CommandHardwareError { address })?;
        let command = Command::decode(low, high).map_err(|_| Event::IllegalCommand { address })?;
        *self.counters.commands.entry(command.name()).or_default() += 1;
        match command {
            Command::CompletionWait { store, interrupt } => {
                if let Some((target, data)) = store {
                    memory
                        .write_slice(&data.to_le_bytes(), GuestAddress(target))
                        .map_err(|_| Event::CommandHardwareError { address })?;
                }
                if interrupt {
                    self.signal(
                        status::COMPLETION_WAIT_INTERRUPT,
                        control::COMPLETION_WAIT_INTERRUPT_ENABLE,
                    );
                }
            }
            Command::InvalidateDeviceTableEntry { requester } => {
                self.cache.forget_device(requester);
            }
            Command::InvalidateIommuPages { domain, range } => {
                self.cache.forget_pages(domain, range);
            }
            Command::PrefetchIommuPages(prefetch) => self.prefetch(memory, prefetch),
            Command::InvalidateIommuAll => self.cache.forget_all(),
            Command::InvalidateIotlbPages | Command::InvalidateInterruptTable => {}
        }
        Ok(())
    }

    /// A hint: what cannot be found is left for the access to complain about.
    fn prefetch(&mut self, memory: &PhysicalMemory, prefetch: Prefetch) {
        if let Some(range) = prefetch.invalidate {
            self.cache.forget_pages(prefetch.domain, range);
        }
        let Ok(entry) = self.fetch_device(memory, prefetch.requester) else {
            return;
        };
        let Translation::Paged { root, levels } = entry.translation else {
            return;
        };
        let mut iova = prefetch.address;
        for _ in 0..prefetch.count {
            if let Ok(page) =
                page_table::walk(memory, &entry, (root, levels), iova, Access::Prefetch)
            {
                self.cache.insert_page(prefetch.domain, page);
            }
            let Some(next) = iova.checked_add(0x1000) else {
                return;
            };
            iova = next;
        }
    }

    fn translate(
        &mut self,
        memory: &PhysicalMemory,
        requester: u16,
        (iova, length): (u64, usize),
        access: Permissions,
        mappings: &mut Iotlb,
    ) -> Result<(), Refusal> {
        // The caller has checked that this does not overflow.
        let end = iova + length as u64;
        let mut at = iova;
        while at < end {
            let (target, run) = self.translate_page(memory, requester, at, access)?;
            let run = run.min(end - at);
            if !memory.check_range(GuestAddress(target), run as usize) {
                self.counters.outside += 1;
                return Err(Refusal::Outside);
            }
            // Lengths are at most `length`, and the range does not overflow.
            let mapped: Result<(), Error> =
                mappings.set_mapping(GuestAddress(at), GuestAddress(target), run as usize, access);
            mapped.map_err(|_| Refusal::Outside)?;
            at += run;
        }
        Ok(())
    }

    /// Where `iova` is, and how far memory goes on from there.
    fn translate_page(
        &mut self,
        memory: &PhysicalMemory,
        requester: u16,
        iova: u64,
        access: Permissions,
    ) -> Result<(u64, u64), Refusal> {
        let write = access.has_write();
        if !self.registers.enabled() {
            return Ok((iova, u64::MAX - iova));
        }
        if INTERRUPT_ADDRESSES.contains(&iova) {
            self.counters.outside += 1;
            return Err(Refusal::InterruptAddress);
        }
        let entry = match self.fetch_device(memory, requester) {
            Ok(entry) => entry,
            Err(fault) => {
                let event = match fault {
                    DeviceFault::Unreachable(address) => {
                        Event::DeviceTableHardwareError { requester, address }
                    }
                    DeviceFault::Illegal | DeviceFault::Outside => Event::IllegalDeviceTableEntry {
                        requester,
                        address: iova,
                        write,
                        reserved: fault == DeviceFault::Illegal,
                    },
                };
                self.counters.faults += 1;
                self.log(memory, event);
                return Err(Refusal::DeviceTable);
            }
        };
        match entry.translation {
            Translation::Off => Ok((iova, u64::MAX - iova)),
            Translation::Blocked => {
                self.page_fault(
                    memory,
                    requester,
                    entry.domain,
                    iova,
                    PageFault {
                        write,
                        ..PageFault::default()
                    },
                );
                Err(Refusal::Blocked)
            }
            Translation::Direct => {
                if (reads(access) && !entry.read) || (write && !entry.write) {
                    self.refuse(
                        memory,
                        requester,
                        entry.domain,
                        iova,
                        write,
                        Fault::Permission,
                    )
                } else {
                    Ok((iova, u64::MAX - iova))
                }
            }
            Translation::Paged { root, levels } => {
                let page = self
                    .find_page(memory, &entry, (root, levels), iova, access)
                    .or_else(|fault| {
                        self.refuse(memory, requester, entry.domain, iova, write, fault)
                    })?;
                let offset = iova - page.iova;
                Ok((page.target + offset, page.size - offset))
            }
        }
    }

    /// The page of an access, from the IOTLB or by a walk.
    fn find_page(
        &mut self,
        memory: &PhysicalMemory,
        entry: &DeviceTableEntry,
        table: (u64, u8),
        iova: u64,
        access: Permissions,
    ) -> Result<Page, Fault> {
        let write = access.has_write();
        let entry = DeviceTableEntry {
            dirty_bits: entry.dirty_bits && self.dirty_bits,
            ..*entry
        };
        if let Some(page) = self.cache.page(entry.domain, iova) {
            let (read, writable) = (page.read && entry.read, page.write && entry.write);
            if (reads(access) && !read) || (write && !writable) {
                return Err(Fault::Permission);
            }
            // The first write to a page goes back to memory to set the D bit.
            if !write || !entry.dirty_bits || page.dirty {
                self.counters.iotlb_hits += 1;
                return Ok(page);
            }
        }
        self.counters.walks += 1;
        let kind = if write { Access::Write } else { Access::Read };
        let page = page_table::walk(memory, &entry, table, iova, kind)?;
        if write && reads(access) && !(page.read && entry.read) {
            return Err(Fault::Permission);
        }
        self.counters.dirty_bits_set += u64::from(page.made_dirty);
        self.cache.insert_page(entry.domain, page);
        Ok(page)
    }

    /// Reports a fault that an access met, and refuses it.
    fn refuse<T>(
        &mut self,
        memory: &PhysicalMemory,
        requester: u16,
        domain: u16,
        address: u64,
        write: bool,
        fault: Fault,
    ) -> Result<T, Refusal> {
        let flags = PageFault {
            write,
            ..PageFault::default()
        };
        let (flags, refusal) = match fault {
            Fault::NotPresent => (flags, Refusal::NotPresent),
            Fault::Permission => (
                PageFault {
                    present: true,
                    permission: true,
                    ..flags
                },
                Refusal::Permission,
            ),
            Fault::Reserved => (
                PageFault {
                    present: true,
                    reserved: true,
                    ..flags
                },
                Refusal::PageTable,
            ),
            Fault::Unreachable(address) => {
                self.counters.faults += 1;
                self.log(
                    memory,
                    Event::PageTableHardwareError {
                        requester,
                        domain,
                        address,
                    },
                );
                return Err(Refusal::PageTable);
            }
        };
        self.page_fault(memory, requester, domain, address, flags);
        Err(refusal)
    }

    fn page_fault(
        &mut self,
        memory: &PhysicalMemory,
        requester: u16,
        domain: u16,
        address: u64,
        flags: PageFault,
    ) {
        self.counters.faults += 1;
        if let Some(device) = self.cache.device(requester) {
            let repeated = std::mem::replace(&mut device.fault_logged, true);
            if device.entry.suppress_all || (device.entry.suppress_repeated && repeated) {
                return;
            }
        }
        self.log(
            memory,
            Event::IoPageFault {
                requester,
                domain,
                address,
                flags,
            },
        );
    }

    /// The device table entry of `requester`, remembered or fetched.
    fn fetch_device(
        &mut self,
        memory: &PhysicalMemory,
        requester: u16,
    ) -> Result<DeviceTableEntry, DeviceFault> {
        if let Some(device) = self.cache.device(requester) {
            return Ok(device.entry);
        }
        let table = self.registers.device_table();
        let address = table.start + u64::from(requester) * device_table::ENTRY_SIZE;
        if address >= table.end {
            return Err(DeviceFault::Outside);
        }
        let words = read_words::<4>(memory, address).ok_or(DeviceFault::Unreachable(address))?;
        let entry = DeviceTableEntry::decode(words, self.registers.features)
            .map_err(|_| DeviceFault::Illegal)?;
        self.cache.insert_device(requester, entry);
        Ok(entry)
    }

    /// Appends `event` to the log, if there is one that runs and has room.
    fn log(&mut self, memory: &PhysicalMemory, event: Event) {
        tracing::debug!(?event, "iommu event");
        if !self.registers.events_run() {
            return;
        }
        let Some((base, size)) = self.registers.event_ring() else {
            return;
        };
        let tail = self.registers.event_tail % size;
        let next = (tail + ENTRY_SIZE) % size;
        if next == self.registers.event_head % size {
            self.registers.event_halted = true;
            self.signal(status::EVENT_OVERFLOW, control::EVENT_INTERRUPT_ENABLE);
            return;
        }
        let [low, high] = event.encode();
        let address = GuestAddress(base + tail);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&low.to_le_bytes());
        bytes[8..].copy_from_slice(&high.to_le_bytes());
        if let Err(error) = memory.write_slice(&bytes, address) {
            tracing::warn!(%error, "the event log is not in guest memory");
            return;
        }
        self.registers.event_tail = next;
        self.signal(status::EVENT_INTERRUPT, control::EVENT_INTERRUPT_ENABLE);
    }

    /// Sets a status bit. An interrupt follows only where the bit was clear:
    /// until the driver has cleared it, there are no more.
    fn signal(&mut self, bit: u64, enable: u64) {
        if self.registers.status & bit == 0 && self.registers.control & enable != 0 {
            self.interrupt = true;
        }
        self.registers.status |= bit;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeviceFault {
    /// The requester has no entry in the table.
    Outside,
    Illegal,
    Unreachable(u64),
}

fn read_words<const N: usize>(memory: &PhysicalMemory, address: u64) -> Option<[u64; N]> {
    let mut words = [0; N];
    for (index, word) in words.iter_mut().enumerate() {
        let mut bytes = [0; 8];
        memory
            .read_slice(&mut bytes, GuestAddress(address + index as u64 * 8))
            .ok()?;
        *word = u64::from_le_bytes(bytes);
    }
    Some(words)
}

fn reads(access: Permissions) -> bool {
    access.allow(Permissions::Read)
}
