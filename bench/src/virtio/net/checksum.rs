// SPDX-License-Identifier: GPL-2.0
//! Completing the checksum of a frame (virtio 1.4, 5.1.9.2).

/// Sums up `frame` from `start` on, where the driver has left the sum of the pseudo header at
/// `offset` behind it, and puts the sum there; false if that is not in the frame.
pub fn complete(frame: &mut [u8], start: u16, offset: u16) -> bool {
    let start = usize::from(start);
    let place = start + usize::from(offset);
    if place + 2 > frame.len() {
        return false;
    }
    let sum = sum(&frame[start..]);
    frame[place..place + 2].copy_from_slice(&(!sum).to_be_bytes());
    true
}

/// The sum of 16-bit words in ones' complement; an odd byte is followed by a zero.
fn sum(data: &[u8]) -> u16 {
    let word = |pair: &[u8]| {
        let low = pair.get(1).copied().unwrap_or(0);
        u64::from(u16::from_be_bytes([pair[0], low]))
    };
    let mut sum: u64 = data.chunks(2).map(word).sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // What is left of it has 16 bits.
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(
            sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            0xddf2
        );
        assert_eq!(sum(&[0x01]), 0x0100);
        assert_eq!(sum(&[0xff, 0xff, 0x00, 0x01]), 1);
    }

    #[test]
    fn places_outside_the_frame() {
        let mut frame = [0; 20];
        assert!(!complete(&mut frame, 14, 5));
        assert!(!complete(&mut frame, u16::MAX, u16::MAX));
        assert!(complete(&mut frame, 14, 4));
        assert_eq!(frame[18..], [0xff, 0xff]);
    }
}
