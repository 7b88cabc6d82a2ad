// SPDX-License-Identifier: GPL-2.0
//! A port on plain memory: IOVAs are addresses, interrupts are recorded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use vm_memory::GuestAddress;
use vm_memory::mmap::FromRangesError;

use crate::function::Port;
use crate::iommu::{DmaMemory, Requester, Route};
use crate::memory::{GuestRam, PhysicalMemory, WriteLog};

/// A [`Port`] whose memory is anonymous and untranslated, from address 0 on.
pub struct FlatPort {
    ram: Arc<GuestRam>,
    log: WriteLog,
    bus_master: AtomicBool,
    interrupts: Mutex<Vec<u16>>,
}

impl FlatPort {
    /// A port with memory of its own.
    pub fn new(size: usize) -> Result<Self, FromRangesError> {
        let memory = PhysicalMemory::from_ranges(&[(GuestAddress(0), size)])?;
        Ok(Self::with_ram(Arc::new(GuestRam::from_memory(memory))))
    }

    /// A port that shares `ram` with others, as the functions of one guest do.
    pub fn with_ram(ram: Arc<GuestRam>) -> Self {
        Self {
            ram,
            log: WriteLog::recording(),
            bus_master: AtomicBool::new(true),
            interrupts: Mutex::default(),
        }
    }

    /// The memory behind the port.
    pub fn ram(&self) -> &Arc<GuestRam> {
        &self.ram
    }

    /// Sets COMMAND.BusMaster, which is set at first.
    pub fn set_bus_master(&self, enabled: bool) {
        self.bus_master.store(enabled, Ordering::SeqCst);
    }

    /// The vectors raised since the last call, in order.
    pub fn take_interrupts(&self) -> Vec<u16> {
        std::mem::take(&mut *self.interrupts.lock().unwrap_or_else(|e| e.into_inner()))
    }
}

impl Port for FlatPort {
    fn with_dma(&self, access: &mut dyn FnMut(&DmaMemory)) {
        let route = match self.bus_master.load(Ordering::SeqCst) {
            true => Route::Identity,
            false => Route::Refused,
        };
        let memory = self.ram.read();
        access(&Requester::new(route).view(memory.clone(), self.log.clone()));
    }

    fn interrupt(&self, vector: u16) {
        if self.bus_master.load(Ordering::SeqCst) {
            self.interrupts
                .lock()
                .unwrap_or_else(|e| e.into_inner())
                .push(vector);
        }
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::{Bytes, GuestMemory, Permissions};

    use super::*;

    fn port() -> FlatPort {
        FlatPort::new(0x10000).expect("anonymous memory")
    }

    #[test]
    fn writes_land_and_are_logged() {
        let port = port();
        port.with_dma(&mut |memory| {
            memory
                .write_obj(0x1234_5678_u32, GuestAddress(0x1ffe))
                .expect("mapped");
            assert_eq!(
                memory
                    .read_obj::<u32>(GuestAddress(0x1ffe))
                    .expect("mapped"),
                0x1234_5678
            );
            assert_eq!(memory.bitmap().pages(), [0x1000, 0x2000]);
        });
        port.with_dma(&mut |memory| assert_eq!(memory.bitmap().pages(), [0x1000, 0x2000]));
    }

    #[test]
    fn bad_addresses_are_refused() {
        let port = port();
        port.with_dma(&mut |memory| {
            assert!(memory.read_obj::<u32>(GuestAddress(0xfffe)).is_err());
            assert!(memory.read_obj::<u32>(GuestAddress(u64::MAX - 1)).is_err());
            assert!(!memory.check_range(GuestAddress(u64::MAX), 2, Permissions::Read));
            assert!(memory.write_slice(&[], GuestAddress(0x1000)).is_ok());
        });
    }

    #[test]
    fn no_bus_master_no_access() {
        let port = port();
        port.set_bus_master(false);
        port.with_dma(&mut |memory| {
            assert!(memory.write_obj(1u8, GuestAddress(0)).is_err());
            assert!(memory.bitmap().pages().is_empty());
        });
        port.interrupt(1);
        assert!(port.take_interrupts().is_empty());
        port.set_bus_master(true);
        port.interrupt(2);
        assert_eq!(port.take_interrupts(), [2]);
    }
}
