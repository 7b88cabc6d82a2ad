// SPDX-License-Identifier: GPL-2.0
//! Transmit and receive queues.

use std::collections::VecDeque;

use super::ahead::Ahead;
use super::checksum;
use super::steering::Steering;
use crate::iommu::DmaMemory;
use crate::virtio::bytes::u16_at;
use crate::virtio::chain::{Chain, RingError};
use crate::virtio::features::{NET_CSUM, NET_MRG_RXBUF, VERSION_1};
use crate::virtio::kind::Session;
use crate::virtio::queue::Ring;

/// `struct virtio_net_hdr` without its optional fields.
const HEADER: usize = 12;
const NUM_BUFFERS: usize = 10;

/// Length of the header in front of a frame. For a legacy driver that does not
/// merge buffers it ends before their number (virtio 1.4, 5.1.6.1).
fn header_len(features: u64) -> usize {
    if features & (VERSION_1 | NET_MRG_RXBUF) != 0 {
        HEADER
    } else {
        NUM_BUFFERS
    }
}

/// Header flag: the driver wants the checksum completed. Bits
/// that a device does not know it must ignore (virtio 1.4, 5.1.9.2.1).
const NEEDS_CSUM: u8 = 1;

const MIN_FRAME: usize = 14;
/// An IPv4 packet of the largest size in a frame with a VLAN tag.
const MAX_FRAME: usize = 18 + 65535;

/// Buffers that one run takes before it lets others have their turn.
const BUDGET: usize = 256;

/// Takes frames from a transmit queue; true if some are left.
pub fn transmit(queue: u16, session: &mut Session) -> Result<bool, RingError> {
    let mem = session.mem;
    let features = session.features;
    let header = header_len(features);
    let Some(ring) = session
        .rings
        .get_mut(usize::from(queue))
        .and_then(Option::as_mut)
    else {
        return Ok(false);
    };
    let mut used = Vec::new();
    let mut taken = 0;
    let result = loop {
        if taken == BUDGET {
            break Ok(true);
        }
        match ring
            .pop(mem)
            .and_then(|chain| chain.map(|c| frame(mem, c, header, features)).transpose())
        {
            Ok(Some((head, frame))) => {
                taken += 1;
                used.push((head, 0));
                match frame {
                    Some(frame) => {
                        session.counters.tx_frames += 1;
                        session.counters.tx_bytes += frame.len() as u64;
                        session.sent.push(frame);
                    }
                    None => session.counters.tx_dropped += 1,
                }
            }
            Ok(None) => match ring.wait(mem) {
                Ok(false) => break Ok(false),
                Ok(true) => continue,
                Err(error) => break Err(error),
            },
            Err(error) => break Err(error),
        }
    };
    ring.publish(mem, &used)?;
    if ring.wants_interrupt(mem)? {
        session.signal.push(queue);
    }
    result
}

/// The frame in a transmit buffer, unless the driver asks for what was not
/// offered or the frame is of no possible size.
fn frame(
    mem: &DmaMemory,
    chain: Chain,
    header: usize,
    features: u64,
) -> Result<(u16, Option<Vec<u8>>), RingError> {
    if chain.writable() != 0 {
        return Err(RingError::Malformed(
            "writable descriptor in a transmit queue",
        ));
    }
    let whole = chain.readable();
    if whole < header as u64 {
        return Err(RingError::Malformed("transmit buffer without a header"));
    }
    if !((header + MIN_FRAME) as u64..=(header + MAX_FRAME) as u64).contains(&whole) {
        return Ok((chain.head(), None));
    }
    let mut data = chain.read(mem, header + MAX_FRAME)?;
    let [start, offset] = [6, 8].map(|at| u16_at(&data, at));
    let unsummed = data[0] & NEEDS_CSUM != 0;
    // Then the type of segmentation.
    let mut good = data[1] == 0;
    data.drain(..header);
    if unsummed {
        good &= features & NET_CSUM != 0 && checksum::complete(&mut data, start, offset);
    }
    Ok((chain.head(), good.then_some(data)))
}

/// Puts frames into receive buffers. A frame for which there is no room is
/// dropped, and the buffers stay with the driver's ring.
pub fn receive(
    pairs: u16,
    steering: &Steering,
    ahead: &mut Ahead,
    frames: &[&[u8]],
    session: &mut Session,
) -> Result<(), RingError> {
    let features = session.features;
    let mut touched = vec![false; usize::from(pairs)];
    let mut result = Ok(());
    for frame in frames {
        let pair = usize::from(steering.pair(frame, pairs));
        let Some(ring) = session.rings.get_mut(2 * pair).and_then(Option::as_mut) else {
            session.counters.rx_dropped += 1;
            continue;
        };
        match deliver(ring, ahead.of(pair), session.mem, frame, features) {
            Ok(true) => {
                touched[pair] = true;
                session.counters.rx_frames += 1;
                session.counters.rx_bytes += frame.len() as u64;
            }
            Ok(false) => session.counters.rx_dropped += 1,
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    for (pair, _) in touched.iter().enumerate().filter(|&(_, &touched)| touched) {
        if let Some(ring) = session.rings[2 * pair].as_mut() {
            if ring.wants_interrupt(session.mem)? {
                session.signal.push(2 * pair as u16);
            }
        }
    }
    result
}

/// Puts one frame into a ring; false if it does not fit.
fn deliver(
    ring: &mut Ring,
    ahead: &mut VecDeque<Chain>,
    mem: &DmaMemory,
    frame: &[u8],
    features: u64,
) -> Result<bool, RingError> {
    let merge = features & NET_MRG_RXBUF != 0;
    let header = header_len(features);
    let needed = (header + frame.len()) as u64;
    let mut chains = Vec::new();
    let mut new = 0;
    let mut room = 0;
    while room < needed && (merge || chains.is_empty()) {
        let chain = match ahead.pop_front() {
            Some(chain) => chain,
            None => match ring.pop(mem)? {
                Some(chain) => {
                    new += 1;
                    chain
                }
                None => break,
            },
        };
        if chain.readable() != 0 {
            return Err(RingError::Malformed(
                "readable descriptor in a receive queue",
            ));
        }
        if chains.is_empty() && chain.writable() < header as u64 {
            return Err(RingError::Malformed(
                "receive buffer too small for a header",
            ));
        }
        room += chain.writable();
        chains.push(chain);
    }
    if room < needed {
        ring.unpop(new);
        chains.truncate(chains.len() - new);
        chains
            .into_iter()
            .rev()
            .for_each(|chain| ahead.push_front(chain));
        return Ok(false);
    }
    let mut packet = vec![0; HEADER];
    packet[NUM_BUFFERS..].copy_from_slice(&(chains.len() as u16).to_le_bytes());
    packet.truncate(header);
    packet.extend(frame);
    let mut used = Vec::with_capacity(chains.len());
    let mut rest = packet.as_slice();
    for chain in &chains {
        let written = chain.write(mem, rest)?;
        rest = &rest[written as usize..];
        used.push((chain.head(), written));
    }
    ring.publish(mem, &used)?;
    Ok(true)
}
