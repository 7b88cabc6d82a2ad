// SPDX-License-Identifier: GPL-2.0

//! The bytes of an outgoing stream, on their way to userspace.
//!
//! The checksum that ends a stream, where one is wanted, is made of what userspace reads, as
//! it does: a target can load the beginning meanwhile, and what was just copied need not be
//! fetched from memory again.

use super::context::Context;
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
    },
    vfio::{
        Bytes,
        Queue, //
    }, //
};
use core::ops::{
    Deref,
    Range, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    }, //
};

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
    assert!(abi::VVP_IDENTITY_NO_CHECKSUM == identity::NO_CHECKSUM as u32);
    assert!(abi::VVP_IDENTITY_MAX_WORDS as usize == identity::MAX_FEATURE_WORDS);
    assert!(size_of::<abi::vvp_record_header>() == HEADER_LEN);
    assert!(size_of::<abi::vvp_identity>() == identity::FIXED_LEN);
    assert!(size_of::<abi::vvp_end>() == END_LEN);
};

/// Most bytes on the stream beside a context's device parts: the headers of
/// identity, device data and end, and the contents of the first and the last.
pub(super) const OVERHEAD: u64 = (3 * HEADER_LEN + MAX_LEN + END_LEN) as u64;

/// Bytes of a context that lie together and are put on the stream where they are. Fewer are
/// cheaper to copy than to refer to.
const WORTH_A_CHUNK: usize = 4096;

/// CRC-32C, see `logic::seal`.
pub(super) fn crc32c(register: u32, bytes: &[u8]) -> u32 {
    // SAFETY: The pointer is valid for reads of that many bytes.
    unsafe { abi::crc32c(register, bytes.as_ptr().cast(), bytes.len()) }
}

/// The record that ends a stream.
struct EndRecord([u8; HEADER_LEN + END_LEN]);

impl Deref for EndRecord {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Records that userspace has not read yet, and the seal of all that it has.
pub(super) struct Outgoing {
    queue: Queue,
    seal: Seal,
    /// Memory for the end, which follows when all before it was read.
    end: Option<UniqueArc<EndRecord>>,
    /// The end is what the queue has.
    ended: bool,
}

impl Outgoing {
    /// An empty stream, with a `checksum` in the end or without.
    pub(super) fn new(checksum: bool) -> Self {
        let mut seal = Seal::new(crc32c);
        if !checksum {
            seal.leave_out_checksum();
        }
        Self {
            queue: Queue::new(),
            seal,
            end: None,
            ended: false,
        }
    }

    /// The next bytes that were not read, as many as lie together.
    pub(super) fn head(&self) -> Option<&Bytes> {
        self.queue.head()
    }

    /// Number of bytes that were not read.
    pub(super) fn len(&self) -> u64 {
        let end = self.end.as_ref().map_or(0, |record| record.len());
        self.queue.len() + end as u64
    }

    /// `count` bytes of the [`head`](Self::head) were read.
    pub(super) fn consume(&mut self, count: usize) {
        if let (Some(head), false) = (self.queue.head(), self.ended) {
            self.seal.add(head.get(..count).unwrap_or(head));
        }
        self.queue.consume(count);
        self.follow_with_end();
    }

    /// Puts the end on the stream if it is its turn.
    fn follow_with_end(&mut self) {
        if self.queue.len() > 0 {
            return;
        }
        let Some(mut record) = self.end.take() else {
            return;
        };
        let header = Header::optional(TAG_END, END_LEN as u64).encode();
        let content = End {
            records: self.seal.records(),
            checksum: self.seal.checksum(),
        }
        .encode();
        let (front, back) = record.0.split_at_mut(HEADER_LEN);
        front.copy_from_slice(&header);
        back.copy_from_slice(&content);
        let all = 0..record.len();
        self.ended = true;
        // `end` has made room for it, so that this does not fail.
        let _ = self.queue.push(Bytes::part_of(record.into(), all));
    }

    /// Appends `chunks`, which have `records` records in all; gives their length.
    ///
    /// # Errors
    ///
    /// ENOMEM; nothing was appended.
    fn append(&mut self, records: usize, chunks: KVVec<Bytes>) -> Result<u64> {
        let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        self.queue.push_all(chunks)?;
        for _ in 0..records {
            self.seal.count_record();
        }
        Ok(length)
    }

    /// Appends a whole context behind its identity; gives the length of both
    /// records.
    ///
    /// # Errors
    ///
    /// ENOMEM; nothing was appended.
    pub(super) fn context(&mut self, context: &Context) -> Result<u64> {
        let identity = Identity {
            checksum: self.seal.has_checksum(),
            ..*context.identity()
        };
        let (content, len) = identity.encode();
        let content = content.get(..len).ok_or(EINVAL)?;
        let size = context.bytes().len();
        let front = joined(&[
            &Header::optional(TAG_IDENTITY, len as u64).encode(),
            content,
            &Header::device_data(size as u64).encode(),
        ])?;
        let mut chunks = KVVec::with_capacity(2, GFP_KERNEL_ACCOUNT)?;
        chunks.push(Bytes::new(front)?, GFP_KERNEL_ACCOUNT)?;
        chunks.push(context.part(0..size), GFP_KERNEL_ACCOUNT)?;
        self.append(2, chunks)
    }

    /// Appends a record of those parts of `context` that are at `places`; gives its
    /// length.
    ///
    /// # Errors
    ///
    /// ENOMEM; nothing was appended.
    pub(super) fn delta(
        &mut self,
        context: &Context,
        places: impl Iterator<Item = Range<usize>> + Clone,
    ) -> Result<u64> {
        let (mut size, mut copied_size, mut referred) = (0, 0, 0);
        for place in places.clone() {
            size += place.len();
            if place.len() < WORTH_A_CHUNK {
                copied_size += place.len();
            } else {
                referred += 1;
            }
        }
        let mut copied = KVVec::with_capacity(HEADER_LEN + copied_size, GFP_KERNEL_ACCOUNT)?;
        let header = Header::device_data(size as u64).encode();
        copied.extend_from_slice(&header, GFP_KERNEL_ACCOUNT)?;
        for place in places.clone().filter(|place| place.len() < WORTH_A_CHUNK) {
            let part = context.bytes().get(place).unwrap_or_default();
            copied.extend_from_slice(part, GFP_KERNEL_ACCOUNT)?;
        }
        let copied = Arc::new(copied, GFP_KERNEL_ACCOUNT)?;

        let mut chunks = KVVec::with_capacity(2 * referred + 1, GFP_KERNEL_ACCOUNT)?;
        // Of what was copied, the range that comes next.
        let mut next = 0..HEADER_LEN;
        for place in places {
            if place.len() < WORTH_A_CHUNK {
                next.end += place.len();
                continue;
            }
            let before = Bytes::part_of(copied.clone(), next.clone());
            chunks.push(before, GFP_KERNEL_ACCOUNT)?;
            chunks.push(context.part(place), GFP_KERNEL_ACCOUNT)?;
            next.start = next.end;
        }
        chunks.push(Bytes::part_of(copied, next), GFP_KERNEL_ACCOUNT)?;
        self.append(1, chunks)
    }

    /// Has the end record follow all that was appended; gives its length.
    ///
    /// # Errors
    ///
    /// ENOMEM; nothing will follow.
    pub(super) fn end(&mut self) -> Result<u64> {
        let record = EndRecord([0; HEADER_LEN + END_LEN]);
        let record = UniqueArc::new(record, GFP_KERNEL_ACCOUNT)?;
        self.queue.reserve(1)?;
        let length = record.len() as u64;
        self.end = Some(record);
        self.follow_with_end();
        Ok(length)
    }
}

/// All `parts`, one behind the other.
fn joined(parts: &[&[u8]]) -> Result<KVVec<u8>> {
    let size = parts.iter().map(|part| part.len()).sum();
    let mut bytes = KVVec::with_capacity(size, GFP_KERNEL_ACCOUNT)?;
    for part in parts {
        bytes.extend_from_slice(part, GFP_KERNEL_ACCOUNT)?;
    }
    Ok(bytes)
}
