// SPDX-License-Identifier: GPL-2.0
//! A legacy driver at work: frames, interrupts, and migration under it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use vvp_harness::net::{Io, LegacyDriver, Peer, RX_VECTOR, Sequence, TX_VECTOR, register};
use vvp_harness::pci::COMMAND;
use vvp_harness::vfio::{Access, Device, DmaBuffer, Interrupts, MSIX, Space, State};
use vvp_harness::{expect_eq, wait};

use crate::config::{Config, Driver};
use crate::rig;

/// How long a frame or an interrupt may be on its way.
const FLIGHT: Duration = Duration::from_secs(20);

/// A legacy driver and its peer on the PF.
pub struct Talk<'a> {
    net: LegacyDriver<'a>,
    peer: Peer,
    next: u64,
    seen_by_peer: Sequence,
    seen_by_net: Sequence,
}

impl<'a> Talk<'a> {
    pub fn start(config: &Config, device: &'a Device, msix: bool, merge: bool) -> Result<Self> {
        let peer = Peer::on(&config.pf_interface(&config.vf()?)?)?;
        let memory = DmaBuffer::new(rig::DRIVER_IOVA, LegacyDriver::MEMORY)?;
        device.space().map(&memory)?;
        Ok(Self {
            net: LegacyDriver::start(device, Rc::new(memory), msix, merge)?,
            peer,
            next: 0,
            seen_by_peer: Sequence::default(),
            seen_by_net: Sequence::default(),
        })
    }

    fn send_to_peer(&mut self) -> Result<()> {
        self.net.send(self.peer.mac(), self.next)?;
        let frame = self.peer.receive(FLIGHT)?;
        let frame = frame.with_context(|| format!("frame {} at the peer", self.next))?;
        self.seen_by_peer.take(&frame)
    }

    fn send_to_net(&mut self) -> Result<()> {
        self.peer.send(self.net.mac(), self.next)?;
        let what = format!("frame {} at the driver", self.next);
        let frame = wait::until(&what, FLIGHT, || self.net.receive())?;
        self.seen_by_net.take(&frame)
    }

    /// Sends `count` frames each way; none may be lost, repeated or damaged.
    pub fn exchange(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            self.send_to_peer()?;
            self.send_to_net()?;
            self.next += 1;
        }
        let missing = self.seen_by_peer.missing() + self.seen_by_net.missing();
        expect_eq!(missing, 0, "frames lost");
        Ok(())
    }
}

/// Frames, and what the ISR status says of them.
pub fn frames_without_msix(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let device = rig::open(config, &config.vf()?, driver, access)?;
    let mut talk = Talk::start(config, &device, false, false)?;
    let io = Io(&device);
    expect_eq!(io.get8(register::DEVICE_STATUS)?, 7, "device status");
    talk.exchange(20)?;
    expect_eq!(io.get8(register::ISR_STATUS)?, 1, "ISR status after frames");
    expect_eq!(io.get8(register::ISR_STATUS)?, 0, "ISR status once read");
    device.reset().context("VFIO_DEVICE_RESET")?;
    io.enable()?;
    expect_eq!(io.get8(register::DEVICE_STATUS)?, 0, "status after a reset");
    Ok(())
}

fn exchange_with_msix(
    config: &Config,
    device: &Device,
    interrupts: &Interrupts,
    merge: bool,
) -> Result<()> {
    let mut talk = Talk::start(config, device, true, merge)?;
    talk.send_to_peer()?;
    interrupts.wait(usize::from(TX_VECTOR), FLIGHT)?;
    talk.send_to_net()?;
    interrupts.wait(usize::from(RX_VECTOR), FLIGHT)?;
    talk.next += 1;
    talk.exchange(20)
}

pub fn frames_with_msix(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let device = rig::open(config, &config.vf()?, driver, access)?;
    let interrupts = device.enable_interrupts(MSIX)?;
    exchange_with_msix(config, &device, &interrupts, false)?;
    // The registers move when MSI-X goes.
    let io = Io(&device);
    let mac: [u8; 6] = io.get(register::CONFIG_MSIX)?;
    device.disable_interrupts(MSIX)?;
    expect_eq!(io.get(register::CONFIG)?, mac, "hardware address");
    Ok(())
}

pub fn merged_buffers(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let device = rig::open(config, &config.vf()?, driver, access)?;
    let interrupts = device.enable_interrupts(MSIX)?;
    exchange_with_msix(config, &device, &interrupts, true)
}

/// A legacy driver in use is moved to another function, and goes on.
pub fn migration(config: &Config, from: Driver, to: Driver) -> Result<()> {
    let space = Arc::new(Space::new(Access::Cdev)?);
    let source = rig::open_in(config, &config.vf()?, from, &space)?;
    let target = rig::open_in(config, &config.vf2()?, to, &space)?;
    let interrupts = source.enable_interrupts(MSIX)?;
    let mut talk = Talk::start(config, &source, true, false)?;
    talk.exchange(10)?;
    let stream = rig::save(&source)?;
    source.go(State::Stop)?;
    // What a VMM restores of configuration space and interrupts.
    Io(&target).enable()?;
    target.enable_bus_master()?;
    let mut command = [0; 2];
    target.config(COMMAND, &mut command)?;
    expect_eq!(command[0] & 7, 7, "COMMAND of the target");
    target.route_interrupts(MSIX, &interrupts)?;
    rig::load(&target, &stream)?;
    target.go(State::Running)?;
    talk.net.move_to(&target)?;
    talk.exchange(10)?;
    let io = Io(&target);
    expect_eq!(io.get8(register::DEVICE_STATUS)?, 7, "device status");
    // The source gets its own state back.
    rig::recover(&source)?;
    Io(&source).enable()?;
    let status = Io(&source).get8(register::DEVICE_STATUS)?;
    expect_eq!(status, 0, "status of the source after a reset");
    talk.exchange(5)
}
