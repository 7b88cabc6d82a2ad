// SPDX-License-Identifier: GPL-2.0
//! A process that does anything with two functions, from several threads, until somebody
//! ends it. Whatever it is refused, it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use fastrand::Rng;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid, fork};
use vvp_harness::failslab::Failslab;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{
    BAR0, CONFIG, DataFd, Device, DmaBuffer, MSIX, Mapping, PAGE, Space, State,
};

use super::order::{Order, Part, one_of};
use super::tally::{Book, Event, Tally};
use crate::config::{Config, Driver};
use crate::rig;
use crate::states::SPECIFIED;

/// Descriptors kept open, of sessions old and new.
const KEPT: usize = 6;
/// A stream that has not ended by then has lost its end.
const LONGEST: usize = 1 << 20;
/// Bytes that are moved to or from device memory, each of which is a message to the bench.
const REGISTERS: usize = 48;
/// Allocations of one request, the longest one.
const ALLOCATIONS: usize = 40;

/// The first of the rows in which clients count.
pub const FIRST_ROW: u64 = 3;

/// Features that cost this process nothing, whatever is in their arguments: migration and
/// its parts, DMA logging, bus mastering, dma-bufs, and one that nobody has.
const FEATURES: [u32; 11] = [0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 4095];

/// What a client is started with.
pub struct Client<'a> {
    pub config: &'a Config,
    pub functions: &'a [Function; 2],
    pub order: &'a Order,
    pub book: &'a Book,
    pub failslab: &'a Failslab,
}

/// Starts one. The caller has one thread.
pub fn start(client: &Client<'_>) -> Result<Pid> {
    // SAFETY: the process has one thread, so the child may do whatever the parent may.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let _ = prctl::set_pdeathsig(Signal::SIGKILL);
            // Whoever is killed joins no thread, and would not notice.
            std::panic::set_hook(Box::new(|panic| {
                vvp_harness::note!("the client: {panic}");
                std::process::abort();
            }));
            let outcome = run(client);
            if let Err(error) = &outcome {
                vvp_harness::note!("the client: {error:#}");
            }
            std::process::exit(i32::from(outcome.is_err()))
        }
    }
}

fn run(client: &Client<'_>) -> Result<()> {
    let Client { order, book, .. } = client;
    let mut devices = Vec::new();
    for function in client.functions {
        let space = Arc::new(Space::new(order.access)?);
        devices.push(rig::open_in(client.config, function, Driver::Rs, &space)?);
    }
    // So that there is something to write from the beginning.
    let stream = rig::save(&devices[0])?;
    book.writer(FIRST_ROW)?.add(Event::Rounds);
    let over = AtomicBool::new(false);
    let results: Vec<_> = scope(|scope| {
        let workers: Vec<_> = (0..order.threads)
            .map(|thread| {
                let (devices, over) = (&devices[..], &over);
                let failslab = order.allocations.then_some(client.failslab);
                let stream = stream.clone();
                scope.spawn(move || -> Result<()> {
                    Worker {
                        devices,
                        failslab,
                        over,
                        stream,
                        // They may be going already.
                        registers: devices
                            .iter()
                            .flat_map(|device| device.map_region(BAR0))
                            .collect(),
                        memory: DmaBuffer::new(rig::DRIVER_IOVA, 16 * PAGE)?,
                        fds: Vec::new(),
                        random: order.random(Part::Client, thread),
                        tally: book.writer(FIRST_ROW + thread)?,
                    }
                    .work()
                })
            })
            .collect();
        std::thread::sleep(order.length);
        over.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join()).collect()
    });
    for result in results {
        result.map_err(|_| anyhow!("a thread panicked"))??;
    }
    Ok(())
}

/// A thread.
struct Worker<'a> {
    devices: &'a [Device],
    failslab: Option<&'a Failslab>,
    over: &'a AtomicBool,
    /// The latest whole one.
    stream: Vec<u8>,
    /// BAR 0 of each device.
    registers: Vec<Mapping>,
    memory: DmaBuffer,
    fds: Vec<DataFd>,
    random: Rng,
    tally: Tally,
}

impl Worker<'_> {
    fn work(&mut self) -> Result<()> {
        /// So long that a killer who does not come has been forgotten.
        const LONGEST: Duration = Duration::from_secs(120);
        let begun = Instant::now();
        while !self.over.load(Ordering::Relaxed) {
            ensure!(begun.elapsed() < LONGEST, "nobody ends this");
            self.step();
        }
        Ok(())
    }

    /// Does one thing, or a few that belong together.
    fn step(&mut self) {
        let device = self.random.usize(..self.devices.len());
        match self.random.usize(..64) {
            0..36 => {
                let mut state = one_of(&mut self.random, SPECIFIED);
                // Without a stream, that ends in ERROR.
                if state == State::Resuming && self.random.usize(..4) != 0 {
                    state = State::RunningP2p;
                }
                self.go(device, state);
            }
            36..40 => self.migrate(device, 1 - device),
            40..44 => self.read(),
            44..48 => self.write(),
            48..50 => self.through_registers(),
            50..53 => self.ask(device),
            53..55 => self.feature(device),
            55..57 => self.log(device),
            57 => self.regions(device),
            58 => self.interrupts(device),
            59 => self.map(device),
            60 => drop(self.fds.pop()),
            61 => self.hot_reset(device),
            _ => self.reset(device),
        }
    }

    /// A call to the kernel, in which now and then an allocation fails.
    fn call<R>(&mut self, call: impl FnOnce() -> R) -> R {
        let nth = match self.failslab {
            Some(_) if self.random.usize(..4) == 0 => 1 + self.random.usize(..ALLOCATIONS) as u32,
            _ => 0,
        };
        let Some(failslab) = self.failslab.filter(|_| nth > 0) else {
            return call();
        };
        let mut result = None;
        let mut call = Some(call);
        let failed = failslab.failing(nth, || result = call.take().map(|call| call()));
        if matches!(failed, Ok(((), true))) {
            self.tally.add(Event::FailedAllocations);
        }
        match (result, call) {
            (Some(result), _) => result,
            // It could not even be prepared.
            (None, Some(call)) => call(),
            (None, None) => unreachable!("a call without a result"),
        }
    }

    /// A change of state; the descriptor, if any, is kept. Says whether it succeeded.
    fn go(&mut self, device: usize, state: State) -> bool {
        let devices = self.devices;
        match self.call(|| devices[device].set_state(state)) {
            Ok(fd) => {
                self.tally.add(Event::Transitions);
                self.fds.extend(fd);
                if self.fds.len() > KEPT {
                    let at = self.random.usize(..KEPT);
                    drop(self.fds.remove(at));
                }
                true
            }
            Err(_) => {
                self.tally.add(Event::RefusedTransitions);
                // Only a reset leads out of ERROR. It takes a tenth of a second, so that it
                // would be most of what is done if it were done for nothing.
                let lost = matches!(devices[device].state(), Ok(State::Error) | Err(_));
                if lost || self.random.usize(..8) == 0 {
                    self.reset(device);
                }
                false
            }
        }
    }

    fn reset(&mut self, device: usize) {
        let devices = self.devices;
        if self.call(|| devices[device].reset()).is_ok() {
            self.tally.add(Event::Resets);
        }
    }

    /// Functions of one device are reset together, and the PF is somebody else's.
    fn hot_reset(&mut self, device: usize) {
        let devices = self.devices;
        self.tally.add(Event::Requests);
        if self.call(|| devices[device].hot_reset()).is_ok() {
            self.tally.add(Event::Resets);
        }
    }

    /// A migration as it should be, if the others leave it alone.
    fn migrate(&mut self, source: usize, target: usize) {
        let mut stream = Vec::new();
        if self.random.bool() {
            if !self.go(source, State::PreCopy) {
                return;
            }
            for _ in 0..self.random.usize(..4) {
                self.read_some(&mut stream);
                self.ask(source);
            }
        }
        if !self.go(source, State::StopCopy) {
            return;
        }
        while self.read_some(&mut stream) && stream.len() < LONGEST {}
        if !self.go(source, State::Stop) || !self.go(target, State::Resuming) {
            return;
        }
        if self.random.usize(..4) == 0 {
            self.damage(&mut stream);
        }
        let taken = self.write_all(&stream) && self.go(target, State::Stop);
        self.tally.add(match taken {
            true => Event::StreamsLoaded,
            false => Event::StreamsRefused,
        });
        if taken {
            self.go(target, State::Running);
        }
        // Others may have taken the source away before a byte of it was read, and have brought
        // the target to where it was to go.
        if taken && !stream.is_empty() {
            self.stream = stream;
        }
    }

    /// Reads from the newest descriptor; false at an end.
    fn read_some(&mut self, stream: &mut Vec<u8>) -> bool {
        let length = one_of(&mut self.random, &[1, 7, 64, 4096, 65536]);
        let Some(mut fd) = self.fds.pop() else {
            return false;
        };
        let mut bytes = vec![0; length];
        let read = self.call(|| fd.read_once(&mut bytes));
        self.fds.push(fd);
        self.tally.add(Event::Transfers);
        match read {
            Ok(length @ 1..) => {
                stream.extend_from_slice(&bytes[..length]);
                true
            }
            _ => false,
        }
    }

    /// Writes to the newest descriptor, in pieces.
    fn write_all(&mut self, mut bytes: &[u8]) -> bool {
        let Some(mut fd) = self.fds.pop() else {
            return false;
        };
        while !bytes.is_empty() {
            let length = one_of(&mut self.random, &[1, 7, 64, 4096, 65536]).min(bytes.len());
            self.tally.add(Event::Transfers);
            match self.call(|| fd.write_once(&bytes[..length])) {
                Ok(length @ 1..) => bytes = &bytes[length..],
                _ => break,
            }
        }
        self.fds.push(fd);
        bytes.is_empty()
    }

    /// Cuts a stream, turns some bits, or repeats a piece.
    fn damage(&mut self, stream: &mut Vec<u8>) {
        if stream.is_empty() {
            return;
        }
        let at = self.random.usize(..stream.len());
        match self.random.usize(..3) {
            0 => stream.truncate(at),
            1 => stream[at] ^= 1 << self.random.usize(..8),
            _ => stream.extend_from_within(at..),
        }
    }

    /// Reads from a descriptor, alive or dead, of whatever direction.
    fn read(&mut self) {
        if self.fds.is_empty() {
            return;
        }
        let at = self.random.usize(..self.fds.len());
        let mut bytes = vec![0; one_of(&mut self.random, &[0, 1, 13, 4096, 100_000])];
        let mut fd = self.fds.swap_remove(at);
        let _ = self.call(|| fd.read_once(&mut bytes));
        self.tally.add(Event::Transfers);
        self.fds.push(fd);
    }

    /// Writes to one.
    fn write(&mut self) {
        if self.fds.is_empty() {
            return;
        }
        let at = self.random.usize(..self.fds.len());
        let mut fd = self.fds.swap_remove(at);
        let start = self.random.usize(..self.stream.len());
        let end = start + self.random.usize(..self.stream.len() - start + 1);
        let stream = std::mem::take(&mut self.stream);
        let _ = self.call(|| fd.write_once(&stream[start..end]));
        self.stream = stream;
        self.tally.add(Event::Transfers);
        self.fds.push(fd);
    }

    /// Reads into a device's registers, or writes from there.
    fn through_registers(&mut self) {
        if self.fds.is_empty() || self.registers.is_empty() {
            return;
        }
        let at = self.random.usize(..self.fds.len());
        let fd = self.fds.swap_remove(at);
        let registers = self
            .registers
            .swap_remove(self.random.usize(..self.registers.len()));
        let _ = if self.random.bool() {
            self.call(|| fd.read_into(&registers, REGISTERS))
        } else {
            self.call(|| fd.write_from(&registers, REGISTERS))
        };
        self.registers.push(registers);
        self.fds.push(fd);
        self.tally.add(Event::TransfersByDeviceMemory);
    }

    /// Questions that have an answer at any time, and those that have none most of it.
    fn ask(&mut self, device: usize) {
        let device = &self.devices[device];
        self.tally.add(Event::Requests);
        match self.random.usize(..5) {
            0 => drop(self.call(|| device.state())),
            1 => drop(self.call(|| device.data_size())),
            2 => drop(self.call(|| device.precopy_v2())),
            _ => {
                if let Some(fd) = self.fds.pop() {
                    let size = one_of(&mut self.random, &[24, 24, 24, 23, 4096]);
                    let _ = self.call(|| fd.precopy_of_size(size));
                    let _ = fd.is_readable();
                    self.fds.push(fd);
                }
            }
        }
    }

    /// A feature with flags and a size that it may not have.
    fn feature(&mut self, device: usize) {
        let device = &self.devices[device];
        let access = one_of(
            &mut self.random,
            &[0, 1 << 16, 1 << 17, 1 << 18, 3 << 16, 7 << 16],
        );
        let flags = access | one_of(&mut self.random, &FEATURES);
        let size = one_of(&mut self.random, &[0, 7, 8, 9, 16, 24, 40, 64]);
        // No pointer in it leads to memory.
        let mut payload = [0; 56];
        payload[0] = self.random.usize(..9) as u8;
        self.tally.add(Event::Requests);
        let _ = self.call(|| device.feature(flags, size, &mut payload));
    }

    /// DMA logging, on or off.
    fn log(&mut self, device: usize) {
        let device = &self.devices[device];
        self.tally.add(Event::Requests);
        let length = (PAGE << self.random.usize(..12)) as u64;
        match self.random.usize(..4) {
            0 => drop(self.call(|| device.start_dma_log(4096, &[(rig::DRIVER_IOVA, length)]))),
            1 => drop(self.call(|| device.stop_dma_log())),
            _ => drop(self.call(|| device.read_dma_log(rig::DRIVER_IOVA, length, 4096))),
        }
    }

    /// Configuration space and registers as a driver accesses them, and with memory disabled.
    fn regions(&mut self, device: usize) {
        let device = &self.devices[device];
        self.tally.add(Event::Requests);
        let at = 4 * self.random.usize(..64) as u64;
        match self.random.usize(..4) {
            0 => drop(self.call(|| device.read_region(CONFIG, at, &mut [0; 4]))),
            1 => drop(self.call(|| device.read_region(BAR0, at, &mut [0; 4]))),
            2 => drop(self.call(|| device.disable_memory())),
            _ => drop(self.call(|| device.enable_bus_master())),
        }
    }

    fn interrupts(&mut self, device: usize) {
        let device = &self.devices[device];
        self.tally.add(Event::Requests);
        if self.random.bool() {
            drop(self.call(|| device.enable_interrupts(MSIX)));
        } else {
            let _ = self.call(|| device.disable_interrupts(MSIX));
        }
    }

    fn map(&mut self, device: usize) {
        let space = self.devices[device].space();
        let length = self.memory.len() as u64;
        self.tally.add(Event::Requests);
        if self.random.bool() {
            // Pinned, it stays as long as the space, or until it is unmapped.
            let _ = space.map(&self.memory);
        } else {
            let _ = self.call(|| space.unmap(rig::DRIVER_IOVA, length));
        }
    }
}
