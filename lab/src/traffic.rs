// SPDX-License-Identifier: GPL-2.0
//! The traffic that a migration must not harm: a TCP stream of numbered messages
//! both ways, and numbered datagrams both ways, of which a few may get lost.
//!
//! Guest and peer run the same code. Every direction has a thread of its own;
//! threads end with the process or with the connection.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::stats::{GapMeter, ProbeStats, Seen, StreamStats, TrafficStats};
use crate::wire::{MESSAGE_SIZE, PROBE_SIZE, Packet};

/// Time between two messages of the stream: the resolution of the gap seen.
const STREAM_INTERVAL: Duration = Duration::from_millis(10);
/// Time between two datagrams.
const PROBE_INTERVAL: Duration = Duration::from_millis(20);

/// How soon a closed end leaves its port.
const CLOSING: Duration = Duration::from_millis(200);

/// One end of the traffic, shared by its threads.
#[derive(Default)]
pub struct Traffic {
    stopped: AtomicBool,
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stats: TrafficStats,
    stream_gap: GapMeter,
    probe_gap: GapMeter,
    probes_seen: Seen,
    expected: u64,
}

impl Traffic {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Starts exchanging messages over a connected socket.
    pub fn run_stream(self: &Arc<Self>, socket: TcpStream) -> Result<()> {
        socket.set_nodelay(true).context("TCP_NODELAY")?;
        let outgoing = socket.try_clone().context("second handle of the stream")?;
        let sender = Arc::clone(self);
        thread::spawn(move || {
            if let Err(error) = sender.send_stream(outgoing) {
                sender.stream_ended("sending", &error);
            }
        });
        let receiver = Arc::clone(self);
        thread::spawn(move || {
            if let Err(error) = receiver.receive_stream(socket) {
                receiver.stream_ended("receiving", &error);
            }
        });
        Ok(())
    }

    /// Starts exchanging datagrams over a connected socket.
    pub fn run_probes(self: &Arc<Self>, socket: UdpSocket) -> Result<()> {
        let outgoing = socket
            .try_clone()
            .context("second handle of the datagrams")?;
        socket
            .set_read_timeout(Some(CLOSING))
            .context("time limit of the datagrams")?;
        let sender = Arc::clone(self);
        thread::spawn(move || sender.send_probes(&outgoing));
        let receiver = Arc::clone(self);
        thread::spawn(move || receiver.receive_probes(&socket));
        Ok(())
    }

    /// Stops sending. What is under way still arrives.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Stops, and soon leaves the port of the datagrams to others. For an end whose
    /// other end is gone.
    pub fn close(&self) {
        self.stop();
        self.closed.store(true, Ordering::Relaxed);
    }

    /// What was seen so far.
    pub fn stats(&self) -> TrafficStats {
        let state = self.lock();
        let mut stats = state.stats.clone();
        stats.stream.longest_gap_ms = state.stream_gap.longest_ms();
        stats.probes.longest_gap_ms = state.probe_gap.longest_ms();
        stats.probes.received = state.probes_seen.distinct();
        stats.probes.duplicates = state.probes_seen.duplicates();
        stats
    }

    /// Starts measuring gaps anew.
    pub fn restart_gaps(&self) {
        let mut state = self.lock();
        state.stream_gap.restart();
        state.probe_gap.restart();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counters stay meaningful even if a thread died holding them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn stream_ended(&self, doing: &str, error: &std::io::Error) {
        let mut state = self.lock();
        let stats: &mut StreamStats = &mut state.stats.stream;
        stats
            .error
            .get_or_insert_with(|| format!("{doing}: {error}"));
    }

    fn send_stream(&self, mut socket: TcpStream) -> std::io::Result<()> {
        let start = Instant::now();
        let mut number = 0;
        while !self.stopped() {
            socket.write_all(&packet::<MESSAGE_SIZE>(number, start).encode())?;
            number += 1;
            self.lock().stats.stream.sent = number;
            thread::sleep(STREAM_INTERVAL);
        }
        Ok(())
    }

    fn receive_stream(&self, mut socket: TcpStream) -> std::io::Result<()> {
        let mut bytes = [0; MESSAGE_SIZE];
        loop {
            socket.read_exact(&mut bytes)?;
            self.lock().message(&bytes, Instant::now());
        }
    }

    fn send_probes(&self, socket: &UdpSocket) {
        let start = Instant::now();
        let mut number = 0;
        while !self.stopped() {
            // A refused datagram is a lost one: numbered, and never received.
            let _ = socket.send(&packet::<PROBE_SIZE>(number, start).encode());
            number += 1;
            self.lock().stats.probes.sent = number;
            thread::sleep(PROBE_INTERVAL);
        }
    }

    fn receive_probes(&self, socket: &UdpSocket) {
        let mut bytes = [0; PROBE_SIZE + 1];
        while !self.closed.load(Ordering::Relaxed) {
            // Errors here are silence, or reports about datagrams sent before.
            match socket.recv(&mut bytes) {
                Ok(length) => self.lock().probe(&bytes[..length], Instant::now()),
                Err(_) => thread::sleep(PROBE_INTERVAL),
            }
        }
    }
}

impl State {
    fn message(&mut self, bytes: &[u8], now: Instant) {
        let stats = &mut self.stats.stream;
        stats.received += 1;
        self.stream_gap.note(now);
        match Packet::<MESSAGE_SIZE>::decode(bytes) {
            Ok(packet) => {
                if packet.number != self.expected {
                    stats.out_of_order += 1;
                }
                self.expected = packet.number + 1;
            }
            Err(_) => stats.corrupt += 1,
        }
    }

    fn probe(&mut self, bytes: &[u8], now: Instant) {
        self.probe_gap.note(now);
        match Packet::<PROBE_SIZE>::decode(bytes) {
            Ok(packet) => self.probes_seen.note(packet.number),
            Err(_) => {
                let stats: &mut ProbeStats = &mut self.stats.probes;
                stats.corrupt += 1;
            }
        }
    }
}

fn packet<const N: usize>(number: u64, start: Instant) -> Packet<N> {
    Packet {
        number,
        sent_ns: u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    fn wait_for(what: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !what() {
            assert!(Instant::now() < deadline, "traffic does not flow");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn stream_flows_both_ways_in_order() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other, _) = listener.accept().unwrap();
        let (left, right) = (Traffic::new(), Traffic::new());
        left.run_stream(one).unwrap();
        right.run_stream(other).unwrap();
        for end in [&left, &right] {
            wait_for(|| end.stats().stream.received >= 5);
            let stats = end.stats().stream;
            assert_eq!(
                (stats.out_of_order, stats.corrupt, stats.error),
                (0, 0, None)
            );
        }
    }

    #[test]
    fn datagrams_are_counted_once() {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (one, other) = (bind(), bind());
        one.connect(other.local_addr().unwrap()).unwrap();
        other.connect(one.local_addr().unwrap()).unwrap();
        let (left, right) = (Traffic::new(), Traffic::new());
        left.run_probes(one).unwrap();
        right.run_probes(other).unwrap();
        wait_for(|| left.stats().probes.received >= 3 && right.stats().probes.received >= 3);
        left.stop();
        let sent = left.stats().probes.sent;
        wait_for(|| right.stats().probes.received >= sent);
        assert_eq!(right.stats().probes.duplicates, 0);
    }

    #[test]
    fn a_closed_end_leaves_its_port() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        socket.connect(address).unwrap();
        let end = Traffic::new();
        end.run_probes(socket).unwrap();
        assert!(UdpSocket::bind(address).is_err());
        end.close();
        wait_for(|| UdpSocket::bind(address).is_ok());
    }

    #[test]
    fn skipped_and_corrupt_messages_are_noticed() {
        let mut state = State::default();
        let now = Instant::now();
        let message = |number| packet::<MESSAGE_SIZE>(number, now).encode();
        state.message(&message(0), now);
        state.message(&message(2), now);
        state.message(&[0; MESSAGE_SIZE], now);
        state.message(&message(3), now);
        let stats = &state.stats.stream;
        assert_eq!(
            (stats.received, stats.out_of_order, stats.corrupt),
            (4, 1, 1)
        );
    }

    #[test]
    fn a_closed_connection_is_reported() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other, _) = listener.accept().unwrap();
        let end = Traffic::new();
        end.run_stream(one).unwrap();
        drop(other);
        wait_for(|| end.stats().stream.error.is_some());
    }
}
