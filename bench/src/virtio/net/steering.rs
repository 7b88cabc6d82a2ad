// SPDX-License-Identifier: GPL-2.0
//! Which receive queue a frame goes to (virtio 1.4, 5.1.9.5.6): that of the pair on
//! which its flow was last sent; what was never sent is spread over the pairs.
//!
//! Like a NIC's, the table of flows has a fixed size: flows that share an entry
//! share a queue. It is no device part, so that flows are learnt anew after a
//! migration.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::virtio::bytes::u16_at;

const ENTRIES: usize = 1024;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Version 4, and a header of five words: no options.
const IPV4_PLAIN: u8 = 0x45;
/// More fragments follow, or this is not the first.
const IPV4_FRAGMENT: u16 = 0x3fff;

/// The flows that were sent.
#[derive(Clone, Debug)]
pub struct Steering {
    /// The pair on which a flow was last sent, by the flow's number.
    pairs: Vec<Option<u16>>,
}

impl Default for Steering {
    fn default() -> Self {
        Self {
            pairs: vec![None; ENTRIES],
        }
    }
}

impl Steering {
    /// Learns that the driver sent `frame` on `pair`.
    pub fn learn(&mut self, frame: &[u8], pair: u16) {
        self.pairs[flow(frame) % ENTRIES] = Some(pair);
    }

    /// The pair, of the `pairs` in use, to receive `frame`.
    pub fn pair(&self, frame: &[u8], pairs: u16) -> u16 {
        let flow = flow(frame);
        match self.pairs[flow % ENTRIES] {
            Some(pair) if pair < pairs => pair,
            _ => (flow % usize::from(pairs)) as u16,
        }
    }
}

/// A number that is the same for all frames of a flow, in both directions: from the
/// addresses, and the ports if there are any, of IPv4 without options and of IPv6,
/// else from the Ethernet addresses.
fn flow(frame: &[u8]) -> usize {
    let ends = match u16_at(frame, 12).swap_bytes() {
        ETHERTYPE_IPV4 => ipv4(frame),
        ETHERTYPE_IPV6 => ipv6(frame),
        _ => None,
    };
    let (a, b) = ends
        .or_else(|| Some(([frame.get(..6)?, &[]], [frame.get(6..12)?, &[]])))
        .unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    (a.min(b), a.max(b)).hash(&mut hasher);
    hasher.finish() as usize
}

/// Address and port of one end of a flow.
type End<'a> = [&'a [u8]; 2];

fn ipv4(frame: &[u8]) -> Option<(End<'_>, End<'_>)> {
    let whole = u16_at(frame, 20).swap_bytes() & IPV4_FRAGMENT == 0;
    let ports = whole && has_ports(*frame.get(23)?);
    if *frame.get(14)? != IPV4_PLAIN {
        return None;
    }
    ends(frame, (26, 4), ports.then_some(34))
}

fn ipv6(frame: &[u8]) -> Option<(End<'_>, End<'_>)> {
    let ports = has_ports(*frame.get(20)?);
    ends(frame, (22, 16), ports.then_some(54))
}

fn has_ports(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP)
}

/// The ends whose addresses, of `length` bytes each, are at `at`.
fn ends(
    frame: &[u8],
    (at, length): (usize, usize),
    ports: Option<usize>,
) -> Option<(End<'_>, End<'_>)> {
    let address = |number: usize| frame.get(at + number * length..at + (number + 1) * length);
    let port = |number: usize| match ports {
        Some(at) => frame.get(at + number * 2..at + (number + 1) * 2),
        None => Some(&[][..]),
    };
    Some(([address(0)?, port(0)?], [address(1)?, port(1)?]))
}
