// SPDX-License-Identifier: GPL-2.0
//! What the guest does with one of its functions.

use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::device::Device;
use super::disk_job::DiskJob;
use super::network;
use super::page_job::PageJob;
use super::page_set::PageSet;
use super::patience::until;
use super::writer::{Mapped, Writer};
use crate::control::Command;
use crate::stats::{DiskStats, PageStats, TrafficStats};
use crate::traffic::Traffic;
use crate::wire;

/// Pages that only the device writes.
const PAGES: usize = 64;

/// A function at work.
pub struct Worker {
    load: Load,
    /// None if the device is to write none.
    pages: Option<PageJob>,
}

impl Worker {
    /// Puts `device`, which is function `index` of the guest, to work.
    pub fn start(device: &Device, index: usize, writes_pages: bool) -> Result<Self> {
        let used = until("the device's driver", || {
            Use::of(device).context("neither a network interface nor a disk")
        })?;
        if let Use::Network(interface) = &used {
            network::configure(interface, wire::guest(index), wire::PREFIX)?;
            println!("l2-guest: {interface} is up");
        }
        let pages = if writes_pages {
            let writer = Writer::new(Mapped::new(device)?, PageSet::allocate(PAGES)?);
            Some(PageJob::start(writer))
        } else {
            None
        };
        let load = match used {
            Use::Network(_) => Load::Network(connect(index)?),
            Use::Disk(disk) => Load::Disk(DiskJob::start(&disk)?),
        };
        Ok(Self { load, pages })
    }

    /// Does what `command` asks for.
    pub fn execute(&self, command: Command) -> Result<()> {
        let pages = || self.pages.as_ref().context("the device writes no pages");
        match command {
            Command::Status | Command::LoadDriver | Command::PowerOff => {
                bail!("{command:?} is not for one function")
            }
            Command::Mark => {
                self.load.mark();
                Ok(())
            }
            Command::CheckPages => pages()?.check(),
            Command::RewritePages => pages()?.rewrite(),
            Command::WritePages => pages()?.resume(),
            Command::StopTraffic => self.load.traffic().map(Traffic::stop),
            Command::CheckDisk => self.load.disk().and_then(DiskJob::check),
            Command::Unmount => self.load.disk().and_then(DiskJob::unmount),
        }
    }

    /// All that is known of it.
    pub fn stats(&self) -> (TrafficStats, DiskStats, PageStats) {
        let (traffic, disk) = self.load.stats();
        let pages = self.pages.as_ref().map(PageJob::stats).unwrap_or_default();
        (traffic, disk, pages)
    }
}

/// What a function is to the guest, by name.
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

/// Connects stream and datagrams to the peer of function `index`.
fn connect(index: usize) -> Result<Arc<Traffic>> {
    let peer = wire::peer(index);
    let stream = until("the peer", || {
        TcpStream::connect((peer, wire::STREAM_PORT)).context("connecting")
    })?;
    let probes = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("UDP socket")?;
    probes
        .connect((peer, wire::PROBE_PORT))
        .context("connecting the UDP socket")?;
    let traffic = Traffic::new();
    traffic.run_stream(stream)?;
    traffic.run_probes(probes)?;
    Ok(traffic)
}
