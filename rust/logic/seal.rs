// SPDX-License-Identifier: GPL-2.0

//! The running count and checksum that the end record of a stream carries.

/// CRC-32C over more bytes: takes the register and gives it back, without the
/// inversions at either end, as the kernel's `crc32c()` does.
pub type Crc32c = fn(u32, &[u8]) -> u32;

/// What a stream had so far.
#[derive(Clone, Copy)]
pub struct Seal {
    /// `None`: no checksum is made.
    crc32c: Option<Crc32c>,
    register: u32,
    records: u64,
}

impl Seal {
    /// The seal of an empty stream.
    pub const fn new(crc32c: Crc32c) -> Self {
        Self {
            crc32c: Some(crc32c),
            register: !0,
            records: 0,
        }
    }

    /// No checksum is made of this stream, whatever there was of it.
    pub fn leave_out_checksum(&mut self) {
        self.crc32c = None;
        self.register = !0;
    }

    /// Whether a checksum is made.
    pub const fn has_checksum(&self) -> bool {
        self.crc32c.is_some()
    }

    /// `bytes` of the stream follow, of record headers or contents.
    pub fn add(&mut self, bytes: &[u8]) {
        if let Some(crc32c) = self.crc32c {
            self.register = crc32c(self.register, bytes);
        }
    }

    /// A record begins.
    pub fn count_record(&mut self) {
        self.records += 1;
    }

    /// Number of records that have begun.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// CRC-32C of all bytes; zero if none is made.
    pub const fn checksum(&self) -> u32 {
        !self.register
    }
}

/// Bitwise CRC-32C for the unit tests.
#[cfg(test)]
pub(crate) fn slow_crc32c(register: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(register, |register, &byte| {
        (0..8).fold(register ^ u32::from(byte), |register, _| {
            (register >> 1) ^ (0x82f6_3b78 & 0u32.wrapping_sub(register & 1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_value_of_the_crc() {
        let mut seal = Seal::new(slow_crc32c);
        seal.add(b"1234");
        seal.add(b"56789");
        assert_eq!(seal.checksum(), 0xe306_9283);
        assert_eq!(seal.records(), 0);
    }

    #[test]
    fn without_a_checksum_it_is_zero() {
        let mut seal = Seal::new(slow_crc32c);
        seal.add(b"1234");
        assert!(seal.has_checksum());
        seal.leave_out_checksum();
        seal.add(b"56789");
        seal.count_record();
        assert!(!seal.has_checksum());
        assert_eq!((seal.checksum(), seal.records()), (0, 1));
    }
}
