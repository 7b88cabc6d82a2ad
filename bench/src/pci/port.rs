// SPDX-License-Identifier: GPL-2.0
//! A function's way to memory and to the interrupt controller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::interrupts::Interrupts;
use crate::function::Port;
use crate::iommu::{DmaMemory, Requester, Route, Unit};
use crate::memory::{GuestRam, WriteLog};

/// The [`Port`] of a function on the bus.
#[derive(Debug)]
pub struct FunctionPort {
    requester: u16,
    ram: Arc<GuestRam>,
    unit: Arc<Unit>,
    log: WriteLog,
    bus_master: AtomicBool,
    interrupts: Interrupts,
}

impl FunctionPort {
    /// The port of the function with routing id `requester`, not yet a bus
    /// master. How many vectors it has is known once there is a model.
    pub fn new(requester: u16, ram: Arc<GuestRam>, unit: Arc<Unit>) -> Self {
        Self {
            requester,
            ram,
            unit,
            log: WriteLog::recording(),
            bus_master: AtomicBool::new(false),
            interrupts: Interrupts::new(0),
        }
    }

    /// Routing id of the function.
    pub fn requester(&self) -> u16 {
        self.requester
    }

    /// The listeners of its vectors.
    pub fn interrupts(&self) -> &Interrupts {
        &self.interrupts
    }

    /// Allows or forbids transactions. When this returns after forbidding, none
    /// is under way.
    pub fn set_bus_master(&self, enabled: bool) {
        if self.bus_master.swap(enabled, Ordering::SeqCst) && !enabled {
            drop(self.ram.quiesce());
        }
    }
}

impl Port for FunctionPort {
    fn with_dma(&self, access: &mut dyn FnMut(&DmaMemory)) {
        let memory = self.ram.read();
        // Asked under the lock, so that `set_bus_master` can wait for what was allowed.
        let route = if self.bus_master.load(Ordering::SeqCst) {
            Route::Unit {
                unit: self.unit.clone(),
                requester: self.requester,
                memory: memory.clone(),
            }
        } else {
            Route::Refused
        };
        access(&Requester::new(route).view(memory.clone(), self.log.clone()));
    }

    fn interrupt(&self, vector: u16) {
        if self.bus_master.load(Ordering::SeqCst) {
            self.interrupts.raise(vector);
        }
    }
}
