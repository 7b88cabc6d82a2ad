// SPDX-License-Identifier: GPL-2.0

//! The loader's view of an incoming stream: what the next bytes are, and
//! whether they may be.
//!
//! [`Parser`] decides; its user moves the bytes. It keeps nothing but the
//! current header, so that what the loading side allocates follows the bytes
//! that have arrived and never what a header merely announces.

use super::{
    features::Features,
    identity::{
        End,
        Identity,
        END_LEN,
        MAX_LEN, //
    },
    load_error::LoadError,
    parts,
    record::{
        Header,
        FLAG_OPTIONAL,
        HEADER_LEN,
        TAG_DEVICE_DATA,
        TAG_END,
        TAG_IDENTITY, //
    },
    seal::{
        Crc32c,
        Seal, //
    }, //
};

/// The device that is to be loaded.
#[derive(Clone, Copy)]
pub struct TargetDevice {
    /// Most bytes of device data that it can be given at once.
    pub limit: u64,
    /// Virtio device type.
    pub device_type: u16,
    /// How checksums are made.
    pub crc32c: Crc32c,
}

/// What the next bytes of the stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This many bytes of a record header.
    Header(usize),
    /// This many bytes of device data, not zero.
    Data(u64),
    /// This many bytes of a record for the loader alone, not zero.
    Control(usize),
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

#[derive(Clone, Copy)]
enum Control {
    Identity,
    End,
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
    Control {
        kind: Control,
        bytes: [u8; MAX_LEN],
        filled: usize,
        size: usize,
        /// Bytes behind those, of a version that has more.
        more: u64,
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

    /// Behind `left` bytes that nobody wants.
    const fn skip(left: u64) -> Self {
        match left {
            0 => Self::START,
            _ => Self::Skip { left },
        }
    }
}

/// Parser of a migration stream.
///
/// Once it has refused a stream it refuses every further byte with the same
/// error.
pub struct Parser {
    target: TargetDevice,
    state: State,
    seal: Seal,
    data_records: u64,
    /// The stream began with an identity: it must have an end.
    identified: bool,
    /// The end record is complete.
    ended: bool,
    /// What the next device data record has, if that was announced.
    announced: Option<Identity>,
    /// The features that were negotiated, as the last record with device data has them.
    negotiated: Option<Features>,
}

impl Parser {
    /// A loader for a device.
    pub const fn new(target: TargetDevice) -> Self {
        Self {
            target,
            state: State::START,
            seal: Seal::new(target.crc32c),
            data_records: 0,
            identified: false,
            ended: false,
            announced: None,
            negotiated: None,
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
            State::Control { filled, size, .. } => Ok(Next::Control(size - filled)),
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
                if !fill(bytes, filled, input) {
                    return Ok(Progress::More);
                }
                let bytes = *bytes;
                let header = Header::decode(&bytes);
                let progress = self.begin(header)?;
                // The end record seals all that is before it.
                if header.tag != TAG_END {
                    self.seal.add(&bytes);
                    self.seal.count_record();
                }
                Ok(progress)
            }
            State::Data { left, parts } => {
                self.seal.add(input);
                parts.push(input).map_err(LoadError::Parts)?;
                *left = left.saturating_sub(input.len() as u64);
                if *left > 0 {
                    return Ok(Progress::More);
                }
                let (found, negotiated) = (parts.count(), parts.negotiated());
                if let Some(identity) = self.announced.take() {
                    let announced = identity.parts;
                    if announced != found {
                        return Err(LoadError::PartCount { announced, found });
                    }
                    if negotiated.is_some_and(|negotiated| negotiated != identity.features) {
                        return Err(LoadError::OtherFeatures);
                    }
                }
                self.negotiated = negotiated.or(self.negotiated);
                self.state = State::START;
                self.data_records += 1;
                Ok(Progress::DataComplete)
            }
            State::Control {
                kind,
                bytes,
                filled,
                size,
                more,
            } => {
                let content = bytes.get_mut(..*size).unwrap_or_default();
                if !fill(content, filled, input) {
                    return Ok(Progress::More);
                }
                let (kind, bytes, size, more) = (*kind, *bytes, *size, *more);
                self.state = State::skip(more);
                match kind {
                    Control::Identity => {
                        self.identity(bytes.get(..size).unwrap_or_default(), more)?;
                    }
                    Control::End => self.end(&bytes)?,
                }
                Ok(Progress::More)
            }
            State::Skip { left } => {
                self.seal.add(input);
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
        if self.ended {
            return Err(LoadError::BehindEnd);
        }
        match (header.tag, header.flags) {
            (TAG_DEVICE_DATA, 0) => self.begin_data(header.size),
            (TAG_IDENTITY, FLAG_OPTIONAL) => self.begin_control(Control::Identity, header.size),
            (TAG_END, FLAG_OPTIONAL) => self.begin_control(Control::End, header.size),
            (tag, FLAG_OPTIONAL) if tag != TAG_DEVICE_DATA => {
                self.state = State::skip(header.size);
                Ok(Progress::More)
            }
            (_, 0) => Err(LoadError::UnknownRecord(header)),
            _ => Err(LoadError::Flags(header)),
        }
    }

    fn begin_data(&mut self, size: u64) -> Result<Progress, LoadError> {
        if size == 0 {
            return Err(LoadError::EmptyRecord);
        }
        let limit = self.target.limit;
        if size > limit {
            return Err(LoadError::Oversize { size, limit });
        }
        self.state = State::Data {
            left: size,
            parts: parts::Checker::new(size),
        };
        Ok(Progress::DataAhead(size))
    }

    fn begin_control(&mut self, kind: Control, size: u64) -> Result<Progress, LoadError> {
        let (fits, kept) = match kind {
            Control::Identity => (size > 0, size.min(MAX_LEN as u64)),
            Control::End => (size == END_LEN as u64, size),
        };
        if !fits {
            return Err(LoadError::Malformed);
        }
        self.state = State::Control {
            kind,
            bytes: [0; MAX_LEN],
            filled: 0,
            size: kept as usize,
            more: size - kept,
        };
        Ok(Progress::More)
    }

    /// Takes an identity of which all or `content`, its beginning, is there.
    fn identity(&mut self, content: &[u8], more: u64) -> Result<(), LoadError> {
        self.seal.add(content);
        let identity = match Identity::decode(content) {
            Ok(Some(identity)) if more == 0 => identity,
            // Of another version, and optional. The seal still tells whether the rest is sound.
            Ok(None) => return Ok(()),
            _ => return Err(LoadError::Malformed),
        };
        let device = self.target.device_type;
        if identity.device_type != device {
            return Err(LoadError::DeviceType {
                stream: identity.device_type,
                device,
            });
        }
        if !identity.checksum {
            self.seal.leave_out_checksum();
        }
        self.identified = true;
        self.announced = Some(identity);
        Ok(())
    }

    fn end(&mut self, bytes: &[u8; MAX_LEN]) -> Result<(), LoadError> {
        let content = bytes.first_chunk::<END_LEN>().ok_or(LoadError::Truncated)?;
        let end = End::decode(content);
        let found = self.seal.records();
        if end.records != found {
            return Err(LoadError::RecordCount {
                announced: end.records,
                found,
            });
        }
        if end.checksum != self.seal.checksum() {
            return Err(LoadError::Checksum);
        }
        self.ended = true;
        Ok(())
    }

    /// Whether the stream may end here.
    ///
    /// # Errors
    ///
    /// Why it may not: refused earlier, inside a record, without data, or
    /// without the end that it must have.
    pub fn finish(&self) -> Result<(), LoadError> {
        match self.state {
            State::Failed(error) => Err(error),
            State::Header { filled: 0, .. } if self.data_records == 0 => Err(LoadError::NoData),
            State::Header { filled: 0, .. } if self.identified && !self.ended => {
                Err(LoadError::NoEnd)
            }
            State::Header { filled: 0, .. } => Ok(()),
            _ => Err(LoadError::Truncated),
        }
    }

    /// A feature, by bit number, that the guest uses by the device data there was, and
    /// that is not `offered`.
    pub fn missing_feature(&self, offered: &Features) -> Option<u32> {
        self.negotiated?.first_not_in(offered)
    }

    /// Number of device data records that were complete.
    pub fn data_records(&self) -> u64 {
        self.data_records
    }
}

/// Fills `bytes` with `input`; whether they are full now.
fn fill(bytes: &mut [u8], filled: &mut usize, input: &[u8]) -> bool {
    let room = bytes.get_mut(*filled..).unwrap_or_default();
    let n = input.len().min(room.len());
    room[..n].copy_from_slice(&input[..n]);
    *filled += n;
    *filled == bytes.len()
}

#[cfg(test)]
mod tests {
    use super::super::seal::slow_crc32c;
    use super::*;

    fn target(limit: u64) -> TargetDevice {
        TargetDevice {
            limit,
            device_type: 1,
            crc32c: slow_crc32c,
        }
    }

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
        let mut loader = Parser::new(target(limit));
        let (mut records, mut current) = (Vec::new(), Vec::new());
        for mut chunk in stream.chunks(step) {
            while !chunk.is_empty() {
                let next = loader.next()?;
                let want = match next {
                    Next::Header(n) | Next::Control(n) => n as u64,
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

    fn loads_in_any_segmentation(stream: &[u8], records: &[Vec<u8>]) {
        for step in 1..=stream.len() {
            let loaded = load(stream, step, 4096);
            assert_eq!(loaded.as_deref(), Ok(records), "step {step}");
        }
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
        loads_in_any_segmentation(&stream, &[first, second]);
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
        let header = |flags, tag| Header {
            size: 10,
            flags,
            tag,
        };
        let load = |flags, tag| load(&record(flags, tag, b"0123456789"), 64, 4096);
        assert_eq!(load(0, 1), Err(LoadError::UnknownRecord(header(0, 1))));
        for (flags, tag) in [(2, 0), (3, 5), (FLAG_OPTIONAL, TAG_DEVICE_DATA)] {
            assert_eq!(load(flags, tag), Err(LoadError::Flags(header(flags, tag))));
        }
    }

    #[test]
    fn sizes_are_bounded() {
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
        let mut loader = Parser::new(target(100));
        assert_eq!(loader.take(&header.encode()), Ok(Progress::More));
        assert_eq!(loader.next(), Ok(Next::Skip(u64::MAX)));
        assert_eq!(loader.take(&[0; 64]), Ok(Progress::More));
        assert_eq!(loader.next(), Ok(Next::Skip(u64::MAX - 64)));
    }

    #[test]
    fn a_refusal_is_final() {
        let mut loader = Parser::new(target(100));
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

    fn identity(device_type: u16, parts: u32, features: &[u8]) -> Vec<u8> {
        let identity = Identity {
            device_type,
            parts,
            features: Features::from_bytes(features),
            checksum: true,
        };
        let (bytes, len) = identity.encode();
        record(FLAG_OPTIONAL, TAG_IDENTITY, &bytes[..len])
    }

    /// The stream with its end record, which counts `records`.
    fn ended(records: u64, stream: &[Vec<u8>]) -> Vec<u8> {
        let stream = stream.concat();
        let mut seal = Seal::new(slow_crc32c);
        seal.add(&stream);
        let end = End {
            records,
            checksum: seal.checksum(),
        };
        [stream, record(FLAG_OPTIONAL, TAG_END, &end.encode())].concat()
    }

    #[test]
    fn a_sealed_stream_loads_in_any_segmentation() {
        let (first, second) = (parts(5), parts(0));
        let stream = ended(
            4,
            &[
                identity(1, 1, &[3]),
                record(0, TAG_DEVICE_DATA, &first),
                record(FLAG_OPTIONAL, 77, b"later"),
                record(0, TAG_DEVICE_DATA, &second),
            ],
        );
        loads_in_any_segmentation(&stream, &[first, second]);
    }

    #[test]
    fn an_identity_promises_an_end() {
        let stream = [identity(1, 1, &[]), record(0, TAG_DEVICE_DATA, &parts(1))].concat();
        assert_eq!(load(&stream, 9, 4096), Err(LoadError::NoEnd));
    }

    #[test]
    fn every_flipped_bit_of_a_sealed_stream_is_noticed() {
        let stream = ended(2, &[identity(1, 1, &[3]), record(0, 0, &parts(6))]);
        // The end's last four bytes are unused.
        for bit in 0..8 * (stream.len() - 4) {
            let mut other = stream.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(load(&other, 16, 4096).is_err(), "bit {bit}");
        }
    }

    /// The stream without a checksum, and with the end that it must have then.
    fn unsealed(records: u64, stream: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = stream.concat();
        stream[HEADER_LEN + 14] = 1;
        let end = End {
            records,
            checksum: 0,
        };
        [stream, record(FLAG_OPTIONAL, TAG_END, &end.encode())].concat()
    }

    #[test]
    fn a_stream_without_a_checksum_has_the_other_checks() {
        let records = [identity(1, 1, &[]), record(0, TAG_DEVICE_DATA, &parts(6))];
        let stream = unsealed(2, &records);
        loads_in_any_segmentation(&stream, &[parts(6)]);

        let mut other = stream.clone();
        let last_of_data = 2 * HEADER_LEN + identity_len() + parts(6).len() - 1;
        other[last_of_data] ^= 1;
        assert!(load(&other, 16, 4096).is_ok());

        let wrong_count = unsealed(3, &records);
        assert!(matches!(
            load(&wrong_count, 16, 4096),
            Err(LoadError::RecordCount { .. })
        ));
        assert_eq!(
            load(&stream[..stream.len() - HEADER_LEN - END_LEN], 16, 4096),
            Err(LoadError::NoEnd)
        );
        // An end with a checksum contradicts its identity.
        let mut other = ended(2, &records);
        other[HEADER_LEN + 14] = 1;
        assert_eq!(load(&other, 16, 4096), Err(LoadError::Checksum));
    }

    fn identity_len() -> usize {
        identity(1, 1, &[]).len() - HEADER_LEN
    }

    #[test]
    fn the_wrong_device_is_told_before_any_data() {
        let load = |stream: &[u8]| Parser::new(target(4096)).take_all(stream);
        assert_eq!(
            load(&identity(2, 1, &[])),
            Err(LoadError::DeviceType {
                stream: 2,
                device: 1
            })
        );
    }

    impl Parser {
        fn take_all(&mut self, mut stream: &[u8]) -> Result<(), LoadError> {
            while !stream.is_empty() {
                let n = match self.next()? {
                    Next::Header(n) | Next::Control(n) => n,
                    Next::Data(n) | Next::Skip(n) => n as usize,
                };
                let (head, rest) = stream.split_at(n.min(stream.len()));
                self.take(head)?;
                stream = rest;
            }
            self.finish()
        }
    }

    /// A record whose only part says that these features were negotiated.
    fn negotiated(features: u8) -> Vec<u8> {
        let mut content = parts(8);
        content[..2].copy_from_slice(&parts::DRV_FEATURES.to_le_bytes());
        content[parts::HEADER_LEN] = features;
        record(0, TAG_DEVICE_DATA, &content)
    }

    #[test]
    fn a_missing_feature_is_named_when_the_device_refuses() {
        let offered = Features::from_bytes(&[0x0f]);
        let missing = |stream: &[Vec<u8>]| {
            let mut loader = Parser::new(target(4096));
            let _ = loader.take_all(&stream.concat());
            loader.missing_feature(&offered)
        };
        assert_eq!(missing(&[negotiated(0x41)]), Some(6));
        assert_eq!(missing(&[negotiated(0x01)]), None);
        // Of a later record there may be no features, and they stay.
        let data = record(0, TAG_DEVICE_DATA, &parts(1));
        assert_eq!(missing(&[negotiated(0x41), data.clone()]), Some(6));
        assert_eq!(missing(&[negotiated(0x41), negotiated(0x01)]), None);
        assert_eq!(missing(&[data]), None);
        assert_eq!(missing(&[]), None);
    }

    #[test]
    fn an_identity_has_the_features_of_its_data() {
        let stream = |features| ended(2, &[identity(1, 1, &[features]), negotiated(3)]);
        assert!(load(&stream(3), 7, 4096).is_ok());
        assert_eq!(load(&stream(1), 7, 4096), Err(LoadError::OtherFeatures));
        // The guest may negotiate anew later.
        let later = ended(3, &[identity(1, 1, &[3]), negotiated(3), negotiated(1)]);
        assert!(load(&later, 7, 4096).is_ok());
    }

    #[test]
    fn counts_must_agree() {
        let data = || record(0, TAG_DEVICE_DATA, &parts(1));
        assert_eq!(
            load(&ended(2, &[identity(1, 2, &[]), data()]), 64, 4096),
            Err(LoadError::PartCount {
                announced: 2,
                found: 1
            })
        );
        assert_eq!(
            load(&ended(3, &[identity(1, 1, &[]), data()]), 64, 4096),
            Err(LoadError::RecordCount {
                announced: 3,
                found: 2
            })
        );
        // The second record is a delta, of any number of parts.
        assert!(load(&ended(3, &[identity(1, 1, &[]), data(), data()]), 64, 4096).is_ok());
    }

    #[test]
    fn nothing_follows_the_end() {
        let data = || record(0, TAG_DEVICE_DATA, &parts(1));
        let stream = [ended(1, &[data()]), data()].concat();
        assert_eq!(load(&stream, 64, 4096), Err(LoadError::BehindEnd));
    }

    #[test]
    fn records_of_ours_have_their_sizes() {
        for (tag, size) in [
            (TAG_IDENTITY, 0),
            (TAG_END, 0),
            (TAG_END, END_LEN as u64 - 1),
            (TAG_END, END_LEN as u64 + 1),
        ] {
            let mut loader = Parser::new(target(4096));
            assert_eq!(
                loader.take_all(&Header::optional(tag, size).encode()),
                Err(LoadError::Malformed),
                "tag {tag:#x}, size {size}"
            );
        }
        // Longer than any of this version.
        let (bytes, _) = Identity {
            device_type: 1,
            parts: 1,
            features: Features::from_bytes(&[0xff; 8 * MAX_LEN]),
            checksum: true,
        }
        .encode();
        let long = [&bytes[..], &[0; 8]].concat();
        let stream = record(FLAG_OPTIONAL, TAG_IDENTITY, &long);
        let mut loader = Parser::new(target(4096));
        assert_eq!(loader.take_all(&stream), Err(LoadError::Malformed));
    }

    /// An identity of version 2 with this many bytes of content.
    fn later_identity(len: usize) -> Vec<u8> {
        let mut stream = identity(2, 9, &[0xff]);
        stream[HEADER_LEN + 4] = 2;
        let mut content = stream.split_off(HEADER_LEN);
        content.resize(len, 0xee);
        record(FLAG_OPTIONAL, TAG_IDENTITY, &content)
    }

    #[test]
    fn an_identity_of_another_version_is_skipped() {
        let data = || record(0, TAG_DEVICE_DATA, &parts(1));
        for len in [24, MAX_LEN, MAX_LEN + 1, 5000] {
            let stream = ended(2, &[later_identity(len), data()]);
            for step in [1, 17, stream.len()] {
                assert_eq!(load(&stream, step, 4096), Ok(vec![parts(1)]), "{len} bytes");
            }
            // Without its end, too, since it has promised none that we know of.
            assert!(load(&[later_identity(len), data()].concat(), 64, 4096).is_ok());
            // What it ends with must be right, nevertheless.
            for flipped in [20, HEADER_LEN + len + 3, HEADER_LEN + len + HEADER_LEN + 2] {
                let mut other = stream.clone();
                other[flipped] ^= 1;
                assert!(load(&other, 64, 4096).is_err(), "byte {flipped}");
            }
        }
    }
}
