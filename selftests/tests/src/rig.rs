// SPDX-License-Identifier: GPL-2.0
//! What most tests start from: functions bound and opened, memory mapped, a
//! driver that talks to a peer.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vvp_harness::net::{Mac, NetDriver, Peer, Sequence};
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Access, DataFd, Device, DmaBuffer, Interrupts, MSIX, Space, State};
use vvp_harness::{expect_eq, wait};

use crate::config::{Config, Driver};

/// Device address of the driver's memory.
pub const DRIVER_IOVA: u64 = 0x4000_0000;

/// How long a frame may be on its way.
const FLIGHT: Duration = Duration::from_secs(20);

/// The address the driver takes, so that the migrated state holds one that is
/// not the target's own.
pub const DRIVER_MAC: Mac = [0x02, 0x76, 0x76, 0x70, 0x00, 0x01];

/// Binds and opens `function` in a new address space.
pub fn open(
    config: &Config,
    function: &Function,
    driver: Driver,
    access: Access,
) -> Result<Device> {
    open_in(config, function, driver, &Arc::new(Space::new(access)?))
}

/// Binds and opens `function` in `space`, reset and RUNNING.
pub fn open_in(
    config: &Config,
    function: &Function,
    driver: Driver,
    space: &Arc<Space>,
) -> Result<Device> {
    config.bind(function, driver)?;
    let device = Device::open(function, space)?;
    device.reset().context("VFIO_DEVICE_RESET")?;
    Ok(device)
}

/// A virtio-net driver on an open function, and its peer on the PF.
pub struct Talk {
    pub net: NetDriver,
    pub interrupts: Interrupts,
    peer: Peer,
    /// Number of the next frame in either direction.
    to_peer: u64,
    to_net: u64,
    seen_by_peer: Sequence,
    seen_by_net: Sequence,
    /// Frames to the driver that may be missing.
    forgiven: u64,
}

impl Talk {
    /// Starts a driver on `device` and finds it a peer.
    pub fn start(config: &Config, function: &Function, device: &Device) -> Result<Self> {
        config.require_net(function)?;
        let peer = Peer::on(&config.pf_interface(function)?)?;
        let memory = Rc::new(DmaBuffer::new(DRIVER_IOVA, NetDriver::MEMORY)?);
        device.space().map(&memory)?;
        let interrupts = device.enable_interrupts(MSIX)?;
        let mut net = NetDriver::start(device, memory)?;
        net.set_mac(DRIVER_MAC)?;
        Ok(Self {
            net,
            interrupts,
            peer,
            to_peer: 0,
            to_net: 0,
            seen_by_peer: Sequence::default(),
            seen_by_net: Sequence::default(),
            forgiven: 0,
        })
    }

    /// Sends `count` frames each way, one at a time; none may be lost, repeated or damaged.
    pub fn exchange(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            self.send_to_peer()?;
            self.expect_at_peer()?;
            self.send_to_net()?;
            self.expect_at_net()?;
        }
        Ok(())
    }

    /// The driver sends a frame.
    pub fn send_to_peer(&mut self) -> Result<()> {
        self.net.send(self.peer.mac(), self.to_peer)?;
        self.to_peer += 1;
        Ok(())
    }

    /// The driver puts a frame into its ring and tells nobody.
    pub fn enqueue_to_peer(&mut self) -> Result<()> {
        self.net.enqueue(self.peer.mac(), self.to_peer)?;
        self.to_peer += 1;
        Ok(())
    }

    /// The peer sends a frame.
    pub fn send_to_net(&mut self) -> Result<()> {
        self.peer.send(self.net.mac(), self.to_net)?;
        self.to_net += 1;
        Ok(())
    }

    /// The peer must get everything the driver has sent.
    pub fn expect_at_peer(&mut self) -> Result<()> {
        while self.seen_by_peer.next() < self.to_peer {
            let frame = self.peer.receive(FLIGHT)?.with_context(|| {
                format!("frame {} did not reach the peer", self.seen_by_peer.next())
            })?;
            self.seen_by_peer.take(&frame)?;
        }
        expect_eq!(
            self.seen_by_peer.missing(),
            0,
            "frames lost on the way to the peer"
        );
        Ok(())
    }

    /// The driver must get everything the peer has sent.
    pub fn expect_at_net(&mut self) -> Result<()> {
        let missing = self.expect_latest_at_net()?;
        expect_eq!(missing, 0, "frames lost on the way to the driver");
        Ok(())
    }

    /// The driver must get the latest frame of the peer. Returns how many before
    /// it were lost; nobody will ask for them again.
    pub fn expect_latest_at_net(&mut self) -> Result<u64> {
        while self.seen_by_net.next() < self.to_net {
            let number = self.seen_by_net.next();
            let frame = wait::until(&format!("frame {number} at the driver"), FLIGHT, || {
                self.net.receive()
            })?;
            self.seen_by_net.take(&frame)?;
        }
        let missing = self.seen_by_net.missing() - self.forgiven;
        self.forgiven += missing;
        Ok(missing)
    }

    /// Nothing more may have arrived anywhere.
    pub fn expect_silence(&mut self) -> Result<()> {
        let late = self.peer.receive(Duration::from_millis(50))?;
        ensure!(late.is_none(), "the peer got a frame too many: {late:?}");
        let late = self.net.receive()?;
        ensure!(late.is_none(), "the driver got a frame too many: {late:?}");
        Ok(())
    }
}

/// Stops `device` and reads its whole state; it stays in STOP_COPY.
pub fn save(device: &Device) -> Result<Vec<u8>> {
    let mut fd = device.begin(State::StopCopy)?;
    fd.read_all()
}

/// Loads `stream` into `device`, which ends in STOP.
pub fn load(device: &Device, stream: &[u8]) -> Result<()> {
    let mut fd = resume(device)?;
    fd.write_all(stream).context("writing the stream")?;
    device.go(State::Stop).context("after the whole stream")
}

/// Begins to load `device`.
pub fn resume(device: &Device) -> Result<DataFd> {
    device.begin(State::Resuming)
}

/// Resets `device`, which must be RUNNING and migratable afterwards, whatever it was.
pub fn recover(device: &Device) -> Result<()> {
    device.reset().context("VFIO_DEVICE_RESET")?;
    expect_eq!(device.state()?, State::Running, "state after a reset");
    Ok(())
}

/// Proves that `device` works: saves it, loads it with that, and runs it.
pub fn prove_migration(device: &Device) -> Result<()> {
    let stream = save(device)?;
    device.go(State::Stop)?;
    load(device, &stream)?;
    device.go(State::Running)
}
