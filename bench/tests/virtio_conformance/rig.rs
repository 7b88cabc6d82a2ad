// SPDX-License-Identifier: GPL-2.0
//! A machine on plain memory, with what a test looks at.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use vfio_bench::function::{Function, PortRef, Reset};
use vfio_bench::memory::{GuestRam, PhysicalMemory};
use vfio_bench::testing::FlatPort;
use vfio_bench::virtio::machine::{Config, Machine};
use vfio_bench_protocol::Request;
use vm_memory::{Bytes, GuestAddress};

/// Memory of each function's driver; function n has the n + 1st of these.
pub const DRIVER_MEMORY: u64 = 16 << 20;

/// All memory.
pub const MEMORY: usize = 9 * DRIVER_MEMORY as usize;

/// A machine, its functions and the memory they share.
pub struct Rig {
    pub machine: Machine,
    pub ports: Vec<Arc<FlatPort>>,
    pub functions: Vec<Arc<dyn Function>>,
    pub ram: Arc<GuestRam>,
}

impl Rig {
    /// A machine with this many VFs, all of them enabled.
    pub fn new(config: Config, vfs: u16) -> Self {
        let memory = PhysicalMemory::from_ranges(&[(GuestAddress(0), MEMORY)]).expect("memory");
        let ram = Arc::new(GuestRam::from_memory(memory));
        let ports: Vec<Arc<FlatPort>> = (0..=vfs)
            .map(|_| Arc::new(FlatPort::with_ram(ram.clone())))
            .collect();
        let handles = ports.iter().map(|port| port.clone() as PortRef).collect();
        let machine = Machine::new(config, handles).expect("possible configuration");
        machine.set_num_vfs(vfs);
        let functions = machine.functions();
        Self {
            machine,
            ports,
            functions,
            ram,
        }
    }

    pub fn plain(vfs: u16) -> Self {
        Self::new(Config::default(), vfs)
    }

    pub fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let mut data = vec![0; len];
        self.ram
            .read()
            .read_slice(&mut data, GuestAddress(at))
            .expect("test memory");
        data
    }

    pub fn write(&self, at: u64, data: &[u8]) {
        self.ram
            .read()
            .write_slice(data, GuestAddress(at))
            .expect("test memory");
    }

    pub fn read_u16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.read(at, 2).try_into().expect("two bytes"))
    }

    /// A request of the control protocol that must succeed.
    pub fn control(&self, request: Value) -> Value {
        self.ask(&request)
            .unwrap_or_else(|error| panic!("{request}: {error}"))
    }

    /// A request that must fail.
    pub fn control_fails(&self, request: Value) -> String {
        self.ask(&request).expect_err("the request is impossible")
    }

    fn ask(&self, request: &Value) -> Result<Value, String> {
        let request = Request::deserialize(request).map_err(|error| error.to_string())?;
        self.machine.control(request).map(Value::Object)
    }

    /// State of a function as the control protocol shows it.
    pub fn state(&self, index: usize) -> Value {
        self.control(json!({"cmd": "state"}))["functions"][index].clone()
    }

    pub fn counter(&self, index: usize, name: &str) -> u64 {
        self.state(index)["counters"][name]
            .as_u64()
            .expect("a counter")
    }

    /// All device parts, without the driver's help.
    pub fn parts(&self, index: usize) -> Vec<u8> {
        let name = if index == 0 {
            "pf".to_string()
        } else {
            format!("vf{index}")
        };
        let answer = self.control(json!({"cmd": "parts", "function": name}));
        let hex = answer["parts"].as_str().expect("hexadecimal digits");
        hex.as_bytes()
            .chunks(2)
            .map(|pair| {
                let pair = std::str::from_utf8(pair).expect("digits");
                u8::from_str_radix(pair, 16).expect("digits")
            })
            .collect()
    }

    /// Pages written by a function since this was last asked.
    pub fn dma_pages(&self, name: &str) -> Vec<u64> {
        let request = json!({"cmd": "dma-writes", "function": name, "clear": true});
        let answer = self.control(request);
        let pages = answer["pages"].as_array().expect("a list");
        pages
            .iter()
            .map(|page| {
                let digits = page.as_str().expect("a string").trim_start_matches("0x");
                u64::from_str_radix(digits, 16).expect("hexadecimal digits")
            })
            .collect()
    }

    pub fn flr(&self, index: usize) {
        self.functions[index].reset(Reset::Flr);
    }
}
