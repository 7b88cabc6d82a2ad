// SPDX-License-Identifier: GPL-2.0

//! The bytes of an outgoing stream, on their way to userspace.

use crate::{
    abi,
    logic::{
        identity::{
            End,
            Identity,
            END_LEN,
            MAX_LEN, //
        },
        record::{
            Header,
            HEADER_LEN,
            TAG_END,
            TAG_IDENTITY, //
        },
        seal::Seal, //
    }, //
};
use kernel::prelude::*;

// The header for C says the same as the code.
const _: () = {
    use crate::logic::{
        identity,
        record, //
    };
    use core::mem::size_of;
    assert!(abi::VVP_RECORD_OPTIONAL == record::FLAG_OPTIONAL);
    assert!(abi::VVP_TAG_DEVICE_DATA == record::TAG_DEVICE_DATA);
    assert!(abi::VVP_TAG_IDENTITY == TAG_IDENTITY);
    assert!(abi::VVP_TAG_END == TAG_END);
    assert!(abi::VVP_IDENTITY_MAGIC == identity::MAGIC);
    assert!(abi::VVP_IDENTITY_VERSION == identity::VERSION as u32);
    assert!(abi::VVP_IDENTITY_MAX_WORDS as usize == identity::MAX_FEATURE_WORDS);
    assert!(size_of::<abi::vvp_record_header>() == HEADER_LEN);
    assert!(size_of::<abi::vvp_identity>() == identity::FIXED_LEN);
    assert!(size_of::<abi::vvp_end>() == END_LEN);
};

/// Most bytes on the stream beside a context's device parts: the headers of
/// identity, device data and end, and the contents of the first and the last.
pub(super) const OVERHEAD: u64 = (3 * HEADER_LEN + MAX_LEN + END_LEN) as u64;

/// CRC-32C, see `logic::seal`.
pub(super) fn crc32c(register: u32, bytes: &[u8]) -> u32 {
    // SAFETY: The pointer is valid for reads of that many bytes.
    unsafe { abi::crc32c(register, bytes.as_ptr().cast(), bytes.len()) }
}

/// Records that userspace has not read yet, and the seal of all there were.
pub(super) struct Outgoing {
    bytes: KVVec<u8>,
    /// Bytes of `bytes` that were read.
    position: usize,
    seal: Seal,
}

impl Outgoing {
    pub(super) const fn new() -> Self {
        Self {
            bytes: KVVec::new(),
            position: 0,
            seal: Seal::new(crc32c),
        }
    }

    /// The bytes that were not read.
    pub(super) fn ahead(&self) -> &[u8] {
        self.bytes.get(self.position..).unwrap_or(&[])
    }

    /// `count` bytes were read.
    pub(super) fn consume(&mut self, count: usize) {
        self.position += count;
    }

    /// Makes room for `additional` bytes.
    fn reserve(&mut self, additional: usize) -> Result {
        if self.position == self.bytes.len() {
            self.bytes.clear();
            self.position = 0;
        }
        Ok(self.bytes.reserve(additional, GFP_KERNEL_ACCOUNT)?)
    }

    /// Appends bytes of a record; there is room for them.
    fn push(&mut self, bytes: &[u8]) -> Result {
        self.seal.add(bytes);
        Ok(self.bytes.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?)
    }

    fn begin(&mut self, header: Header) -> Result {
        self.push(&header.encode())?;
        self.seal.count_record();
        Ok(())
    }

    /// Appends a whole context behind its identity; gives the length of both
    /// records.
    ///
    /// # Errors
    ///
    /// ENOMEM; nothing was appended.
    pub(super) fn context(&mut self, identity: &Identity, context: &[u8]) -> Result<u64> {
        let (content, len) = identity.encode();
        let content = content.get(..len).ok_or(EINVAL)?;
        let length = 2 * HEADER_LEN + content.len() + context.len();
        self.reserve(length)?;
        self.begin(Header::optional(TAG_IDENTITY, content.len() as u64))?;
        self.push(content)?;
        self.begin(Header::device_data(context.len() as u64))?;
        self.push(context)?;
        Ok(length as u64)
    }

    /// Appends a record of the parts that changed, `size` bytes in all; gives
    /// its length.
    ///
    /// # Errors
    ///
    /// ENOMEM; nothing was appended.
    pub(super) fn delta<'a>(
        &mut self,
        size: usize,
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> Result<u64> {
        let length = HEADER_LEN + size;
        self.reserve(length)?;
        self.begin(Header::device_data(size as u64))?;
        for part in parts {
            self.push(part)?;
        }
        Ok(length as u64)
    }

    /// Appends the end record; gives its length.
    ///
    /// # Errors
    ///
    /// ENOMEM; nothing was appended.
    pub(super) fn end(&mut self) -> Result<u64> {
        let content = End {
            records: self.seal.records(),
            checksum: self.seal.checksum(),
        }
        .encode();
        let length = HEADER_LEN + content.len();
        self.reserve(length)?;
        self.begin(Header::optional(TAG_END, content.len() as u64))?;
        self.push(&content)?;
        Ok(length as u64)
    }
}
