// SPDX-License-Identifier: GPL-2.0
//! A device with nothing but what tests of the PCI side need: a register to
//! remember a value, DMA of one word each way, an interrupt.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::json;
use vfio_bench_protocol::Request;
use vm_memory::{Bytes, GuestAddress};

use crate::assembly::Devices;
use crate::control::{Answer, answer};
use crate::function::{Function, Identity, PortRef, Reset};

/// Register offsets in BAR 0, all 32 bits but for the 64 of the address.
pub mod register {
    /// Remembers what is written.
    pub const VALUE: u64 = 0x00;
    /// Writing raises the vector with the number written.
    pub const INTERRUPT: u64 = 0x04;
    /// IOVA of the word to transfer.
    pub const ADDRESS: u64 = 0x08;
    /// Writing stores the word written at the address.
    pub const STORE: u64 = 0x10;
    /// Writing loads the word at the address into [`VALUE`].
    pub const LOAD: u64 = 0x14;
    /// Whether the last transfer worked: 1 or 0.
    pub const RESULT: u64 = 0x18;
}

/// Vectors of a scratch function.
pub const VECTORS: u16 = 4;

/// Size of a scratch function's part of BAR 0.
pub const BAR_SIZE: u64 = 0x1000;

#[derive(Debug, Default)]
struct State {
    value: u32,
    address: u64,
    result: bool,
    resets: Vec<Reset>,
}

/// The function.
pub struct ScratchFunction {
    port: PortRef,
    bar: u8,
    state: Mutex<State>,
}

impl ScratchFunction {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Function for ScratchFunction {
    fn identity(&self) -> Identity {
        Identity {
            vendor: 0x1234,
            device: 0x5678,
            subsystem_vendor: 0x1234,
            subsystem: 0x0001,
            class: 0xff_0000,
            revision: 1,
        }
    }

    fn vendor_capabilities(&self) -> Vec<Vec<u8>> {
        // The last one is a virtio window onto the BAR.
        let mut window = vec![0; 18];
        window[..2].copy_from_slice(&[20, 5]);
        vec![vec![8, 0xaa, 1, 2, 3, 4], vec![6, 0xbb, 5, 6], window]
    }

    fn msix_vectors(&self) -> u16 {
        VECTORS
    }

    fn bar(&self) -> u8 {
        self.bar
    }

    fn bar_size(&self) -> u64 {
        BAR_SIZE
    }

    fn read_bar(&self, offset: u64, data: &mut [u8]) {
        let state = self.lock();
        let value = match offset {
            register::VALUE => u64::from(state.value),
            register::ADDRESS => state.address,
            register::RESULT => u64::from(state.result),
            _ => 0,
        };
        data.fill(0);
        for (to, from) in data.iter_mut().zip(value.to_le_bytes()) {
            *to = from;
        }
    }

    fn write_bar(&self, offset: u64, data: &[u8]) {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(data) {
            *to = *from;
        }
        let value = u64::from_le_bytes(bytes);
        let mut state = self.lock();
        let address = GuestAddress(state.address);
        match offset {
            register::VALUE => state.value = value as u32,
            register::INTERRUPT => self.port.interrupt(value as u16),
            register::ADDRESS => state.address = value,
            register::STORE => self.port.with_dma(&mut |memory| {
                state.result = memory.write_obj(value as u32, address).is_ok();
            }),
            register::LOAD => self.port.with_dma(&mut |memory| {
                let loaded = memory.read_obj(address);
                state.result = loaded.is_ok();
                state.value = loaded.unwrap_or(0);
            }),
            _ => {}
        }
    }

    fn reset(&self, cause: Reset) {
        let mut state = self.lock();
        let mut resets = std::mem::take(&mut state.resets);
        resets.push(cause);
        *state = State {
            resets,
            ..State::default()
        };
    }
}

/// A set of scratch functions.
pub struct Scratch {
    functions: Vec<Arc<ScratchFunction>>,
    num_vfs: Mutex<u16>,
}

impl Scratch {
    /// One function behind each port. The first one has its registers in BAR 0,
    /// the others in BAR `vf_bar`.
    pub fn new(ports: Vec<PortRef>, vf_bar: u8) -> Self {
        let functions = ports
            .into_iter()
            .enumerate()
            .map(|(index, port)| {
                Arc::new(ScratchFunction {
                    port,
                    bar: if index == 0 { 0 } else { vf_bar },
                    state: Mutex::default(),
                })
            })
            .collect();
        Self {
            functions,
            num_vfs: Mutex::default(),
        }
    }
}

impl Devices for Scratch {
    fn functions(&self) -> Vec<Arc<dyn Function>> {
        self.functions
            .iter()
            .map(|function| function.clone() as Arc<dyn Function>)
            .collect()
    }

    fn set_num_vfs(&self, count: u16) {
        *self
            .num_vfs
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = count;
    }

    /// `state` tells the number of VFs and, for each function, its resets so far.
    fn state(&self) -> Answer {
        let resets: Vec<Vec<String>> = self
            .functions
            .iter()
            .map(|f| {
                f.lock()
                    .resets
                    .iter()
                    .map(|cause| format!("{cause:?}"))
                    .collect()
            })
            .collect();
        let num_vfs = *self
            .num_vfs
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        answer(&json!({"num_vfs": num_vfs, "resets": resets}))
    }

    fn control(&self, request: Request) -> Answer {
        Err(format!("not for these devices: {request:?}"))
    }
}
