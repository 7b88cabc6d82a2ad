// SPDX-License-Identifier: GPL-2.0
//! The SR-IOV capability of the PF, and the gate that lets VFs appear.
//!
//! QEMU hides SR-IOV capabilities from its guest: it drops them from the chain,
//! once, when it realizes the device. So until the machine reset that follows
//! realization the capability carries the id of a vendor-specific one.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::config_space::{ConfigSpace, NoRoom};

const SRIOV: u16 = 0x0010;
const VENDOR_SPECIFIC: u16 = 0x000b;

/// Header of the vendor-specific disguise: id 1, revision 0, length 0x40.
const DISGUISE: u32 = 0x0400_0001;

const CONTROL: usize = 0x08;
const NUM_VFS: usize = 0x10;
const SYSTEM_PAGE_SIZE: usize = 0x20;
const VF_BARS: usize = 0x24;
const LENGTH: usize = 0x40;

const VF_ENABLE: u16 = 1 << 0;
const VF_MEMORY: u16 = 1 << 3;

/// Which VFs exist now, and whether their memory space is enabled. Shared by the
/// PF, which decides, and the VFs.
#[derive(Debug, Default)]
pub struct VfGate {
    count: AtomicU32,
    memory: AtomicBool,
}

impl VfGate {
    /// Whether VF `number` (from 1 on) exists.
    pub fn exists(&self, number: u16) -> bool {
        u32::from(number) <= self.count.load(Ordering::SeqCst)
    }

    /// Whether the VFs' BARs answer: VF MSE of the PF.
    pub fn memory_enabled(&self) -> bool {
        self.memory.load(Ordering::SeqCst)
    }

    /// Sets how many VFs exist, and returns how many there were.
    fn set(&self, count: u16) -> u16 {
        // Only ever set from 16 bits.
        self.count.swap(u32::from(count), Ordering::SeqCst) as u16
    }
}

/// How many VFs existed before and after a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VfChange {
    /// Number before.
    pub before: u16,
    /// Number after.
    pub after: u16,
}

/// What SR-IOV says about the VFs.
#[derive(Clone, Copy, Debug)]
pub struct VfLayout {
    /// InitialVFs and TotalVFs.
    pub total: u16,
    /// What the VFs have for a device id.
    pub device_id: u16,
    /// Number of each VF's BAR; the others are hardwired to zero.
    pub bar: u8,
    /// Size of each VF's BAR, a power of two.
    pub bar_size: u64,
}

/// The capability in the PF's configuration space.
#[derive(Debug)]
pub struct Sriov {
    at: usize,
    total: u16,
    /// Offset of the register of the VFs' BAR.
    bar: usize,
}

impl Sriov {
    /// Adds the capability in its disguise. VFs follow the PF at routing id
    /// offset 1 with stride 1.
    pub fn add(space: &mut ConfigSpace, layout: VfLayout) -> Result<Self, NoRoom> {
        let at = space.add_extended(VENDOR_SPECIFIC, 1, &[0; LENGTH - 4])?;
        space.set_u32(at + 4, DISGUISE);
        space.set_u16(at + 0x0c, layout.total);
        space.set_u16(at + 0x0e, layout.total);
        space.set_u16(at + 0x14, 1);
        space.set_u16(at + 0x16, 1);
        space.set_u16(at + 0x1a, layout.device_id);
        // Page sizes 4 KiB, 8 KiB, 64 KiB, 256 KiB, 1 MiB, 4 MiB; 4 KiB in use.
        space.set_u32(at + 0x1c, 0x553);
        space.set_u32(at + SYSTEM_PAGE_SIZE, 1);
        // A 64-bit memory BAR.
        let bar = at + VF_BARS + 4 * usize::from(layout.bar);
        space.set_u32(bar, 0x4);
        let mask = !(layout.bar_size - 1);
        space.allow_u32(bar, mask as u32 & !0xf);
        space.allow_u32(bar + 4, (mask >> 32) as u32);
        let sriov = Self {
            at,
            total: layout.total,
            bar,
        };
        sriov.allow_control(space, false);
        Ok(sriov)
    }

    /// Takes the disguise off (or puts it back on).
    pub fn reveal(&self, space: &mut ConfigSpace, revealed: bool) {
        let (id, word) = if revealed {
            (SRIOV, 0)
        } else {
            (VENDOR_SPECIFIC, DISGUISE)
        };
        space.set_u16(self.at, id);
        space.set_u32(self.at + 4, word);
        self.allow_control(space, revealed);
    }

    /// Returns the registers to their values at power-on and ends all VFs.
    pub fn reset(&self, space: &mut ConfigSpace, gate: &VfGate) -> VfChange {
        space.set_u16(self.at + CONTROL, 0);
        space.set_u16(self.at + NUM_VFS, 0);
        space.set_u32(self.at + SYSTEM_PAGE_SIZE, 1);
        space.set_u32(self.bar, 0x4);
        space.set_u32(self.bar + 4, 0);
        self.written(space, gate)
    }

    /// Acts on a write that may have touched the capability.
    pub fn written(&self, space: &mut ConfigSpace, gate: &VfGate) -> VfChange {
        let control = space.u16(self.at + CONTROL);
        gate.memory
            .store(control & VF_MEMORY != 0, Ordering::SeqCst);
        let enabled = control & VF_ENABLE != 0;
        let revealed = space.u16(self.at) == SRIOV;
        // NumVFs is fixed while VF Enable is set.
        space.allow_u16(
            self.at + NUM_VFS,
            if revealed && !enabled { 0xffff } else { 0 },
        );
        let after = if enabled {
            space.u16(self.at + NUM_VFS).min(self.total)
        } else {
            0
        };
        VfChange {
            before: gate.set(after),
            after,
        }
    }

    /// In disguise, nobody knows that there is something to write.
    fn allow_control(&self, space: &mut ConfigSpace, allowed: bool) {
        space.allow_u16(
            self.at + CONTROL,
            if allowed { VF_ENABLE | VF_MEMORY } else { 0 },
        );
        space.allow_u16(self.at + NUM_VFS, if allowed { 0xffff } else { 0 });
        space.allow_u32(self.at + SYSTEM_PAGE_SIZE, if allowed { 0x553 } else { 0 });
    }
}
