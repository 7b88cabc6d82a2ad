// SPDX-License-Identifier: GPL-2.0
//! The guest's course of life: set up, run load and page writer, obey.

use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::device::Device;
use super::disk_job::DiskJob;
use super::mounts;
use super::network;
use super::page_set::PageSet;
use super::port::Port;
use super::writer::{Mapped, Step, Writer};
use crate::control::{Answer, Command};
use crate::stats::{DiskStats, PageStats, TrafficStats};
use crate::traffic::Traffic;
use crate::wire;

/// Pages that only the device writes.
const PAGES: usize = 64;
/// Pause between two page writes: fast enough to dirty all pages several times
/// while memory is copied, slow enough to leave the processor to others.
const WRITE_INTERVAL: Duration = Duration::from_millis(1);
/// How long devices may take to appear.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs until asked to power off.
pub fn run() -> Result<()> {
    mounts::mount_all()?;
    let mut port = until("the control port", Port::open)?;
    let device = until("the device under test", Device::find)?;
    let used = until("the device's driver", || {
        Use::of(&device).context("neither a network interface nor a disk")
    })?;
    if let Use::Network(interface) = &used {
        network::configure(interface, wire::GUEST, wire::PREFIX)?;
        println!("l2-guest: {interface} is up");
    }

    let pages = PageJob::start(Writer::new(
        Mapped::new(&device)?,
        PageSet::allocate(PAGES)?,
    ));
    let load = match used {
        Use::Network(_) => Load::Network(connect()?),
        Use::Disk(disk) => Load::Disk(DiskJob::start(&disk)?),
    };
    println!("l2-guest: at work");
    obey(&mut port, &load, &pages)
}

/// What the device under test is to the guest, by name.
enum Use {
    Network(String),
    Disk(String),
}

impl Use {
    /// Which it is, once the driver has made it.
    fn of(device: &Device) -> Option<Self> {
        device
            .netdev()
            .map(Use::Network)
            .or_else(|| device.disk().map(Use::Disk))
    }
}

/// What keeps the device busy.
enum Load {
    Network(Arc<Traffic>),
    Disk(DiskJob),
}

impl Load {
    fn traffic(&self) -> Result<&Traffic> {
        match self {
            Load::Network(traffic) => Ok(traffic),
            Load::Disk(_) => bail!("the device is a disk"),
        }
    }

    fn disk(&self) -> Result<&DiskJob> {
        match self {
            Load::Network(_) => bail!("the device is no disk"),
            Load::Disk(disk) => Ok(disk),
        }
    }

    fn mark(&self) {
        match self {
            Load::Network(traffic) => traffic.restart_gaps(),
            Load::Disk(disk) => disk.mark(),
        }
    }

    fn stats(&self) -> (TrafficStats, DiskStats) {
        match self {
            Load::Network(traffic) => (traffic.stats(), DiskStats::default()),
            Load::Disk(disk) => (TrafficStats::default(), disk.stats()),
        }
    }
}

/// Connects stream and datagrams to the peer.
fn connect() -> Result<Arc<Traffic>> {
    let stream = until("the peer", || {
        TcpStream::connect((wire::PEER, wire::STREAM_PORT)).context("connecting")
    })?;
    let probes = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("UDP socket")?;
    probes
        .connect((wire::PEER, wire::PROBE_PORT))
        .context("connecting the UDP socket")?;
    let traffic = Traffic::new();
    traffic.run_stream(stream)?;
    traffic.run_probes(probes)?;
    Ok(traffic)
}

/// Executes commands until the last one.
fn obey(port: &mut Port, load: &Load, pages: &PageJob) -> Result<()> {
    loop {
        let Some(request) = port.request()? else {
            // Nobody is connected, as it is for a moment after a migration.
            sleep(Duration::from_millis(20));
            continue;
        };
        let result = match request.command {
            Command::Status | Command::PowerOff => Ok(()),
            Command::Mark => {
                load.mark();
                Ok(())
            }
            Command::CheckPages => pages.check(),
            Command::RewritePages => pages.rewrite(),
            Command::StopTraffic => load.traffic().map(Traffic::stop),
            Command::CheckDisk => load.disk().and_then(DiskJob::check),
            Command::Unmount => load.disk().and_then(DiskJob::unmount),
        };
        let (traffic, disk) = load.stats();
        let answer = Answer {
            id: request.id,
            error: result.err().map(|error| format!("{error:#}")),
            traffic,
            pages: pages.stats(),
            disk,
        };
        if let Some(error) = &answer.error {
            println!("l2-guest: {:?}: {error}", request.command);
        }
        port.answer(&answer)?;
        if request.command == Command::PowerOff {
            return Ok(());
        }
    }
}

/// The page writer, working in a thread of its own.
struct PageJob {
    stop: Arc<AtomicBool>,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    writer: Writer<Mapped>,
    stats: PageStats,
}

impl PageJob {
    fn start(writer: Writer<Mapped>) -> Self {
        let stats = PageStats {
            pages: writer.pages().len(),
            ..PageStats::default()
        };
        let job = Self {
            stop: Arc::default(),
            shared: Arc::new(Mutex::new(Shared { writer, stats })),
        };
        let (stop, shared) = (Arc::clone(&job.stop), Arc::clone(&job.shared));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) && lock(&shared).step() {
                sleep(WRITE_INTERVAL);
            }
        });
        job
    }

    fn stats(&self) -> PageStats {
        lock(&self.shared).stats.clone()
    }

    /// Stops writing and looks at every word of every page.
    fn check(&self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        // The thread writes only while it holds the lock, and looks at `stop`
        // before it takes it: after one more step at most it is over.
        sleep(10 * WRITE_INTERVAL);
        let mut shared = lock(&self.shared);
        shared.look();
        let stats = &shared.stats;
        println!(
            "l2-guest: {} of {} pages stale{}",
            stats.stale.unwrap_or(0),
            stats.pages,
            stats
                .example
                .as_ref()
                .map_or(String::new(), |example| format!(" ({example})"))
        );
        ensure!(stats.writes > 0, "the device has written no page");
        Ok(())
    }

    /// Has the present device write every page once more, and looks again.
    fn rewrite(&self) -> Result<()> {
        ensure!(
            self.stop.load(Ordering::Relaxed),
            "the pages have not been checked yet"
        );
        let mut shared = lock(&self.shared);
        shared.writer.adopt();
        for _ in 0..shared.writer.pages().len() {
            if shared.writer.step()? == Step::Moved {
                bail!("the device changed while it wrote");
            }
        }
        shared.look();
        Ok(())
    }
}

impl Shared {
    /// One page write; false when there is to be no further one.
    fn step(&mut self) -> bool {
        let result = self.writer.step();
        self.stats.writes = self.writer.writes();
        match result {
            Ok(Step::Written) => true,
            Ok(Step::Moved) => {
                println!(
                    "l2-guest: on another device after {} page writes",
                    self.stats.writes
                );
                self.stats.moved = true;
                false
            }
            Err(error) => {
                self.stats.error = Some(format!("{error:#}"));
                false
            }
        }
    }

    fn look(&mut self) {
        let (stale, example) = self.writer.pages().stale();
        self.stats.writes = self.writer.writes();
        self.stats.stale = Some(stale);
        self.stats.example = example;
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // What a step that panicked left behind is still worth reporting.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tries until it works, for a while.
fn until<T>(what: &str, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("waiting for {what}")));
            }
            Err(_) => sleep(Duration::from_millis(50)),
        }
    }
}
