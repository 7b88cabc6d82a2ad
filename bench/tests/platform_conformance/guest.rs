// SPDX-License-Identifier: GPL-2.0
//! A guest without a QEMU: memory, page tables, and a vfio-user client for each
//! function. Requests are answered in order, so that whatever a write started
//! is done when the next one is answered, as far as the bench is synchronous.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};

use serde_json::Value;
use vfio_bench::assembly::{Assembly, Ending};
use vfio_bench::control::Control;
use vfio_bench::iommu::registers::FEATURES;
use vfio_bench::testing::Scratch;
use vfio_bench::testing::scratch::register as scratch;
use vfio_user::Client;
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{
    Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestRegionMmap,
    VolatileMemory,
};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::wire::{control, dte, irq, opcode, pci, pte, region, register, sriov};
use tempfile::TempDir;

/// Size of the guest's memory, at address 0.
pub const RAM: u64 = 16 << 20;

/// Fixed places in it.
pub const COMMAND_BUFFER: u64 = 0x10_0000;
pub const EVENT_LOG: u64 = 0x11_0000;
pub const SEMAPHORE: u64 = 0x12_0000;
pub const DEVICE_TABLE: u64 = 0x20_0000;
const TABLES: u64 = 0x40_0000;
/// Pages for DMA begin here.
pub const DATA: u64 = 0x80_0000;

/// Entries of command buffer and event log: length field 8.
pub const RING_ENTRIES: u64 = 256;

/// Routing ids.
pub const PF: u16 = 0x0100;
pub const VF1: u16 = 0x0101;
pub const VF2: u16 = 0x0102;

pub const ENABLED: u64 = control::IOMMU_EN | control::EVENT_LOG_EN | control::CMD_BUF_EN;

pub struct Guest {
    pub dir: TempDir,
    pub endings: Receiver<Ending>,
    pub control: Control,
    pub functions: Vec<Client>,
    pub iommu: Client,
    pub memory: GuestMemoryMmap,
    pub file: File,
    next_table: u64,
}

impl Guest {
    /// A guest whose bench has `vfs` VFs, none of them enabled. The PF is a bus
    /// master; the IOMMU is off.
    pub fn new(vfs: u16) -> Self {
        Self::with_vf_bar(vfs, 0)
    }

    /// The same; the VFs have their registers in BAR `bar`.
    pub fn with_vf_bar(vfs: u16, bar: u8) -> Self {
        Self::with_features(vfs, bar, FEATURES)
    }

    /// The same; the IOMMU has these features only.
    fn with_features(vfs: u16, bar: u8, features: u64) -> Self {
        let dir = TempDir::new().expect("a fresh directory");
        let (sender, endings) = mpsc::channel();
        let devices = |ports| Ok(Scratch::new(ports, bar));
        let assembly = Assembly::new(vfs, 1, features, devices, sender.clone()).expect("assembly");
        assembly.listen(dir.path()).expect("sockets");
        let control = Control::new(&assembly, sender);
        let connect =
            |name: &str| Client::new(&dir.path().join(format!("{name}.sock"))).expect("connection");
        let mut functions = vec![connect("pf")];
        functions.extend((1..=vfs).map(|number| connect(&format!("vf{number}"))));
        let iommu = connect("iommu");

        let path = dir.path().join("ram");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .expect("memory file");
        file.set_len(RAM).expect("memory file");
        let mapping = MmapRegionBuilder::new(RAM as usize)
            .with_file_offset(FileOffset::new(file.try_clone().expect("memory file"), 0))
            .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
            .with_mmap_flags(libc::MAP_SHARED)
            .build()
            .expect("mapping");
        let region = GuestRegionMmap::new(mapping, GuestAddress(0)).expect("region");
        let memory = GuestMemoryMmap::from_regions(vec![region]).expect("memory");

        let mut guest = Self {
            dir,
            endings,
            control,
            functions,
            iommu,
            memory,
            file,
            next_table: TABLES,
        };
        for function in &mut guest.functions {
            function
                .dma_map(0, 0, RAM, guest.file.as_raw_fd())
                .expect("DMA_MAP");
        }
        guest.set_command(0, pci::MEMORY | pci::BUS_MASTER);
        guest
    }

    /// With the IOMMU on: device table for all ids, rings of 256 entries. What
    /// the device table says of every device is V = 0.
    pub fn with_iommu(vfs: u16) -> Self {
        Self::with_iommu_features(vfs, FEATURES)
    }

    /// The same, with an IOMMU that has these features only.
    pub fn with_iommu_features(vfs: u16, features: u64) -> Self {
        let mut guest = Self::with_features(vfs, 0, features);
        guest.set_register(register::DEVICE_TABLE, DEVICE_TABLE | 0x1ff);
        guest.set_register(register::COMMAND_BUFFER, COMMAND_BUFFER | (8 << 56));
        guest.set_register(register::EVENT_LOG, EVENT_LOG | (8 << 56));
        guest.set_register(register::CONTROL, ENABLED);
        guest
    }

    /// Machine reset, then `count` VFs, all of them bus masters.
    pub fn enable_vfs(&mut self, count: u16) {
        self.reset_machine();
        self.set_command(0, pci::MEMORY | pci::BUS_MASTER);
        let at = self.sriov();
        self.write_config(0, at + sriov::NUM_VFS, &count.to_le_bytes());
        let enable = sriov::VF_ENABLE | sriov::VF_MSE;
        self.write_config(0, at + sriov::CONTROL, &enable.to_le_bytes());
        for number in 1..=usize::from(count) {
            self.set_command(number, pci::MEMORY | pci::BUS_MASTER);
        }
    }

    /// DEVICE_RESET of every function but the IOMMU.
    pub fn reset_machine(&mut self) {
        for function in &mut self.functions {
            function.reset().expect("DEVICE_RESET");
        }
    }

    // Memory

    pub fn read64(&self, address: u64) -> u64 {
        self.memory
            .read_obj(GuestAddress(address))
            .expect("guest memory")
    }

    pub fn write64(&self, address: u64, value: u64) {
        self.memory
            .write_obj(value, GuestAddress(address))
            .expect("guest memory");
    }

    pub fn read32(&self, address: u64) -> u32 {
        self.memory
            .read_obj(GuestAddress(address))
            .expect("guest memory")
    }

    pub fn write32(&self, address: u64, value: u32) {
        self.memory
            .write_obj(value, GuestAddress(address))
            .expect("guest memory");
    }

    /// Flips `bits` of the quadword at `address` in one step.
    pub fn flip(memory: &GuestMemoryMmap, address: u64, bits: u64) {
        let slice = memory
            .get_slice(GuestAddress(address), 8)
            .expect("guest memory");
        let word: &AtomicU64 = slice.get_atomic_ref(0).expect("aligned");
        word.fetch_xor(bits, Ordering::SeqCst);
    }

    /// A fresh, zeroed page for a table.
    pub fn new_table(&mut self) -> u64 {
        let table = self.next_table;
        self.next_table += 0x1000;
        assert!(self.next_table <= DATA, "too many tables");
        table
    }

    /// Writes `leaf` where the table of `levels` levels at `root` has `iova` at
    /// `level`, making tables on the way. Returns the address of the entry.
    pub fn set_entry(&mut self, root: u64, levels: u64, iova: u64, level: u64, leaf: u64) -> u64 {
        let mut table = root;
        let mut at = levels;
        while at > level {
            let entry = entry_address(table, at, iova);
            if self.read64(entry) & pte::PR == 0 {
                let next = self.new_table();
                self.write64(entry, next | pte::RW | pte::next_level(at - 1));
            }
            table = self.read64(entry) & 0x000f_ffff_ffff_f000;
            at -= 1;
        }
        let entry = entry_address(table, level, iova);
        self.write64(entry, leaf);
        entry
    }

    /// Maps the 4 KiB page at `iova` to `target` for reading and writing.
    /// Returns the address of the entry.
    pub fn map(&mut self, root: u64, levels: u64, iova: u64, target: u64) -> u64 {
        self.set_entry(root, levels, iova, 1, target | pte::RW)
    }

    pub fn set_dte(&self, requester: u16, low: u64, high: u64) {
        let entry = DEVICE_TABLE + u64::from(requester) * 32;
        self.write64(entry + 8, high);
        self.write64(entry + 16, 0);
        self.write64(entry + 24, 0);
        self.write64(entry, low);
    }

    /// Puts `requester` into `domain` with a fresh table of four levels, with
    /// `bits` more in its entry, and returns the table.
    pub fn attach(&mut self, requester: u16, domain: u16, bits: u64) -> u64 {
        let root = self.new_table();
        let low = dte::V | dte::TV | dte::mode(4) | root | dte::IR | dte::IW | bits;
        self.set_dte(requester, low, u64::from(domain));
        root
    }

    // IOMMU

    pub fn register(&mut self, offset: u64) -> u64 {
        let mut data = [0; 8];
        self.iommu
            .region_read(region::BAR0, offset, &mut data)
            .expect("register");
        u64::from_le_bytes(data)
    }

    pub fn set_register(&mut self, offset: u64, value: u64) {
        self.iommu
            .region_write(region::BAR0, offset, &value.to_le_bytes())
            .expect("register");
    }

    /// Puts commands into the buffer and rings the doorbell once.
    pub fn submit(&mut self, commands: &[[u64; 2]]) {
        let mut tail = self.register(register::COMMAND_TAIL);
        for [low, high] in commands {
            self.write64(COMMAND_BUFFER + tail, *low);
            self.write64(COMMAND_BUFFER + tail + 8, *high);
            tail = (tail + 16) % (RING_ENTRIES * 16);
        }
        self.set_register(register::COMMAND_TAIL, tail);
    }

    /// Submits one command and a COMPLETION_WAIT, and asserts that they were
    /// executed.
    pub fn run(&mut self, command: [u64; 2]) {
        let token = self.read64(SEMAPHORE) + 1;
        self.submit(&[command, [opcode::COMPLETION_WAIT | SEMAPHORE | 1, token]]);
        assert_eq!(self.read64(SEMAPHORE), token, "command {command:x?}");
    }

    /// Takes the events that the log has.
    pub fn events(&mut self) -> Vec<Event> {
        let tail = self.register(register::EVENT_TAIL);
        let mut head = self.register(register::EVENT_HEAD);
        let mut events = Vec::new();
        while head != tail {
            let low = self.read64(EVENT_LOG + head);
            events.push(Event {
                code: low >> 60,
                flags: (low >> 48) & 0xfff,
                domain: (low >> 32) as u16,
                requester: low as u16,
                address: self.read64(EVENT_LOG + head + 8),
            });
            head = (head + 16) % (RING_ENTRIES * 16);
        }
        self.set_register(register::EVENT_HEAD, head);
        events
    }

    // Functions

    pub fn read_config<const N: usize>(&mut self, function: usize, offset: u64) -> [u8; N] {
        let mut data = [0; N];
        self.functions[function]
            .region_read(region::CONFIG, offset, &mut data)
            .expect("configuration space");
        data
    }

    pub fn write_config(&mut self, function: usize, offset: u64, data: &[u8]) {
        self.functions[function]
            .region_write(region::CONFIG, offset, data)
            .expect("configuration space");
    }

    pub fn config16(&mut self, function: usize, offset: u64) -> u16 {
        u16::from_le_bytes(self.read_config(function, offset))
    }

    pub fn config32(&mut self, function: usize, offset: u64) -> u32 {
        u32::from_le_bytes(self.read_config(function, offset))
    }

    pub fn set_command(&mut self, function: usize, command: u16) {
        self.write_config(function, pci::COMMAND, &command.to_le_bytes());
    }

    /// The capabilities of a function: id and offset.
    pub fn capabilities(&mut self, function: usize) -> Vec<(u8, u64)> {
        let mut found = Vec::new();
        let [mut next] = self.read_config::<1>(function, pci::CAPABILITIES);
        while next != 0 {
            assert!(found.len() < 48, "the chain does not end");
            let [id, following] = self.read_config::<2>(function, u64::from(next));
            found.push((id, u64::from(next)));
            next = following;
        }
        found
    }

    pub fn capability(&mut self, function: usize, id: u8) -> u64 {
        let all = self.capabilities(function);
        all.into_iter()
            .find(|(found, _)| *found == id)
            .expect("capability")
            .1
    }

    /// The extended capabilities of a function: id and offset.
    pub fn extended(&mut self, function: usize) -> Vec<(u16, u64)> {
        let mut found = Vec::new();
        let mut next = 0x100;
        while next != 0 {
            assert!(found.len() < 48, "the chain does not end");
            let header = self.config32(function, next);
            found.push((header as u16, next));
            next = u64::from(header >> 20);
        }
        found
    }

    /// Offset of the SR-IOV capability.
    pub fn sriov(&mut self) -> u64 {
        let all = self.extended(0);
        all.into_iter()
            .find(|(id, _)| *id == pci::EXT_SRIOV)
            .expect("SR-IOV")
            .1
    }

    /// Initiates a function level reset.
    pub fn flr(&mut self, function: usize) {
        let device_control = self.capability(function, pci::CAP_EXPRESS) + 8;
        let value = self.config16(function, device_control) | pci::INITIATE_FLR;
        self.write_config(function, device_control, &value.to_le_bytes());
    }

    pub fn bar32(&mut self, function: usize, offset: u64) -> u32 {
        let mut data = [0; 4];
        self.functions[function]
            .region_read(region::BAR0, offset, &mut data)
            .expect("BAR 0");
        u32::from_le_bytes(data)
    }

    pub fn set_bar32(&mut self, function: usize, offset: u64, value: u32) {
        self.functions[function]
            .region_write(region::BAR0, offset, &value.to_le_bytes())
            .expect("BAR 0");
    }

    /// Has a function write a word by DMA; says whether it could.
    pub fn store(&mut self, function: usize, iova: u64, value: u32) -> bool {
        self.set_dma_address(function, iova);
        self.set_bar32(function, scratch::STORE, value);
        self.bar32(function, scratch::RESULT) == 1
    }

    /// Has a function read a word by DMA.
    pub fn load(&mut self, function: usize, iova: u64) -> Option<u32> {
        self.set_dma_address(function, iova);
        self.set_bar32(function, scratch::LOAD, 0);
        (self.bar32(function, scratch::RESULT) == 1).then(|| self.bar32(function, scratch::VALUE))
    }

    fn set_dma_address(&mut self, function: usize, iova: u64) {
        self.functions[function]
            .region_write(region::BAR0, scratch::ADDRESS, &iova.to_le_bytes())
            .expect("BAR 0");
    }

    /// Listens on `count` vectors of a function.
    pub fn listen(&mut self, function: usize, count: u32) -> Vec<EventFd> {
        let events = event_fds(count);
        let fds: Vec<_> = events.iter().map(AsRawFd::as_raw_fd).collect();
        self.functions[function]
            .set_irqs(irq::MSIX, irq::SET_EVENTFD, 0, count, &fds)
            .expect("SET_IRQS");
        events
    }

    /// Listens on the IOMMU's vector.
    pub fn listen_iommu(&mut self) -> EventFd {
        let event = event_fds(1).remove(0);
        self.iommu
            .set_irqs(irq::MSI, irq::SET_EVENTFD, 0, 1, &[event.as_raw_fd()])
            .expect("SET_IRQS");
        event
    }

    /// What the control socket answers to `state`.
    pub fn state(&self) -> Value {
        Value::Object(self.control.answer(br#"{"cmd":"state"}"#).expect("state"))
    }

    /// The causes of a function's resets since the bench began.
    pub fn resets(&self, function: usize) -> Vec<String> {
        let state = self.state();
        let causes = state["resets"][function].as_array().expect("resets");
        causes
            .iter()
            .map(|cause| cause.as_str().expect("a cause").to_string())
            .collect()
    }

    /// A counter of the IOMMU.
    pub fn counter(&self, name: &str) -> u64 {
        self.state()["iommu"][name].as_u64().expect("a counter")
    }
}

/// An event as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub code: u64,
    pub flags: u64,
    pub domain: u16,
    pub requester: u16,
    pub address: u64,
}

/// Address of the entry for `iova` in a table of `level`.
pub fn entry_address(table: u64, level: u64, iova: u64) -> u64 {
    table + ((iova >> (12 + 9 * (level - 1))) & 0x1ff) * 8
}

/// Whether an interrupt was raised since the last call.
pub fn fired(event: &EventFd) -> bool {
    event.read().is_ok()
}

fn event_fds(count: u32) -> Vec<EventFd> {
    (0..count)
        .map(|_| EventFd::new(EFD_NONBLOCK).expect("eventfd"))
        .collect()
}
