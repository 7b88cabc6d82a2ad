// SPDX-License-Identifier: GPL-2.0
//! Numbered Ethernet frames whose every byte can be checked.

use anyhow::{Context, Result, ensure};

/// A hardware address.
pub type Mac = [u8; 6];

/// IEEE 802 local experimental ethertype 1: nobody else sends it.
pub const ETHERTYPE: u16 = 0x88b5;

const HEADER: usize = 14;
const SEQUENCE: usize = HEADER;
const FILL: usize = SEQUENCE + 8;

/// Parses `52:54:00:00:00:01`.
pub fn mac_from_text(text: &str) -> Result<Mac> {
    let bytes: Vec<u8> = text
        .trim()
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect::<Result<_, _>>()
        .with_context(|| format!("hardware address '{text}'"))?;
    bytes
        .try_into()
        .ok()
        .with_context(|| format!("hardware address '{text}'"))
}

/// A numbered frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub to: Mac,
    pub from: Mac,
    pub number: u64,
}

impl Frame {
    /// Its bytes. Length and contents follow from the number.
    pub fn bytes(&self) -> Vec<u8> {
        let length = 60 + (self.number as usize * 97) % 1400;
        let mut frame = Vec::with_capacity(length);
        frame.extend_from_slice(&self.to);
        frame.extend_from_slice(&self.from);
        frame.extend_from_slice(&ETHERTYPE.to_be_bytes());
        frame.extend_from_slice(&self.number.to_le_bytes());
        frame.extend((FILL..length).map(|at| fill(self.number, at)));
        frame
    }

    /// The frame that `bytes` are, `None` for somebody else's; an error if it is damaged.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        if bytes.len() < HEADER || bytes[12..14] != ETHERTYPE.to_be_bytes() {
            return Ok(None);
        }
        ensure!(bytes.len() >= FILL, "frame of {} bytes", bytes.len());
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[SEQUENCE..FILL]);
        let mut frame = Self {
            to: [0; 6],
            from: [0; 6],
            number: u64::from_le_bytes(number),
        };
        frame.to.copy_from_slice(&bytes[..6]);
        frame.from.copy_from_slice(&bytes[6..12]);
        ensure!(bytes == frame.bytes(), "frame {} is damaged", frame.number);
        Ok(Some(frame))
    }
}

fn fill(number: u64, at: usize) -> u8 {
    number.wrapping_mul(31).wrapping_add(at as u64) as u8
}

/// Checks that frames arrive once each and in order.
#[derive(Debug, Default)]
pub struct Sequence {
    next: u64,
    missing: u64,
}

impl Sequence {
    /// Takes the next frame.
    pub fn take(&mut self, frame: &Frame) -> Result<()> {
        ensure!(
            frame.number >= self.next,
            "frame {} came after frame {}: repeated or out of order",
            frame.number,
            self.next.wrapping_sub(1)
        );
        self.missing += frame.number - self.next;
        self.next = frame.number + 1;
        Ok(())
    }

    /// The number that is expected next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many frames were left out.
    pub fn missing(&self) -> u64 {
        self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u64) -> Frame {
        Frame {
            to: [1; 6],
            from: [2; 6],
            number,
        }
    }

    #[test]
    fn damage_is_noticed() {
        for number in [0, 1, 14, 1 << 40] {
            let mut bytes = frame(number).bytes();
            assert!((60..1514).contains(&bytes.len()));
            assert_eq!(Frame::parse(&bytes).unwrap(), Some(frame(number)));
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            assert!(Frame::parse(&bytes).is_err());
            assert!(Frame::parse(&bytes[..last]).is_err());
        }
    }

    #[test]
    fn other_traffic_is_ignored() {
        assert_eq!(Frame::parse(&[0xff; 60]).unwrap(), None);
        assert_eq!(Frame::parse(&[]).unwrap(), None);
    }

    #[test]
    fn sequence() {
        let mut sequence = Sequence::default();
        sequence.take(&frame(0)).unwrap();
        sequence.take(&frame(3)).unwrap();
        assert_eq!((sequence.next(), sequence.missing()), (4, 2));
        assert!(sequence.take(&frame(3)).is_err());
    }

    #[test]
    fn hardware_addresses() {
        assert_eq!(
            mac_from_text("52:54:00:00:00:0a\n").unwrap(),
            [0x52, 0x54, 0, 0, 0, 10]
        );
        assert!(mac_from_text("52:54:00").is_err());
    }
}
