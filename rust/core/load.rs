// SPDX-License-Identifier: GPL-2.0

//! The loader's view of an incoming stream: what the next bytes are, and
//! whether they may be.
//!
//! [`Loader`] decides; its user moves the bytes. It keeps nothing but the
//! current header, so that what the loading side allocates follows the bytes
//! that have arrived and never what a header merely announces.

use super::parts;
use super::record::{
    FLAG_OPTIONAL,
    HEADER_LEN,
    Header,
    TAG_DEVICE_DATA, //
};

/// Why a stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// A record with a tag or flags this loader does not know, not marked optional.
    UnknownRecord(Header),
    /// A device data record without content.
    EmptyRecord,
    /// A device data record larger than any context of this device.
    Oversize {
        /// Size of the record's content in bytes.
        size: u64,
        /// Size of the largest context in bytes.
        limit: u64,
    },
    /// The parts in a device data record do not add up to it.
    Parts(parts::PartsError),
    /// The stream ended inside a record.
    Truncated,
    /// The stream ended before any device data.
    NoData,
}

/// What the next bytes of the stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This many bytes of a record header.
    Header(usize),
    /// This many bytes of device data, not zero.
    Data(u64),
    /// This many bytes of an optional record, not zero, to be dropped.
    Skip(u64),
}

/// What became complete with the bytes just taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing.
    More,
    /// The header of a device data record: its content of this size follows.
    DataAhead(u64),
    /// A device data record: the device may have it.
    DataComplete,
}

enum State {
    Header {
        bytes: [u8; HEADER_LEN],
        filled: usize,
    },
    Data {
        left: u64,
        parts: parts::Checker,
    },
    Skip {
        left: u64,
    },
    Failed(LoadError),
}

impl State {
    const START: Self = Self::Header {
        bytes: [0; HEADER_LEN],
        filled: 0,
    };
}

/// Parser of a migration stream.
///
/// Once it has refused a stream it refuses every further byte with the same
/// error.
pub struct Loader {
    limit: u64,
    state: State,
    data_records: u64,
}

impl Loader {
    /// A loader for a device whose largest context has `limit` bytes.
    pub const fn new(limit: u64) -> Self {
        Self {
            limit,
            state: State::START,
            data_records: 0,
        }
    }

    /// What the next bytes are.
    ///
    /// # Errors
    ///
    /// The error the stream was refused with.
    pub fn next(&self) -> Result<Next, LoadError> {
        match self.state {
            State::Header { filled, .. } => Ok(Next::Header(HEADER_LEN - filled)),
            State::Data { left, .. } => Ok(Next::Data(left)),
            State::Skip { left } => Ok(Next::Skip(left)),
            State::Failed(error) => Err(error),
        }
    }

    /// Takes `bytes` of the stream, which are of one kind and no more than
    /// [`next`](Self::next) gave.
    ///
    /// # Errors
    ///
    /// Why the stream is refused.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Progress, LoadError> {
        self.try_take(bytes)
            .inspect_err(|&error| self.state = State::Failed(error))
    }

    fn try_take(&mut self, input: &[u8]) -> Result<Progress, LoadError> {
        match &mut self.state {
            State::Header { bytes, filled } => {
                let n = input.len().min(HEADER_LEN - *filled);
                bytes[*filled..*filled + n].copy_from_slice(&input[..n]);
                *filled += n;
                if *filled < HEADER_LEN {
                    return Ok(Progress::More);
                }
                let header = Header::decode(bytes);
                self.begin(header)
            }
            State::Data { left, parts } => {
                parts.push(input).map_err(LoadError::Parts)?;
                *left = left.saturating_sub(input.len() as u64);
                if *left > 0 {
                    return Ok(Progress::More);
                }
                self.state = State::START;
                self.data_records += 1;
                Ok(Progress::DataComplete)
            }
            State::Skip { left } => {
                *left = left.saturating_sub(input.len() as u64);
                if *left == 0 {
                    self.state = State::START;
                }
                Ok(Progress::More)
            }
            State::Failed(error) => Err(*error),
        }
    }

    fn begin(&mut self, header: Header) -> Result<Progress, LoadError> {
        let size = header.size;
        match header {
            Header {
                tag: TAG_DEVICE_DATA,
                flags: 0,
                ..
            } => {
                if size == 0 {
                    return Err(LoadError::EmptyRecord);
                }
                if size > self.limit {
                    return Err(LoadError::Oversize {
                        size,
                        limit: self.limit,
                    });
                }
                self.state = State::Data {
                    left: size,
                    parts: parts::Checker::new(size),
                };
                Ok(Progress::DataAhead(size))
            }
            Header {
                tag,
                flags: FLAG_OPTIONAL,
                ..
            } if tag != TAG_DEVICE_DATA => {
                self.state = if size == 0 {
                    State::START
                } else {
                    State::Skip { left: size }
                };
                Ok(Progress::More)
            }
            _ => Err(LoadError::UnknownRecord(header)),
        }
    }

    /// Whether the stream may end here.
    ///
    /// # Errors
    ///
    /// Why it may not: refused earlier, inside a record, or without data.
    pub fn finish(&self) -> Result<(), LoadError> {
        match self.state {
            State::Failed(error) => Err(error),
            State::Header { filled: 0, .. } if self.data_records > 0 => Ok(()),
            State::Header { filled: 0, .. } => Err(LoadError::NoData),
            _ => Err(LoadError::Truncated),
        }
    }

    /// Number of device data records that were complete.
    pub fn data_records(&self) -> u64 {
        self.data_records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(flags: u32, tag: u32, content: &[u8]) -> Vec<u8> {
        let header = Header {
            size: content.len() as u64,
            flags,
            tag,
        };
        [&header.encode()[..], content].concat()
    }

    fn parts(value_len: usize) -> Vec<u8> {
        let mut bytes = vec![0; parts::HEADER_LEN + value_len];
        bytes[12..16].copy_from_slice(&(value_len as u32).to_le_bytes());
        bytes
    }

    /// Feeds `stream` in steps of `step` bytes; gives the data of every complete record.
    fn load(stream: &[u8], step: usize, limit: u64) -> Result<Vec<Vec<u8>>, LoadError> {
        let mut loader = Loader::new(limit);
        let (mut records, mut current) = (Vec::new(), Vec::new());
        for mut chunk in stream.chunks(step) {
            while !chunk.is_empty() {
                let next = loader.next()?;
                let want = match next {
                    Next::Header(n) => n as u64,
                    Next::Data(n) | Next::Skip(n) => n,
                };
                let n = chunk.len().min(want as usize);
                if matches!(next, Next::Data(_)) {
                    current.extend_from_slice(&chunk[..n]);
                }
                if loader.take(&chunk[..n])? == Progress::DataComplete {
                    records.push(std::mem::take(&mut current));
                }
                chunk = &chunk[n..];
            }
        }
        loader.finish()?;
        assert_eq!(loader.data_records(), records.len() as u64);
        Ok(records)
    }

    #[test]
    fn any_segmentation_gives_the_same_records() {
        let (first, second) = (parts(5), parts(0));
        let stream = [
            record(0, TAG_DEVICE_DATA, &first),
            record(FLAG_OPTIONAL, 7, b"something newer"),
            record(FLAG_OPTIONAL, 8, b""),
            record(0, TAG_DEVICE_DATA, &second),
        ]
        .concat();
        for step in 1..=stream.len() {
            assert_eq!(
                load(&stream, step, 4096),
                Ok(vec![first.clone(), second.clone()]),
                "step {step}"
            );
        }
    }

    #[test]
    fn a_stream_cut_anywhere_is_refused() {
        let stream = record(0, TAG_DEVICE_DATA, &parts(9));
        for len in 0..stream.len() {
            let expected = if len == 0 {
                LoadError::NoData
            } else {
                LoadError::Truncated
            };
            assert_eq!(load(&stream[..len], 3, 4096), Err(expected), "length {len}");
        }
    }

    #[test]
    fn optional_records_alone_are_no_data() {
        let stream = record(FLAG_OPTIONAL, 7, b"x");
        assert_eq!(load(&stream, 1, 4096), Err(LoadError::NoData));
    }

    #[test]
    fn unknown_mandatory_tag_and_flags_are_refused() {
        for (flags, tag) in [(0, 1), (2, 0), (3, 5), (FLAG_OPTIONAL, TAG_DEVICE_DATA)] {
            let stream = record(flags, tag, b"0123456789");
            assert!(
                matches!(load(&stream, 64, 4096), Err(LoadError::UnknownRecord(_))),
                "flags {flags} tag {tag}"
            );
        }
    }

    #[test]
    fn sizes_are_bounded_by_the_device() {
        assert_eq!(
            load(&record(0, TAG_DEVICE_DATA, &[]), 64, 4096),
            Err(LoadError::EmptyRecord)
        );
        let exact = parts(100 - parts::HEADER_LEN);
        assert!(load(&record(0, TAG_DEVICE_DATA, &exact), 64, 100).is_ok());
        for size in [101, u64::from(u32::MAX) - 7, u64::MAX - 8, u64::MAX] {
            assert_eq!(
                load(&Header::device_data(size).encode(), 16, 100),
                Err(LoadError::Oversize { size, limit: 100 })
            );
        }
    }

    #[test]
    fn an_optional_record_of_any_size_is_skipped() {
        let header = Header {
            size: u64::MAX,
            flags: FLAG_OPTIONAL,
            tag: 9,
        };
        let mut loader = Loader::new(100);
        assert_eq!(loader.take(&header.encode()), Ok(Progress::More));
        assert_eq!(loader.next(), Ok(Next::Skip(u64::MAX)));
        assert_eq!(loader.take(&[0; 64]), Ok(Progress::More));
        assert_eq!(loader.next(), Ok(Next::Skip(u64::MAX - 64)));
    }

    #[test]
    fn a_refusal_is_final() {
        let mut loader = Loader::new(100);
        let error = LoadError::EmptyRecord;
        assert_eq!(loader.take(&Header::device_data(0).encode()), Err(error));
        assert_eq!(loader.next(), Err(error));
        assert_eq!(loader.take(&Header::device_data(20).encode()), Err(error));
        assert_eq!(loader.finish(), Err(error));
    }

    #[test]
    fn malformed_parts_are_refused_before_the_device_sees_them() {
        let mut content = parts(4);
        content[12] = 5;
        assert_eq!(
            load(&record(0, TAG_DEVICE_DATA, &content), 64, 4096),
            Err(LoadError::Parts(parts::PartsError::PartTooLong))
        );
    }
}
