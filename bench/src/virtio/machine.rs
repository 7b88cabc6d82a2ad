// SPDX-License-Identifier: GPL-2.0
//! A PF and its VFs, ready to be put behind sockets.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::warn;
use vfio_bench_protocol::{Choices, Request};

use super::admin::Admin;
use super::bar;
use super::blk::disk::{self, Disk};
use super::blk::{self, Blk, MAX_QUEUES};
use super::control;
use super::device::{Device, Traits};
use super::features;
use super::host::HostSocket;
use super::kind::Kind;
use super::link::{Link, Place};
use super::net::{MAX_PAIRS, Net, Offer};
use super::parts::extra::Impossible;
use super::switch::SwitchPort;
use super::variety::{How, Variety};
use super::world::World;
use crate::control::Answer;
use crate::function::{Function, Identity, PortRef, Reset};

pub use super::parts::extra::Ballast;

/// First bytes of every address. The machine's own follows, and the function's index.
/// Locally administered, in the range that emulators use.
const MAC_PREFIX: [u8; 4] = [0x52, 0x54, 0x00, 0x76];

/// The machine's own byte of the addresses unless told otherwise.
pub const MAC_BLOCK: u8 = 0x66;

/// How long the worker sleeps if it has nothing to wait for.
const IDLE: Duration = Duration::from_secs(60);

/// The device type of all functions.
#[derive(Clone, Debug)]
pub enum DeviceType {
    /// Network devices behind one switch.
    Net,
    /// Block devices in front of one disk.
    Blk(blk::Config),
}

/// What a machine is to be like.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all functions are.
    pub device: DeviceType,
    /// Queue pairs of each network function.
    pub queue_pairs: u16,
    /// Whether the PF offers an administration virtqueue.
    pub admin_vq: bool,
    /// Descriptors of that queue.
    pub admin_queue_size: u16,
    /// Whether admin commands may have more descriptors than the queue.
    pub long_admin_chains: bool,
    /// Device parts objects to get with, and as many to set with, of all VFs.
    pub objects: u8,
    /// Whether device parts can be set without those that must precede them.
    pub lenient_parts: bool,
    /// Where the devices do otherwise than by default.
    pub choices: Choices,
    /// Whether the VFs can be used by legacy drivers, with the help of the PF's
    /// administration virtqueue.
    pub transitional: bool,
    /// What else the functions have or lack.
    pub variety: Variety,
    /// Whether network functions offer mergeable receive buffers.
    pub mrg_rxbuf: bool,
    /// Whether the functions offer indirect descriptors.
    pub indirect: bool,
    /// Bytes of ballast in each function's device parts.
    pub extra_parts: usize,
    /// Bytes of ballast in one part.
    pub extra_part_size: usize,
    /// Where to bind the host's port of the switch.
    pub host_socket: Option<PathBuf>,
    /// The fifth byte of all addresses. Machines whose switches are linked need different ones.
    pub mac_block: u8,
    /// Where to find the machine whose switch ours is linked to.
    pub link: Option<Place>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            device: DeviceType::Net,
            queue_pairs: 1,
            admin_vq: true,
            admin_queue_size: ADMIN_QUEUE_SIZE,
            long_admin_chains: false,
            objects: OBJECTS,
            lenient_parts: false,
            choices: Choices::default(),
            transitional: false,
            variety: Variety::default(),
            mrg_rxbuf: true,
            indirect: true,
            extra_parts: 0,
            extra_part_size: EXTRA_PART_SIZE,
            host_socket: None,
            mac_block: MAC_BLOCK,
            link: None,
        }
    }
}

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a machine needs a PF")]
    NoPorts,
    #[error("{0} queue pairs: 1 to {MAX_PAIRS} are possible")]
    QueuePairs(u16),
    #[error("{0} request queues: 1 to {MAX_QUEUES} are possible")]
    Queues(u16),
    #[error(transparent)]
    Disk(#[from] disk::Error),
    #[error(transparent)]
    ExtraParts(#[from] Impossible),
    #[error("no function {0:?}: there are pf and {1} VFs")]
    Difference(String, usize),
    #[error("host socket {0}: {1}")]
    HostSocket(PathBuf, io::Error),
    #[error("link {0}: {1}")]
    Link(PathBuf, io::Error),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// Descriptors of the admin queue unless told otherwise.
pub const ADMIN_QUEUE_SIZE: u16 = 64;

/// Device parts objects of each kind unless told otherwise.
pub const OBJECTS: u8 = 4;

/// Bytes of ballast in one part unless told otherwise.
pub const EXTRA_PART_SIZE: usize = 4096;

/// A PF and its VFs. Its threads end when it is dropped.
pub struct Machine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    world: Mutex<World>,
    /// Wakes the worker thread: there is a backlog, or something becomes due.
    wake: Condvar,
    ending: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the world, and leaves the rest to the worker.
    fn enter<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.lock();
        let result = work(&mut world);
        if world.has_backlog() || world.idle(Instant::now()).is_some() {
            self.wake.notify_one();
        }
        result
    }
}

impl Machine {
    /// A machine whose PF is behind the first port and VF n behind port n.
    pub fn new(config: Config, ports: Vec<PortRef>) -> Result<Self, Error> {
        if ports.is_empty() {
            return Err(Error::NoPorts);
        }
        if !(1..=MAX_PAIRS).contains(&config.queue_pairs) {
            return Err(Error::QueuePairs(config.queue_pairs));
        }
        let ballast = Ballast::new(config.extra_parts, config.extra_part_size)?;
        let host = match &config.host_socket {
            None => None,
            Some(path) => {
                let bound = HostSocket::bind(path);
                Some(Arc::new(
                    bound.map_err(|e| Error::HostSocket(path.clone(), e))?,
                ))
            }
        };
        let link = match &config.link {
            None => None,
            Some(place) => {
                let made = Link::new(place);
                Some(Arc::new(
                    made.map_err(|e| Error::Link(place.path().to_owned(), e))?,
                ))
            }
        };
        let disk = match &config.device {
            DeviceType::Net => None,
            DeviceType::Blk(blk) if !(1..=MAX_QUEUES).contains(&blk.queues) => {
                return Err(Error::Queues(blk.queues));
            }
            DeviceType::Blk(blk) => Some((Arc::new(Disk::open(&blk.medium)?), blk.queues)),
        };
        let kind = |index| -> Box<dyn Kind> {
            match &disk {
                Some((disk, queues)) => {
                    Box::new(Blk::new(disk.clone(), *queues, config.variety.read_only))
                }
                None => Box::new(net(&config, index)),
            }
        };
        let devices = (0..)
            .zip(ports)
            .map(|(index, port)| device(&config, ballast, index, port, kind(index)))
            .collect::<Result<Vec<_>, _>>()?;
        let functions = devices.len();
        for difference in &config.variety.differences {
            let known = devices
                .iter()
                .any(|device| device.name() == difference.function);
            if !known {
                return Err(Error::Difference(
                    difference.function.clone(),
                    functions - 1,
                ));
            }
        }
        let mut world = World::new(
            devices,
            host.clone(),
            link.clone(),
            Admin::new(config.transitional, config.objects),
            config.choices,
        );
        world.disk = disk.as_ref().map(|(disk, _)| disk.clone());
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            wake: Condvar::new(),
            ending: AtomicBool::new(false),
        });
        let mut machine = Self {
            shared: shared.clone(),
            threads: Vec::new(),
        };
        let worker = shared.clone();
        machine.spawn("worker", move || work(&worker))?;
        if let Some(host) = host {
            let shared = shared.clone();
            machine.spawn("host-socket", move || receive(&shared, &host))?;
        }
        if let Some(link) = link {
            let (sender, sending) = (link.clone(), shared.clone());
            machine.spawn("link-out", move || sender.deliver(&sending.ending))?;
            machine.spawn("link-in", move || {
                link.receive(&shared.ending, |arrival| {
                    shared.enter(|world| world.arrive(arrival));
                });
            })?;
        }
        Ok(machine)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        self.threads.push(thread.map_err(Error::Thread)?);
        Ok(())
    }

    /// The functions, PF first.
    pub fn functions(&self) -> Vec<Arc<dyn Function>> {
        (0..self.shared.lock().devices.len())
            .map(|index| {
                let shared = self.shared.clone();
                Arc::new(Handle { shared, index }) as Arc<dyn Function>
            })
            .collect()
    }

    /// Says how many VFs exist: NumVFs while VF Enable is set, else 0. The PCI
    /// side calls this whenever that changes; VFs that cease to exist also get
    /// [`Reset::VfDisable`].
    pub fn set_num_vfs(&self, count: u16) {
        self.shared
            .enter(|world| world.set_enabled_vfs(count.into()));
    }

    /// Answers a request of the control protocol that is about the devices.
    pub fn control(&self, request: Request) -> Answer {
        self.shared.enter(|world| control::control(world, request))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        {
            // Under the lock, so that the worker is either asleep or will look.
            let _world = self.shared.lock();
            self.shared.ending.store(true, Ordering::SeqCst);
            self.shared.wake.notify_all();
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                warn!("a device thread panicked");
            }
        }
    }
}

fn net(config: &Config, index: usize) -> Net {
    let [a, b, c, d] = MAC_PREFIX;
    // There are at most eight functions without ARI.
    let mac = [a, b, c, d, config.mac_block, index as u8];
    let variety = &config.variety;
    Net::new(
        mac,
        Offer {
            max_pairs: config.queue_pairs,
            merge: config.mrg_rxbuf,
            mtu: variety.mtu,
            announce: variety.guest_announce,
            checksum: variety.checksum,
            receive_ahead: variety.receive_ahead,
        },
    )
}

fn device(
    config: &Config,
    ballast: Ballast,
    index: usize,
    port: PortRef,
    kind: Box<dyn Kind>,
) -> Result<Device, Error> {
    let (name, owner) = match index {
        0 => ("pf".to_string(), features::SR_IOV),
        vf => (format!("vf{vf}"), 0),
    };
    let transitional = index != 0 && config.transitional;
    let admin = if index == 0 && config.admin_vq {
        features::ADMIN_VQ
    } else {
        0
    };
    let mut transport = config.variety.transport(features::TRANSPORT);
    if !config.indirect {
        transport &= !features::RING_INDIRECT_DESC;
    }
    if transitional {
        transport |= features::ANY_LAYOUT;
    }
    let mut traits = Traits {
        features: transport | owner | admin,
        admin_queue_size: config.admin_queue_size,
        long_admin_chains: config.long_admin_chains,
        transitional,
        largest_queue: u16::MAX,
        vectors: None,
        lacks: 0,
        ballast,
        lenient_parts: config.lenient_parts,
        choices: config.choices,
    };
    for how in config.variety.of(&name) {
        match how {
            How::Lacks(features) => traits.lacks |= features,
            How::QueueSize(size) => traits.largest_queue = size,
            How::Vectors(count) => traits.vectors = Some(count),
            How::ExtraParts(bytes) => {
                traits.ballast = Ballast::new(bytes, config.extra_part_size)?;
            }
        }
    }
    Ok(Device::new(name, port, kind, traits))
}

/// The worker thread: what was left undone, and what is due.
fn work(shared: &Shared) {
    let mut world = shared.lock();
    while !shared.ending.load(Ordering::SeqCst) {
        world.complete_due(Instant::now());
        if world.work() {
            // Others have their turn before the rest.
            drop(world);
            std::thread::yield_now();
            world = shared.lock();
        } else {
            let idle = world.idle(Instant::now()).unwrap_or(IDLE);
            let woken = shared.wake.wait_timeout(world, idle);
            world = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The thread of the host socket.
fn receive(shared: &Shared, host: &HostSocket) {
    while !shared.ending.load(Ordering::SeqCst) {
        match host.receive() {
            Ok(Some(frame)) => {
                shared.enter(|world| world.forward(SwitchPort::Host, &[frame]));
            }
            Ok(None) => (),
            Err(error) => {
                warn!(%error, "host socket closed");
                return;
            }
        }
    }
}

/// One function of the machine.
struct Handle {
    shared: Arc<Shared>,
    index: usize,
}

impl Function for Handle {
    fn identity(&self) -> Identity {
        self.shared.lock().devices[self.index].identity()
    }

    fn vendor_capabilities(&self) -> Vec<Vec<u8>> {
        self.shared.lock().devices[self.index].capabilities()
    }

    fn msix_vectors(&self) -> u16 {
        self.shared.lock().devices[self.index].vectors()
    }

    fn bar(&self) -> u8 {
        self.shared.lock().devices[self.index].bar()
    }

    fn bar_size(&self) -> u64 {
        bar::SIZE
    }

    fn read_bar(&self, offset: u64, data: &mut [u8]) {
        self.shared.lock().read_bar(self.index, offset, data);
    }

    fn write_bar(&self, offset: u64, data: &[u8]) {
        self.shared
            .enter(|world| world.write_bar(self.index, offset, data));
    }

    fn reset(&self, cause: Reset) {
        self.shared.enter(|world| world.reset(self.index, cause));
    }
}
