// SPDX-License-Identifier: GPL-2.0
//! A PF or VF: configuration space around a device model.
//!
//! # Locking
//!
//! The configuration space has a mutex that is released before the model or
//! another function is called: the model takes locks of its own and uses ports.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use super::PciFunction;
use super::capabilities::{self, INITIATE_FLR};
use super::config_space::{ConfigSpace, NoRoom, command, register};
use super::interrupts::Interrupts;
use super::port::FunctionPort;
use super::sriov::{Sriov, VfChange, VfGate, VfLayout};
use crate::function::{Function, Reset};

/// Serial number of the device. All its functions show the same (PCIe 6.0,
/// 7.9.3), and a VMM that moves configuration space from one VF to another
/// relies on that.
const SERIAL_NUMBER: u64 = 0x0200_0000_0000_0001;

const PAGE: u64 = 0x1000;
const VENDOR_CAPABILITY: u8 = 0x09;
const VIRTIO_PCI_CFG: u8 = 5;

/// Told how many VFs exist whenever that changes.
pub type VfObserver = Box<dyn Fn(u16) + Send + Sync>;

/// What a PF knows of its VFs.
struct Family {
    members: Vec<Weak<Endpoint>>,
    observer: VfObserver,
}

/// Position of a function in its device.
enum Role {
    Pf {
        sriov: Sriov,
        vfs: OnceLock<Family>,
    },
    /// VF number, from 1 on.
    Vf(u16),
}

/// Offsets of registers that do something when written.
#[derive(Clone, Copy, Debug)]
struct Offsets {
    device_control: usize,
    msix_control: usize,
    /// The register of the function's BAR.
    bar: usize,
    /// The virtio capability that is a window onto the BAR.
    window: Option<usize>,
}

/// A function with a device model.
pub struct Endpoint {
    model: Arc<dyn Function>,
    port: Arc<FunctionPort>,
    gate: Arc<VfGate>,
    role: Role,
    offsets: Offsets,
    space: Mutex<ConfigSpace>,
    /// The MSI-X table. QEMU keeps its own; this one only remembers.
    table: Mutex<Vec<u8>>,
    bar_size: u64,
    /// Somebody has pulled it out.
    gone: AtomicBool,
}

/// Size of the BAR with the MSI-X table and its pending bits behind the model's part.
pub fn whole_bar_size(model: &dyn Function) -> u64 {
    (table_offset(model) + 2 * PAGE).next_power_of_two()
}

fn table_offset(model: &dyn Function) -> u64 {
    model.bar_size().next_multiple_of(PAGE)
}

impl Endpoint {
    /// The PF. Its VFs are made known by [`Endpoint::adopt`].
    pub fn physical(
        model: Arc<dyn Function>,
        port: Arc<FunctionPort>,
        gate: Arc<VfGate>,
        layout: VfLayout,
    ) -> Result<Self, NoRoom> {
        Self::build(model, port, gate, |space| {
            let sriov = Sriov::add(space, layout)?;
            Ok(Role::Pf {
                sriov,
                vfs: OnceLock::new(),
            })
        })
    }

    /// VF `number`, from 1 on.
    pub fn virtual_function(
        model: Arc<dyn Function>,
        port: Arc<FunctionPort>,
        gate: Arc<VfGate>,
        number: u16,
    ) -> Result<Self, NoRoom> {
        Self::build(model, port, gate, |_| Ok(Role::Vf(number)))
    }

    fn build(
        model: Arc<dyn Function>,
        port: Arc<FunctionPort>,
        gate: Arc<VfGate>,
        add_role: impl FnOnce(&mut ConfigSpace) -> Result<Role, NoRoom>,
    ) -> Result<Self, NoRoom> {
        let identity = model.identity();
        let mut space = ConfigSpace::new(
            identity.vendor,
            identity.device,
            identity.class,
            identity.revision,
        );
        space.set_u16(register::SUBSYSTEM_VENDOR, identity.subsystem_vendor);
        space.set_u16(register::SUBSYSTEM, identity.subsystem);
        let bar_size = whole_bar_size(&*model);
        let mask = !(bar_size - 1);
        // A 64-bit memory BAR.
        let bar = register::BAR0 + 4 * usize::from(model.bar());
        space.set_u32(bar, 0x4);
        space.allow_u32(bar, mask as u32 & !0xf);
        space.allow_u32(bar + 4, (mask >> 32) as u32);

        let device_control = capabilities::add_pci_express(&mut space)?;
        let table = u32::try_from(table_offset(&*model)).map_err(|_| NoRoom)?;
        let msix_control = capabilities::add_msix(
            &mut space,
            model.msix_vectors(),
            model.bar(),
            table,
            table + PAGE as u32,
        )?;
        let mut window = None;
        for body in model.vendor_capabilities() {
            let at = space.add_capability(VENDOR_CAPABILITY, &body)?;
            if body.get(1) == Some(&VIRTIO_PCI_CFG) && body.len() >= 18 {
                // Bar, offset, length and data are for the driver to write.
                space.allow(at + 4, &[0xff]);
                space.allow(at + 8, &[0xff; 12]);
                window = Some(at);
            }
        }
        capabilities::add_serial_number(&mut space, SERIAL_NUMBER)?;
        let role = add_role(&mut space)?;
        let vectors = model.msix_vectors();
        port.interrupts().set_count(vectors);
        Ok(Self {
            model,
            port,
            gate,
            role,
            offsets: Offsets {
                device_control,
                msix_control,
                bar,
                window,
            },
            space: Mutex::new(space),
            table: Mutex::new(power_on_table(usize::from(vectors))),
            bar_size,
            gone: AtomicBool::new(false),
        })
    }

    /// Takes the function away without a word, or puts it back as it is after power-on. Of a
    /// function that is away everything reads as ones, and it makes no access to memory.
    pub fn set_gone(&self, gone: bool) {
        if self.gone.swap(gone, Ordering::SeqCst) != gone {
            self.reset(Reset::Bus);
        }
    }

    fn gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    /// Tells the PF which VFs it has, and whom to tell when some come or go.
    pub fn adopt(&self, members: Vec<Weak<Endpoint>>, observer: VfObserver) {
        if let Role::Pf { vfs, .. } = &self.role {
            // The machine is put together once.
            let _ = vfs.set(Family { members, observer });
        }
    }

    /// Whether the function exists at this time.
    pub fn exists(&self) -> bool {
        match self.role {
            _ if self.gone() => false,
            Role::Pf { .. } => true,
            Role::Vf(number) => self.gate.exists(number),
        }
    }

    /// Whether the BAR answers in memory space, as far as the PF decides. COMMAND's
    /// Memory Space Enable is QEMU's to obey: it unmaps the BAR.
    fn decodes_memory(&self) -> bool {
        match self.role {
            _ if !self.exists() => false,
            Role::Pf { .. } => true,
            Role::Vf(_) => self.gate.memory_enabled(),
        }
    }

    /// Reads registers, through memory space or the virtio window.
    fn read_registers(&self, offset: u64, data: &mut [u8]) {
        let end = offset.saturating_add(data.len() as u64);
        if !self.exists() || end > self.bar_size {
            data.fill(0xff);
        } else if end <= self.model.bar_size() {
            self.model.read_bar(offset, data);
        } else {
            let table = self.table();
            let start = table_offset(&*self.model);
            for (at, byte) in (offset..end).zip(data) {
                let index = at.checked_sub(start).map(|index| index as usize);
                *byte = index
                    .and_then(|index| table.get(index))
                    .copied()
                    .unwrap_or(0);
            }
        }
    }

    /// Writes registers, through memory space or the virtio window.
    fn write_registers(&self, offset: u64, data: &[u8]) {
        let end = offset.saturating_add(data.len() as u64);
        if !self.exists() || end > self.bar_size {
            tracing::debug!(offset, "write to a BAR that is not there");
        } else if end <= self.model.bar_size() {
            self.model.write_bar(offset, data);
        } else {
            let mut table = self.table();
            let start = table_offset(&*self.model);
            for (at, byte) in (offset..end).zip(data) {
                let index = at.checked_sub(start).map(|index| index as usize);
                if let Some(slot) = index.and_then(|index| table.get_mut(index)) {
                    *slot = *byte;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ConfigSpace> {
        self.space
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn table(&self) -> MutexGuard<'_, Vec<u8>> {
        self.table
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Resets configuration space and model, and what depends on them.
    fn reset(&self, cause: Reset) {
        let mut space = self.lock();
        space.set_u16(self.offsets.device_control, 0);
        let msix = space.u16(self.offsets.msix_control) & 0x3fff;
        space.set_u16(self.offsets.msix_control, msix);
        // A VF's memory space is the PF's to enable; its stand-ins here, the
        // VF's own BAR and COMMAND.Memory, survive an FLR like it.
        let keeps_memory = cause == Reset::Flr && matches!(self.role, Role::Vf(_));
        if keeps_memory {
            let kept = space.u16(register::COMMAND) & command::MEMORY;
            space.set_u16(register::COMMAND, kept);
        } else {
            space.set_u16(register::COMMAND, 0);
            space.set_u32(self.offsets.bar, 0x4);
            space.set_u32(self.offsets.bar + 4, 0);
        }
        let change = match &self.role {
            Role::Pf { sriov, .. } => sriov.reset(&mut space, &self.gate),
            Role::Vf(_) => VfChange::default(),
        };
        drop(space);
        self.port.set_bus_master(false);
        let vectors = self.table().len() / 16;
        *self.table() = power_on_table(vectors);
        tracing::info!(requester = self.port.requester(), ?cause, "reset");
        self.model.reset(cause);
        self.follow(change);
    }

    /// Makes known that VFs came or went, and resets those that went.
    fn follow(&self, change: VfChange) {
        let Role::Pf { vfs, .. } = &self.role else {
            return;
        };
        let Some(family) = vfs.get() else { return };
        if change.before == change.after {
            return;
        }
        tracing::info!(?change, "VFs");
        (family.observer)(change.after);
        for number in change.after..change.before {
            if let Some(vf) = family
                .members
                .get(usize::from(number))
                .and_then(Weak::upgrade)
            {
                vf.reset(Reset::VfDisable);
            }
        }
    }

    /// Where the virtio window points, if an access touches its data register
    /// and the registers before it make sense.
    fn window_target(
        &self,
        space: &ConfigSpace,
        offset: u64,
        length: usize,
    ) -> Option<(u64, usize)> {
        let data = self.offsets.window? as u64 + 16;
        if offset >= data + 4 || offset + length as u64 <= data {
            return None;
        }
        let at = self.offsets.window?;
        let bar = space.u32(at + 4) & 0xff;
        let (target, size) = (u64::from(space.u32(at + 8)), space.u32(at + 12));
        let fits = bar == u32::from(self.model.bar())
            && matches!(size, 1 | 2 | 4)
            && target % u64::from(size) == 0
            && target + u64::from(size) <= self.bar_size;
        fits.then_some((target, size as usize))
    }
}

/// All vectors masked.
fn power_on_table(vectors: usize) -> Vec<u8> {
    let mut table = vec![0; vectors * 16];
    for entry in table.chunks_exact_mut(16) {
        entry[12] = 1;
    }
    table
}

impl PciFunction for Endpoint {
    fn bar(&self) -> u8 {
        self.model.bar()
    }

    fn bar_size(&self) -> u64 {
        self.bar_size
    }

    fn interrupt_counts(&self) -> [u32; 5] {
        // One each for ERR and REQ, or QEMU complains.
        [0, 0, u32::from(self.model.msix_vectors()), 1, 1]
    }

    fn interrupts(&self) -> &Interrupts {
        self.port.interrupts()
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        if self.gone() {
            data.fill(0xff);
            return;
        }
        let mut space = self.lock();
        if let Some((target, size)) = self.window_target(&space, offset, data.len()) {
            drop(space);
            let mut value = [0; 4];
            self.read_registers(target, &mut value[..size]);
            space = self.lock();
            if let Some(at) = self.offsets.window {
                space.set_u32(at + 16, u32::from_le_bytes(value));
            }
        }
        space.read(offset, data);
        drop(space);
        if !self.exists() {
            // QEMU needs the rest of the header to realize the device; a guest
            // looks no further than the ids.
            for (_, byte) in (offset..4).zip(data) {
                *byte = 0xff;
            }
        }
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        if !self.exists() {
            tracing::debug!(offset, "write to a function that is not there");
            return;
        }
        let mut space = self.lock();
        space.write(offset, data);
        let bus_master = space.u16(register::COMMAND) & command::BUS_MASTER != 0;
        let control = space.u16(self.offsets.device_control);
        let flr = control & INITIATE_FLR != 0;
        space.set_u16(self.offsets.device_control, control & !INITIATE_FLR);
        let change = match &self.role {
            Role::Pf { sriov, .. } => sriov.written(&mut space, &self.gate),
            Role::Vf(_) => VfChange::default(),
        };
        let window = self.window_target(&space, offset, data.len());
        let value = self
            .offsets
            .window
            .map(|at| space.u32(at + 16).to_le_bytes());
        drop(space);

        self.follow(change);
        self.port.set_bus_master(bus_master);
        if flr {
            self.reset(Reset::Flr);
        } else if let (Some((target, size)), Some(value)) = (window, value) {
            self.write_registers(target, &value[..size]);
        }
    }

    fn read_bar(&self, offset: u64, data: &mut [u8]) {
        if self.decodes_memory() {
            self.read_registers(offset, data);
        } else {
            data.fill(0xff);
        }
    }

    fn write_bar(&self, offset: u64, data: &[u8]) {
        if self.decodes_memory() {
            self.write_registers(offset, data);
        } else {
            tracing::debug!(offset, "write to a BAR that is not enabled");
        }
    }

    fn bus_reset(&self) {
        self.reset(Reset::Bus);
        if let Role::Pf { sriov, .. } = &self.role {
            sriov.reveal(&mut self.lock(), true);
        }
    }

    fn disconnected(&self) {
        self.port.interrupts().clear();
        self.reset(Reset::Bus);
        if let Role::Pf { sriov, .. } = &self.role {
            sriov.reveal(&mut self.lock(), false);
        }
    }
}
