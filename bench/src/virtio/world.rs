// SPDX-License-Identifier: GPL-2.0
//! All that the machine's lock protects, and the work that crosses devices.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;
use vfio_bench_protocol::Choices;

use super::admin::faults::Action;
use super::admin::{Admin, COMMAND_HEADER, Command, REPLY_HEADER, Reach, Reply, opcode};
use super::blk::disk::Disk;
use super::chain::Chain;
use super::device::{Device, Request};
use super::host::HostSocket;
use super::kind::Frame;
use super::link::{Arrival, Link};
use super::switch::{Route, Switch, SwitchPort, announcement};
use crate::function::Reset;

/// The PF's place among the devices; VF n is at n.
pub const PF: usize = 0;

/// Commands that one run of the admin queue executes.
const ADMIN_BUDGET: usize = 64;
/// What a command may be longer than all parts of a device: headers, list.
const COMMAND_SLACK: usize = 64 * 1024;

/// A command of which the driver has not heard.
struct Parked {
    chain: Chain,
    outcome: Outcome,
    /// When the driver hears of it; `None` until it is released.
    due: Option<Instant>,
}

/// What has become of a command.
enum Outcome {
    /// It was executed.
    Done(Reply),
    /// It is yet to be executed: the command.
    Due(Vec<u8>),
}

pub struct World {
    pub devices: Vec<Device>,
    pub admin: Admin,
    /// Number of VFs that exist.
    pub enabled_vfs: usize,
    pub choices: Choices,
    /// What is behind block devices.
    pub disk: Option<Arc<Disk>>,
    switch: Switch,
    host: Option<Arc<HostSocket>>,
    link: Option<Arc<Link>>,
    /// Queues that were left with work, for the worker thread.
    backlog: VecDeque<(usize, u16)>,
    parked: Vec<Parked>,
}

impl World {
    pub fn new(
        devices: Vec<Device>,
        host: Option<Arc<HostSocket>>,
        link: Option<Arc<Link>>,
        admin: Admin,
        choices: Choices,
    ) -> Self {
        Self {
            devices,
            admin,
            enabled_vfs: 0,
            choices,
            disk: None,
            switch: Switch::default(),
            host,
            link,
            backlog: VecDeque::new(),
            parked: Vec::new(),
        }
    }

    pub fn read_bar(&mut self, index: usize, at: u64, data: &mut [u8]) {
        self.devices[index].read_bar(at, data);
    }

    pub fn write_bar(&mut self, index: usize, at: u64, data: &[u8]) {
        let request = self.devices[index].write_bar(at, data);
        self.follow(index, request);
    }

    /// Does what an access asked for.
    fn follow(&mut self, index: usize, request: Request) {
        match request {
            Request::Nothing => (),
            Request::Notify(queue) => self.notify(index, queue),
            Request::Start => self.start(index),
            Request::Reset => self.was_reset(index),
        }
    }

    /// A reset of the function.
    pub fn reset(&mut self, index: usize, cause: Reset) {
        debug!(device = self.devices[index].name(), ?cause, "reset");
        self.devices[index].reset_function();
        self.was_reset(index);
    }

    fn was_reset(&mut self, index: usize) {
        self.switch.forget(SwitchPort::Device(index));
        self.backlog.retain(|&(device, _)| device != index);
        if index == PF {
            self.admin.reset();
            self.parked.clear();
        }
    }

    /// Gives the disk another size, and tells all drivers.
    pub fn resize_disk(&mut self, bytes: u64) -> Result<(), String> {
        let disk = self.disk.as_ref().ok_or("no block devices here")?;
        disk.resize(bytes).map_err(|error| error.to_string())?;
        self.devices.iter_mut().for_each(Device::config_changed);
        Ok(())
    }

    /// The PF's SR-IOV capability now says that there are this many VFs.
    pub fn set_enabled_vfs(&mut self, count: usize) {
        self.enabled_vfs = count.min(self.devices.len() - 1);
        self.admin.objects.keep_members(self.enabled_vfs as u64);
    }

    /// The device came up or left STOPPED mode: look at all that waits for it.
    fn start(&mut self, index: usize) {
        let device = &mut self.devices[index];
        device.start_rings();
        if !device.running() {
            return;
        }
        if let Some(mac) = device.mac().filter(|_| !self.choices.no_mac_learning) {
            self.switch.learn(mac, SwitchPort::Device(index));
            if let Some(link) = &self.link {
                link.send(&announcement(mac));
            }
        }
        for queue in 0..self.devices[index].common().queues.len() {
            self.notify(index, queue as u16);
        }
    }

    fn notify(&mut self, index: usize, queue: u16) {
        if index == PF && self.devices[PF].admin_queue() == Some(queue) {
            return self.run_admin(queue);
        }
        let outcome = self.devices[index].service(queue);
        if outcome.more {
            self.backlog.push_back((index, queue));
        }
        self.forward(SwitchPort::Device(index), &outcome.sent);
    }

    /// Does some of the work that was left; false if there was none.
    pub fn work(&mut self) -> bool {
        let Some((index, queue)) = self.backlog.pop_front() else {
            return false;
        };
        self.notify(index, queue);
        true
    }

    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Sends frames from a port to wherever they go.
    pub fn forward(&mut self, from: SwitchPort, frames: &[Frame]) {
        let mut inboxes: Vec<Vec<&[u8]>> = vec![Vec::new(); self.devices.len()];
        for frame in frames {
            let route = self.switch.route(from, frame);
            for (index, inbox) in inboxes.iter_mut().enumerate() {
                let port = SwitchPort::Device(index);
                let device = &self.devices[index];
                let wanted = match route {
                    Route::To(target) => target == port,
                    // A device that nobody uses loses nothing.
                    Route::Flood => port != from && (device.running() || device.stopped()),
                    Route::Nowhere => false,
                };
                if wanted && device.accepts(frame) {
                    inbox.push(frame);
                }
            }
            let goes_to = |port| match route {
                Route::To(target) => target == port,
                Route::Flood => from != port,
                Route::Nowhere => false,
            };
            if let Some(host) = self.host.as_ref().filter(|_| goes_to(SwitchPort::Host)) {
                host.send(frame);
            }
            if let Some(link) = self.link.as_ref().filter(|_| goes_to(SwitchPort::Link)) {
                link.send(frame);
            }
        }
        for (device, inbox) in self.devices.iter_mut().zip(&inboxes) {
            if !inbox.is_empty() {
                device.receive(inbox);
            }
        }
    }

    /// Something has come from the other bench.
    pub fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Frame(frame) => self.forward(SwitchPort::Link, &[frame]),
            Arrival::Gone => self.switch.forget(SwitchPort::Link),
        }
    }

    /// The link to another bench, if there is to be one.
    pub fn link(&self) -> Option<&Link> {
        self.link.as_deref()
    }

    /// Executes commands from the administration virtqueue.
    fn run_admin(&mut self, queue: u16) {
        let longest = self
            .devices
            .iter()
            .map(Device::max_saved)
            .max()
            .unwrap_or_default();
        let limit = COMMAND_HEADER + longest + COMMAND_SLACK;
        for _ in 0..ADMIN_BUDGET {
            let taken = self.devices[PF].run(|device, mem| {
                let Some(ring) = device.ring_mut(queue) else {
                    return Ok(None);
                };
                let chain = match ring.pop(mem)? {
                    Some(chain) => chain,
                    // Somebody may have been faster than the wish to be notified.
                    None if ring.wait(mem)? => match ring.pop(mem)? {
                        Some(chain) => chain,
                        None => return Ok(None),
                    },
                    None => return Ok(None),
                };
                let request = chain.read(mem, limit)?;
                Ok(Some((chain, request)))
            });
            let Some(Some((chain, request))) = taken else {
                return;
            };
            self.admin_command(queue, chain, &request);
        }
        self.backlog.push_back((PF, queue));
    }

    fn admin_command(&mut self, queue: u16, chain: Chain, request: &[u8]) {
        let command = Command::parse(request, chain.readable() > request.len() as u64);
        let action = self.admin.faults.strike(command.opcode, command.member);
        if let Some(Action::Late(delay)) = action {
            self.parked.push(Parked {
                chain,
                outcome: Outcome::Due(request.to_vec()),
                due: Instant::now().checked_add(delay),
            });
            return;
        }
        let mut reply = match action {
            Some(Action::Fail(status)) => {
                *self.admin.counters.entry(command.opcode).or_default() += 1;
                Reply::failed(status)
            }
            _ => self.execute(command, &chain),
        };
        debug!(?command.opcode, command.group, command.member, ?reply.status, ?action, "admin");
        let due = match action {
            Some(Action::Delay(delay)) => Instant::now().checked_add(delay),
            Some(Action::Silence) => None,
            Some(Action::ResultFill(byte)) => {
                reply.result.fill(byte);
                return self.complete(queue, &chain, &reply);
            }
            Some(Action::ResultSize(size)) => {
                resize(command.opcode, &mut reply, size);
                return self.complete(queue, &chain, &reply);
            }
            Some(Action::Withhold(size)) => {
                let claimed = reply.size() as u32;
                reply.result.truncate(size as usize);
                return self.complete_as(queue, &chain, &reply, claimed);
            }
            _ => return self.complete(queue, &chain, &reply),
        };
        let outcome = Outcome::Done(reply);
        self.parked.push(Parked {
            chain,
            outcome,
            due,
        });
    }

    /// Executes a command, and does what follows from it.
    fn execute(&mut self, command: Command, chain: &Chain) -> Reply {
        let members = &mut self.devices[1..=self.enabled_vfs];
        let room = chain.writable().saturating_sub(REPLY_HEADER as u64);
        let reply = self.admin.execute(command, Reach { members, room });
        if let Some((vf, request)) = reply.request {
            self.follow(vf + 1, request);
        }
        reply
    }

    /// Lets the driver have a reply.
    fn complete(&mut self, queue: u16, chain: &Chain, reply: &Reply) {
        self.complete_as(queue, chain, reply, 0);
    }

    /// Lets the driver have a reply, of at least `claimed` bytes if it is to be believed.
    fn complete_as(&mut self, queue: u16, chain: &Chain, reply: &Reply, claimed: u32) {
        let wanted = self.devices[PF].run(|device, mem| {
            let Some(ring) = device.ring_mut(queue) else {
                return Ok(false);
            };
            chain.write_at(mem, 0, &reply.status.bytes())?;
            chain.write_at(mem, REPLY_HEADER as u64, &reply.result)?;
            // Replies are far smaller than 4 GiB: the largest has all parts of a device.
            let written = chain.writable().min(reply.size() as u64) as u32;
            ring.publish(mem, &[(chain.head(), written.max(claimed))])?;
            ring.wants_interrupt(mem)
        });
        if wanted == Some(true) {
            self.devices[PF].signal(queue);
        }
    }

    /// Completes the parked commands and the requests whose time has come.
    pub fn complete_due(&mut self, now: Instant) {
        for device in &mut self.devices {
            device.finish(Some(now));
        }
        let is_due = |parked: &Parked| parked.due.is_some_and(|due| due <= now);
        let (due, rest) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(is_due);
        self.parked = rest;
        self.complete_all(due);
    }

    /// Completes silenced commands.
    pub fn release(&mut self) {
        let is_silent = |parked: &Parked| parked.due.is_none();
        let (silent, rest) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(is_silent);
        self.parked = rest;
        self.complete_all(silent);
    }

    fn complete_all(&mut self, parked: Vec<Parked>) {
        let Some(queue) = self.devices[PF].admin_queue() else {
            return;
        };
        for Parked { chain, outcome, .. } in parked {
            let reply = match outcome {
                Outcome::Done(reply) => reply,
                Outcome::Due(request) => {
                    let truncated = chain.readable() > request.len() as u64;
                    self.execute(Command::parse(&request, truncated), &chain)
                }
            };
            self.complete(queue, &chain, &reply);
        }
    }

    /// How long nothing will be due.
    pub fn idle(&self, now: Instant) -> Option<Duration> {
        let commands = self.parked.iter().filter_map(|parked| parked.due);
        let requests = self.devices.iter().filter_map(Device::due);
        let next = commands.chain(requests).min()?;
        Some(next.saturating_duration_since(now))
    }
}

/// Makes a result as long as the test wants it, or say so.
fn resize(command: u16, reply: &mut Reply, size: u32) {
    if command == opcode::DEV_PARTS_METADATA_GET && reply.result.len() >= 4 {
        reply.result[..4].copy_from_slice(&size.to_le_bytes());
    } else {
        reply.result.resize(size as usize, 0);
    }
}
