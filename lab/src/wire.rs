// SPDX-License-Identifier: GPL-2.0
//! What guest and peer send each other: addresses, messages, datagrams.

use std::net::Ipv4Addr;

/// Network prefix of all addresses.
pub const PREFIX: u8 = 24;

/// The peer, on the physical function, of function `index` of the guest.
pub fn peer(index: usize) -> Ipv4Addr {
    address(index, 1)
}

/// The guest, on its function `index`.
pub fn guest(index: usize) -> Ipv4Addr {
    address(index, 2)
}

/// Each function has a network of its own, so that no other can carry its traffic.
fn address(index: usize, host: u8) -> Ipv4Addr {
    // A guest has a few functions, not hundreds.
    Ipv4Addr::new(192, 168, 77 + index as u8, host)
}

/// TCP port of the peer.
pub const STREAM_PORT: u16 = 7001;
/// UDP port of the peer.
pub const PROBE_PORT: u16 = 7002;

/// Size of a message of the stream: several make a segment, none fills one.
pub const MESSAGE_SIZE: usize = 512;
/// Size of a datagram.
pub const PROBE_SIZE: usize = 128;

const MAGIC: u64 = u64::from_le_bytes(*b"vvp-l2-1");

/// A numbered packet of `N` bytes: magic, number, time of sending, payload. The
/// payload follows from the number, so the receiver knows every byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<const N: usize> {
    pub number: u64,
    /// Sender's monotonic clock, in nanoseconds.
    pub sent_ns: u64,
}

/// A packet whose bytes are not what its number demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

impl<const N: usize> Packet<N> {
    const HEADER: usize = 24;

    /// The packet as it goes over the wire.
    pub fn encode(&self) -> [u8; N] {
        let mut bytes = [0; N];
        bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sent_ns.to_le_bytes());
        for (index, byte) in bytes[Self::HEADER..].iter_mut().enumerate() {
            *byte = payload(self.number, index);
        }
        bytes
    }

    /// Checks every byte.
    pub fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        if bytes.len() != N {
            return Err(Corrupt);
        }
        let word = |at: usize| -> Result<u64, Corrupt> {
            let field = bytes.get(at..at + 8).ok_or(Corrupt)?;
            Ok(u64::from_le_bytes(field.try_into().map_err(|_| Corrupt)?))
        };
        let packet = Self {
            number: word(8)?,
            sent_ns: word(16)?,
        };
        if word(0)? != MAGIC || packet.encode()[..] != *bytes {
            return Err(Corrupt);
        }
        Ok(packet)
    }
}

/// Byte `index` of the payload of packet `number`: differs from packet to packet
/// and from byte to byte, so that nothing can be misplaced unnoticed.
fn payload(number: u64, index: usize) -> u8 {
    let mixed = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (index as u64))
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed.to_be_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_in_different_networks() {
        assert_eq!(guest(0), Ipv4Addr::new(192, 168, 77, 2));
        assert_eq!(peer(0), Ipv4Addr::new(192, 168, 77, 1));
        assert_ne!(guest(1).octets()[..3], guest(0).octets()[..3]);
        assert_eq!(guest(1).octets()[..3], peer(1).octets()[..3]);
    }

    #[test]
    fn round_trip() {
        let packet = Packet::<MESSAGE_SIZE> {
            number: 42,
            sent_ns: 99,
        };
        assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
    }

    #[test]
    fn any_changed_byte_is_noticed_except_in_the_timestamp() {
        let packet = Packet::<PROBE_SIZE> {
            number: 7,
            sent_ns: 0,
        };
        for at in (0..PROBE_SIZE).filter(|at| !(16..24).contains(at)) {
            let mut bytes = packet.encode();
            bytes[at] ^= 1;
            assert_eq!(
                Packet::<PROBE_SIZE>::decode(&bytes),
                Err(Corrupt),
                "byte {at}"
            );
        }
    }

    #[test]
    fn wrong_length_is_corrupt() {
        assert_eq!(Packet::<PROBE_SIZE>::decode(&[0; 12]), Err(Corrupt));
        assert_eq!(Packet::<PROBE_SIZE>::decode(&[]), Err(Corrupt));
    }
}
