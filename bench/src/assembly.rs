// SPDX-License-Identifier: GPL-2.0
//! The bench put together: memory, IOMMU, functions, and their sockets.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use vfio_bench_protocol::Request;

use crate::control::Answer;
use crate::function::{Function, PortRef};
use crate::iommu::Unit;
use crate::iommu::ivrs::Ivrs;
use crate::memory::GuestRam;
use crate::pci::config_space::NoRoom;
use crate::pci::endpoint::{self, Endpoint};
use crate::pci::iommu_function::{self, IommuFunction};
use crate::pci::port::FunctionPort;
use crate::pci::sriov::{VfGate, VfLayout};
use crate::qemu;
use crate::server::Socket;
use crate::virtio::machine::Machine;

/// VFs at most: without ARI, a device has eight functions.
pub const MAX_VFS: u16 = 7;

/// The device models of all functions.
pub trait Devices: Send + Sync {
    /// One model for each function, the PF's first.
    fn functions(&self) -> Vec<Arc<dyn Function>>;

    /// Called whenever the number of VFs that exist changes.
    fn set_num_vfs(&self, count: u16);

    /// What the control protocol shows of them.
    fn state(&self) -> Answer;

    /// Answers a request of the control protocol that is about the devices.
    fn control(&self, request: Request) -> Answer;
}

impl Devices for Machine {
    fn functions(&self) -> Vec<Arc<dyn Function>> {
        Machine::functions(self)
    }

    fn set_num_vfs(&self, count: u16) {
        Machine::set_num_vfs(self, count);
    }

    fn state(&self) -> Answer {
        Machine::control(self, Request::State {})
    }

    fn control(&self, request: Request) -> Answer {
        Machine::control(self, request)
    }
}

/// Why the bench ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Somebody asked for it.
    Shutdown,
    /// It cannot do its work.
    Fatal(String),
}

/// Why there is no bench.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The device models refuse.
    #[error("{0}")]
    Devices(String),
    /// Models and functions do not match.
    #[error("{0} models for {1} functions")]
    Count(usize, usize),
    /// A function has too many capabilities.
    #[error(transparent)]
    Capabilities(#[from] NoRoom),
}

/// All parts of the bench.
pub struct Assembly {
    ram: Arc<GuestRam>,
    unit: Arc<Unit>,
    devices: Arc<dyn Devices>,
    endpoints: Vec<Arc<Endpoint>>,
    iommu: Arc<IommuFunction>,
}

impl Assembly {
    /// Puts together a PF with `vfs` VFs on `bus` and an IOMMU with `features`. `devices` makes the models, given the
    /// ports. `ending` is told if the guest cannot work with the bench.
    pub fn new<D: Devices + 'static>(
        vfs: u16,
        bus: u8,
        features: u64,
        devices: impl FnOnce(Vec<PortRef>) -> Result<D, String>,
        ending: Sender<Ending>,
    ) -> Result<Self, Error> {
        let ram = Arc::new(GuestRam::new());
        let (interrupts, raise) = iommu_function::interrupt();
        let unit = Arc::new(Unit::new(ram.clone(), features, raise));
        let misplaced = move |reason| {
            // Nobody listens any more once the bench is ending anyway.
            let _ = ending.send(Ending::Fatal(reason));
        };
        let iommu = IommuFunction::new(unit.clone(), interrupts, Box::new(misplaced))?;

        let ports: Vec<Arc<FunctionPort>> = (0..=vfs)
            .map(|number| qemu::requester(bus, number))
            .map(|requester| Arc::new(FunctionPort::new(requester, ram.clone(), unit.clone())))
            .collect();
        let handed_out = ports.iter().map(|port| port.clone() as PortRef).collect();
        let devices: Arc<dyn Devices> = Arc::new(devices(handed_out).map_err(Error::Devices)?);
        let endpoints = endpoints(&devices, &ports)?;
        Ok(Self {
            ram,
            unit,
            devices,
            endpoints,
            iommu: Arc::new(iommu),
        })
    }

    /// Listens in `dir`: pf.sock, vf1.sock and so on, iommu.sock.
    pub fn listen(&self, dir: &Path) -> io::Result<()> {
        self.sockets(dir)?.into_iter().try_for_each(Socket::spawn)
    }

    /// The sockets that it listens at, the PF's first and the IOMMU's last.
    pub fn sockets(&self, dir: &Path) -> io::Result<Vec<Socket>> {
        let mut sockets = Vec::new();
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            let name = function_name(number);
            let ram = (number == 0).then(|| self.ram.clone());
            let path = qemu::socket(dir, &name);
            sockets.push(Socket::bind(&path, &name, endpoint.clone(), ram)?);
        }
        let path = qemu::socket(dir, "iommu");
        sockets.push(Socket::bind(&path, "iommu", self.iommu.clone(), None)?);
        Ok(sockets)
    }

    /// The IOMMU.
    pub fn unit(&self) -> &Arc<Unit> {
        &self.unit
    }

    /// The functions, PF first.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// The device models.
    pub fn devices(&self) -> &Arc<dyn Devices> {
        &self.devices
    }
}

/// Name of function `number`, as sockets and the control protocol have it.
pub fn function_name(number: usize) -> String {
    match number {
        0 => "pf".to_string(),
        vf => format!("vf{vf}"),
    }
}

/// The IVRS table for a bench on `bus` whose IOMMU offers `features`, as [`qemu::arguments`]
/// sets it up.
pub fn ivrs(bus: u8, features: u64) -> Vec<u8> {
    let table = Ivrs {
        function: qemu::IOMMU_REQUESTER,
        capability: iommu_function::CAPABILITY,
        registers: iommu_function::REGISTERS,
        features,
        requesters: (qemu::requester(bus, 0), qemu::requester(bus, MAX_VFS)),
    };
    table.table()
}

fn endpoints(
    devices: &Arc<dyn Devices>,
    ports: &[Arc<FunctionPort>],
) -> Result<Vec<Arc<Endpoint>>, Error> {
    let models = devices.functions();
    if models.len() != ports.len() {
        return Err(Error::Count(models.len(), ports.len()));
    }
    let gate = Arc::new(VfGate::default());
    let mut vfs = Vec::new();
    for (number, (model, port)) in (0..).zip(models.iter().zip(ports)).skip(1) {
        let vf = Endpoint::virtual_function(model.clone(), port.clone(), gate.clone(), number)?;
        vfs.push(Arc::new(vf));
    }
    // VFs are alike; a PF without any still says what they would be like.
    let vf_like = models.get(1).unwrap_or(&models[0]);
    let layout = VfLayout {
        total: vfs.len() as u16,
        device_id: vf_like.identity().device,
        bar: vf_like.bar(),
        bar_size: endpoint::whole_bar_size(&**vf_like),
    };
    let pf = Endpoint::physical(models[0].clone(), ports[0].clone(), gate, layout)?;
    let observer = devices.clone();
    pf.adopt(
        vfs.iter().map(Arc::downgrade).collect(),
        Box::new(move |count| observer.set_num_vfs(count)),
    );
    let mut endpoints = vec![Arc::new(pf)];
    endpoints.append(&mut vfs);
    Ok(endpoints)
}
