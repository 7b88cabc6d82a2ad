// SPDX-License-Identifier: GPL-2.0
//! Goes through a stream once, in constant memory. The driver's own parser judges it;
//! what is told of it on the way is what it consists of.

use std::io::{self, BufReader, Cursor, Read};

use anyhow::{Context, Result};
use logic::identity::{END_LEN, End, Identity, MAX_LEN};
use logic::load::{Next, Parser, TargetDevice};
use logic::load_error::LoadError;
use logic::parts;
use logic::record::{self, FLAG_OPTIONAL, TAG_END, TAG_IDENTITY};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Bytes of a part's value that are kept to be shown.
pub const PREVIEW: usize = 256;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 16;

/// Something in the stream.
#[derive(Debug)]
pub enum Item {
    /// A record begins.
    Record {
        /// Where its header is.
        offset: u64,
        /// Its header.
        header: record::Header,
    },
    /// What the next device data record is from; `None` if the version is not known.
    Identity(Option<Identity>),
    /// The content of the record that ends a stream.
    End(End),
    /// A device part.
    Part(Part),
}

/// A device part, without the larger part of a large value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where its header is in the stream.
    pub offset: u64,
    /// Its header.
    pub header: parts::Header,
    /// The first bytes of its value.
    pub preview: Vec<u8>,
    /// Bytes of its value that are in the stream.
    pub present: u64,
    /// SHA-256 of those.
    pub digest: [u8; 32],
}

impl Part {
    /// Is all of the value there?
    pub fn whole(&self) -> bool {
        self.present == u64::from(self.header.length)
    }
}

/// What is wrong with a stream first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where the record or device part that is wrong begins.
    pub offset: u64,
    /// The number of the record, from 0.
    pub record: u64,
    /// What is wrong.
    pub reason: String,
}

/// What a stream was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Bytes up to the end, or to the fault.
    pub bytes: u64,
    /// Records that began.
    pub records: u64,
    /// Complete records with device data.
    pub data_records: u64,
    /// What is wrong, if something is.
    pub fault: Option<Fault>,
}

/// Goes through `input` up to its end or the first fault.
///
/// # Errors
///
/// `input` cannot be read, or `each` failed.
pub fn walk(input: impl Read, each: &mut dyn FnMut(Item) -> Result<()>) -> Result<Walked> {
    let (input, device_type) = with_device_type(input)?;
    let target = TargetDevice {
        limit: u64::MAX,
        device_type,
        crc32c: logic::crc32c,
    };
    let mut walker = Walker {
        input: BufReader::with_capacity(CHUNK, input),
        parser: Parser::new(target),
        each,
        at: 0,
        record_at: 0,
        header: record::Header::device_data(0),
        records: 0,
        chunk: vec![0; CHUNK],
    };
    let fault = match walker.go() {
        Ok(()) => None,
        Err(Stopped::Fault(fault)) => Some(fault),
        Err(Stopped::Failed(error)) => return Err(error),
    };
    Ok(Walked {
        bytes: walker.at,
        records: walker.records,
        data_records: walker.parser.data_records(),
        fault,
    })
}

/// Looks ahead for the type of the device that the stream is of.
fn with_device_type(mut input: impl Read) -> Result<(impl Read, u16)> {
    let mut ahead = Vec::new();
    input
        .by_ref()
        .take((record::HEADER_LEN + MAX_LEN) as u64)
        .read_to_end(&mut ahead)
        .context("reading the stream")?;
    let device_type = first_identity(&ahead).map_or(0, |identity| identity.device_type);
    Ok((Cursor::new(ahead).chain(input), device_type))
}

fn first_identity(bytes: &[u8]) -> Option<Identity> {
    let (header, content) = bytes.split_first_chunk::<{ record::HEADER_LEN }>()?;
    let header = record::Header::decode(header);
    if (header.tag, header.flags) != (TAG_IDENTITY, FLAG_OPTIONAL) {
        return None;
    }
    Identity::decode(content.get(..usize::try_from(header.size).ok()?)?).ok()?
}

enum Stopped {
    Fault(Fault),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Stopped {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

type Step<T> = std::result::Result<T, Stopped>;

struct Walker<'a, R> {
    input: BufReader<R>,
    parser: Parser,
    each: &'a mut dyn FnMut(Item) -> Result<()>,
    /// Bytes that were read.
    at: u64,
    /// Where the present record begins.
    record_at: u64,
    /// Its header.
    header: record::Header,
    records: u64,
    chunk: Vec<u8>,
}

impl<R: Read> Walker<'_, R> {
    fn go(&mut self) -> Step<()> {
        loop {
            let start = self.at;
            match self
                .parser
                .next()
                .map_err(|error| self.fault(start, error))?
            {
                Next::Header(_) => {
                    if !self.record()? {
                        return Ok(());
                    }
                }
                Next::Control(length) => self.control(length)?,
                Next::Skip(left) => {
                    self.piece(left, start)?;
                }
                Next::Data(left) => self.part(left)?,
            }
        }
    }

    /// A record's header; false at the end of the stream.
    fn record(&mut self) -> Step<bool> {
        let mut header = [0; record::HEADER_LEN];
        self.record_at = self.at;
        if self.fill(&mut header)? == 0 {
            let start = self.at;
            self.parser
                .finish()
                .map_err(|error| self.fault(start, error))?;
            return Ok(false);
        }
        self.records += 1;
        if self.at - self.record_at < header.len() as u64 {
            let there = self.at - self.record_at;
            return Err(self.cut("record header", there, header.len() as u64, self.record_at));
        }
        self.header = record::Header::decode(&header);
        let item = Item::Record {
            offset: self.record_at,
            header: self.header,
        };
        (self.each)(item)?;
        self.take(&header, self.record_at)?;
        Ok(true)
    }

    /// The content of a record for the loader.
    fn control(&mut self, length: usize) -> Step<()> {
        let mut content = [0; MAX_LEN];
        let content = content.get_mut(..length).unwrap_or_default();
        if self.fill(content)? < content.len() {
            return Err(self.cut_record());
        }
        match (self.header.tag, content.first_chunk::<END_LEN>()) {
            (TAG_END, Some(end)) => (self.each)(Item::End(End::decode(end)))?,
            _ => {
                if let Ok(identity) = Identity::decode(content) {
                    (self.each)(Item::Identity(identity))?;
                }
            }
        }
        let content = content.to_vec();
        self.take(&content, self.record_at)
    }

    /// A device part in the rest of a record, `left` bytes.
    fn part(&mut self, left: u64) -> Step<()> {
        let offset = self.at;
        let mut header = [0; parts::HEADER_LEN];
        let length = header
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let head = header.get_mut(..length).unwrap_or_default();
        let filled = self.fill(head)?;
        if filled < length {
            return Err(self.cut("device part header", filled as u64, length as u64, offset));
        }
        self.take(header.get(..length).unwrap_or_default(), offset)?;
        let decoded = parts::Header::decode(&header);
        let mut part = Part {
            offset,
            header: decoded,
            preview: Vec::new(),
            present: 0,
            digest: [0; 32],
        };
        let mut digest = Sha256::new();
        let size = u64::from(decoded.length);
        let mut failed = None;
        while part.present < size {
            match self.piece(size - part.present, offset) {
                Ok(length) => {
                    let piece = self.chunk.get(..length).unwrap_or_default();
                    digest.update(piece);
                    let room = PREVIEW - part.preview.len();
                    part.preview
                        .extend_from_slice(piece.get(..room.min(length)).unwrap_or_default());
                    part.present += length as u64;
                }
                Err(stopped) => {
                    failed = Some(stopped);
                    break;
                }
            }
        }
        part.digest = digest.finalize().into();
        let (present, whole) = (part.present, part.whole());
        (self.each)(Item::Part(part))?;
        match failed {
            Some(Stopped::Fault(_)) if !whole => {
                Err(self.cut("device part's value", present, size, offset))
            }
            Some(stopped) => Err(stopped),
            None => Ok(()),
        }
    }

    /// Takes up to `left` bytes of the present record, which are then in `chunk`.
    fn piece(&mut self, left: u64, what_at: u64) -> Step<usize> {
        let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let mut chunk = std::mem::take(&mut self.chunk);
        let done = self.fill(chunk.get_mut(..want).unwrap_or_default());
        let done = done.and_then(|length| {
            if length == 0 {
                return Err(self.cut_record());
            }
            self.take(chunk.get(..length).unwrap_or_default(), what_at)?;
            Ok(length)
        });
        self.chunk = chunk;
        done
    }

    fn take(&mut self, bytes: &[u8], what_at: u64) -> Step<()> {
        match self.parser.take(bytes) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fault(what_at, error)),
        }
    }

    /// Reads as much of `bytes` as there is.
    fn fill(&mut self, bytes: &mut [u8]) -> Step<usize> {
        let mut filled = 0;
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.input.read(room) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(anyhow::Error::new(error)
                        .context("reading the stream")
                        .into());
                }
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }

    fn cut_record(&self) -> Stopped {
        let there = self.at - self.record_at - record::HEADER_LEN as u64;
        self.cut("record", there, self.header.size, self.record_at)
    }

    fn cut(&self, what: &str, there: u64, size: u64, offset: u64) -> Stopped {
        Stopped::Fault(Fault {
            offset,
            record: self.records.saturating_sub(1),
            reason: format!("ends inside a {what}: {there} of {size} bytes are there"),
        })
    }

    fn fault(&self, offset: u64, error: LoadError) -> Stopped {
        let reason = match error {
            LoadError::DeviceType { stream, device: 0 } => {
                format!("identity of a device of type {stream} behind other records")
            }
            error => error.to_string(),
        };
        Stopped::Fault(Fault {
            offset,
            record: self.records.saturating_sub(1),
            reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::testing::{data, identity, part, parts, sealed, stream};

    fn items(stream: &[u8]) -> (Vec<Item>, Walked) {
        let mut items = Vec::new();
        let walked = walk(stream, &mut |item| {
            items.push(item);
            Ok(())
        });
        (items, walked.unwrap())
    }

    #[test]
    fn all_of_a_good_stream() {
        let (items, walked) = items(&stream());
        let parts: Vec<u16> = items
            .iter()
            .filter_map(|item| match item {
                Item::Part(part) => Some(part.header.part_type),
                _ => None,
            })
            .collect();
        assert_eq!(parts, [0x100, 0x101, 0x103, 0x104, 0x200]);
        assert!(matches!(&items[1], Item::Identity(Some(identity)) if identity.parts == 5));
        assert!(matches!(items.last(), Some(Item::End(end)) if end.records == 2));
        assert_eq!((walked.records, walked.data_records), (3, 1));
        assert_eq!(walked.bytes, stream().len() as u64);
        assert_eq!(walked.fault, None);
    }

    #[test]
    fn the_in_tree_drivers_have_no_more_than_data() {
        let walked = items(&[data(&parts()), data(&parts())].concat()).1;
        assert_eq!((walked.data_records, walked.fault), (2, None));
    }

    #[test]
    fn every_cut_is_a_fault() {
        let whole = stream();
        for length in 0..whole.len() {
            let (_, walked) = items(&whole[..length]);
            let fault = walked.fault.unwrap_or_else(|| panic!("{length} bytes"));
            assert!(fault.offset <= length as u64, "{length} bytes: {fault:?}");
            assert!(walked.bytes <= length as u64);
        }
    }

    #[test]
    fn every_other_byte_is_a_fault() {
        let whole = stream();
        let mut seen = 0;
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            seen += u32::from(items(&bad).1.fault.is_some());
        }
        // But for the four bytes of the end that are for later use.
        assert_eq!(seen, whole.len() as u32 - 4);
    }

    #[test]
    fn a_cut_value_is_told_with_what_is_there() {
        let whole = data(&[part(0x104, 0, &[7; 32])]);
        let (items, walked) = items(&whole[..40]);
        let Some(Item::Part(part)) = items.last() else {
            panic!("{items:?}");
        };
        assert_eq!((part.present, part.whole()), (8, false));
        let fault = walked.fault.unwrap();
        assert_eq!((fault.offset, fault.record), (16, 0));
        assert!(
            fault.reason.ends_with("8 of 32 bytes are there"),
            "{fault:?}"
        );
    }

    #[test]
    fn announced_sizes_are_only_numbers() {
        for tag in [0u32, 0x1234] {
            let mut bytes = u64::MAX.to_le_bytes().to_vec();
            bytes.extend(u32::from(tag != 0).to_le_bytes());
            bytes.extend(tag.to_le_bytes());
            bytes.extend(part(0x104, 0, &[0; 32]));
            let fault = items(&bytes).1.fault.unwrap();
            assert!(fault.reason.contains("ends inside"), "{fault:?}");
        }
        let mut long = data(&[part(0x104, 0, &[0; 32])]);
        long[28..32].copy_from_slice(&u32::MAX.to_le_bytes());
        let fault = items(&long).1.fault.unwrap();
        assert_eq!(fault.offset, 16);
        assert!(fault.reason.contains("do not add up"), "{fault:?}");
    }

    #[test]
    fn large_values_are_not_kept() {
        let value = vec![9; 3 * CHUNK + 5];
        let (items, walked) = items(&data(&[part(0x5ff, 0, &value)]));
        assert_eq!(walked.fault, None);
        let Some(Item::Part(part)) = items.last() else {
            panic!("{items:?}");
        };
        assert_eq!(part.preview.len(), PREVIEW);
        assert_eq!(part.digest[..], Sha256::digest(&value)[..]);
    }

    #[test]
    fn the_identity_comes_first() {
        let parts = parts();
        let stream = sealed(&[
            data(&parts),
            identity(parts.len() as u32, &[0x20, 0, 0, 0, 1]),
            data(&parts),
        ]);
        let fault = items(&stream).1.fault.unwrap();
        assert!(fault.reason.contains("behind other records"), "{fault:?}");
    }
}
