// SPDX-License-Identifier: GPL-2.0
//! The PCI function of the IOMMU: an AMD IOMMU capability, MSI, and the
//! registers in BAR 0.

use std::sync::{Arc, Mutex, MutexGuard};

use super::PciFunction;
use super::config_space::{ConfigSpace, NoRoom, command, register};
use super::interrupts::Interrupts;
use crate::iommu::Unit;
use crate::iommu::unit::RaiseInterrupt;

/// Size of BAR 0: far more than the registers take, so that firmware places it
/// at [`REGISTERS`] whatever else the machine has.
pub const BAR_SIZE: u64 = 64 << 20;

/// Where the IVRS says that the registers are.
pub const REGISTERS: u64 = 0xf800_0000;

/// Offset of the IOMMU capability.
pub const CAPABILITY: u16 = 0x40;

const IOMMU_CAPABILITY: u8 = 0x0f;
const MSI_CAPABILITY: u8 = 0x05;

/// Told when the machine cannot work.
pub type Misplaced = Box<dyn Fn(String) + Send + Sync>;

/// The IOMMU's PCI function.
pub struct IommuFunction {
    unit: Arc<Unit>,
    interrupts: Arc<Interrupts>,
    misplaced: Misplaced,
    space: Mutex<ConfigSpace>,
}

/// The interrupt of an [`IommuFunction`], which its unit needs first.
pub fn interrupt() -> (Arc<Interrupts>, RaiseInterrupt) {
    let interrupts = Arc::new(Interrupts::new(1));
    let raised = interrupts.clone();
    (
        interrupts,
        Box::new(move || {
            raised.raise(0);
        }),
    )
}

impl IommuFunction {
    /// The function of `unit`. `misplaced` is called if the registers are
    /// enabled at another address than [`REGISTERS`].
    pub fn new(
        unit: Arc<Unit>,
        interrupts: Arc<Interrupts>,
        misplaced: Misplaced,
    ) -> Result<Self, NoRoom> {
        let space = Mutex::new(power_on_space()?);
        Ok(Self {
            unit,
            interrupts,
            misplaced,
            space,
        })
    }

    fn lock(&self) -> MutexGuard<'_, ConfigSpace> {
        self.space
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn reset(&self) {
        let mut space = self.lock();
        // The registers that software can change, and nothing else, back to zero.
        space.set_u16(register::COMMAND, command::BUS_MASTER);
        space.set_u32(register::BAR0, 0);
        drop(space);
        self.unit.reset();
    }
}

fn power_on_space() -> Result<ConfigSpace, NoRoom> {
    let mut space = ConfigSpace::new(0x1022, 0x1419, 0x08_0600, 0);
    space.set_u16(register::SUBSYSTEM_VENDOR, 0x1022);
    // Hard-wired bus master: firmware then turns it on in QEMU as well, which
    // would otherwise drop the event interrupt.
    space.set_u16(register::COMMAND, command::BUS_MASTER);
    space.allow_u16(register::COMMAND, command::MEMORY | 0x0140);
    space.allow_u32(register::BAR0, !(BAR_SIZE as u32 - 1));
    // Capability type 3 (IOMMU), revision 1, extended features; the other four
    // words (base address, range, miscellaneous) are left to the IVRS.
    let mut body = [0; 22];
    body[..2].copy_from_slice(&(3_u16 | (1 << 3) | (1 << 11)).to_le_bytes());
    space.add_capability(IOMMU_CAPABILITY, &body)?;
    // MSI: one vector, 64-bit address.
    let mut body = [0; 12];
    body[0] = 0x80;
    let msi = space.add_capability(MSI_CAPABILITY, &body)?;
    space.allow_u16(msi + 2, 0x0071);
    space.allow_u32(msi + 4, !3);
    space.allow_u32(msi + 8, !0);
    space.allow_u16(msi + 12, !0);
    Ok(space)
}

impl PciFunction for IommuFunction {
    fn bar_size(&self) -> u64 {
        BAR_SIZE
    }

    fn interrupt_counts(&self) -> [u32; 5] {
        [0, 1, 0, 1, 1]
    }

    fn interrupts(&self) -> &Interrupts {
        &self.interrupts
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.lock().read(offset, data);
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        let mut space = self.lock();
        space.write(offset, data);
        let enabled = space.u16(register::COMMAND) & command::MEMORY != 0;
        let base = u64::from(space.u32(register::BAR0) & !0xf);
        drop(space);
        let touched = |at: usize, length: u64| {
            offset < at as u64 + length && offset + data.len() as u64 > at as u64
        };
        let relevant = touched(register::COMMAND, 2) || touched(register::BAR0, 4);
        // All ones is how a BAR is sized.
        let sizing = base == u64::from(!(BAR_SIZE as u32 - 1));
        if relevant && enabled && !sizing && base != REGISTERS {
            (self.misplaced)(format!(
                "the guest placed the IOMMU registers at {base:#x}, not at {REGISTERS:#x} as the \
                 IVRS says: check that its command line has intremap=off"
            ));
        }
    }

    fn read_bar(&self, offset: u64, data: &mut [u8]) {
        self.unit.read(offset, data);
    }

    fn write_bar(&self, offset: u64, data: &[u8]) {
        self.unit.write(offset, data);
    }

    fn bus_reset(&self) {
        self.reset();
    }

    fn disconnected(&self) {
        self.interrupts.clear();
        self.reset();
    }
}
