// SPDX-License-Identifier: GPL-2.0

//! Follows the record framing in bytes that pass by, for whoever wants to count
//! records and not to read them.

use super::record::{
    Header,
    HEADER_LEN, //
};

/// Where in a record a stream is.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    header: [u8; HEADER_LEN],
    /// Bytes of the header that have passed.
    filled: usize,
    /// Bytes of content that have not passed.
    left: u64,
}

impl Frames {
    /// At the start of a stream.
    pub const fn new() -> Self {
        Self {
            header: [0; HEADER_LEN],
            filled: 0,
            left: 0,
        }
    }

    /// `bytes` pass; `on_record` is called for each record that ends in them.
    pub fn pass(&mut self, mut bytes: &[u8], mut on_record: impl FnMut(Header)) {
        while !bytes.is_empty() {
            if self.filled < HEADER_LEN {
                let count = bytes.len().min(HEADER_LEN - self.filled);
                let (head, rest) = bytes.split_at(count);
                self.header[self.filled..self.filled + count].copy_from_slice(head);
                self.filled += count;
                bytes = rest;
                if self.filled < HEADER_LEN {
                    return;
                }
                self.left = Header::decode(&self.header).size;
            } else {
                let count = bytes
                    .len()
                    .min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= count as u64;
                bytes = &bytes[count..];
            }
            if self.left == 0 {
                self.filled = 0;
                on_record(Header::decode(&self.header));
            }
        }
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(sizes: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &size in sizes {
            bytes.extend(Header::device_data(size as u64).encode());
            bytes.extend(vec![0xff; size]);
        }
        bytes
    }

    #[test]
    fn any_segmentation_gives_the_same_records() {
        let sizes = [3, 0, 40, 0, 0, 1];
        let bytes = stream(&sizes);
        for step in 1..=bytes.len() {
            let (mut frames, mut seen) = (Frames::new(), Vec::new());
            for chunk in bytes.chunks(step) {
                frames.pass(chunk, |header| seen.push(header.size as usize));
            }
            assert_eq!(seen, sizes, "in steps of {step}");
        }
    }

    #[test]
    fn a_record_counts_when_all_of_it_has_passed() {
        let bytes = stream(&[5]);
        let (mut frames, mut count) = (Frames::new(), 0);
        frames.pass(&bytes[..20], |_| count += 1);
        assert_eq!(count, 0);
        frames.pass(&bytes[20..], |_| count += 1);
        assert_eq!(count, 1);
    }

    #[test]
    fn an_announced_size_is_only_a_number() {
        let mut frames = Frames::new();
        let header = Header::device_data(u64::MAX).encode();
        frames.pass(&header, |_| panic!("a record of {} bytes", u64::MAX));
        frames.pass(&[0; 100], |_| panic!("a record of {} bytes", u64::MAX));
    }
}
