// SPDX-License-Identifier: GPL-2.0
//! The state that a stream leaves a device in, to be compared with another's.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use anyhow::{Context, Result, ensure};
use logic::identity::Identity;
use logic::record::{TAG_DEVICE_DATA, TAG_IDENTITY};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::walk::{Fault, Item, Part, walk};

/// Parts that are kept at most, so that no file takes all memory.
pub const MAX_PARTS: usize = 1 << 20;

/// What tells a part from others: its type and selector.
pub type Key = (u16, [u8; 8]);

/// What a stream comes to.
#[derive(Debug)]
pub enum Contents {
    /// Device parts, the last of each that the stream has.
    Parts {
        /// Virtio device type, if the stream says so.
        device_type: Option<u16>,
        /// The parts.
        parts: BTreeMap<Key, Part>,
    },
    /// No records of device parts: another driver's stream, or none.
    Opaque {
        /// Its length.
        bytes: u64,
        /// SHA-256 of all of it.
        digest: [u8; 32],
    },
    /// Records of device parts, with a fault in them.
    Faulty(Fault),
}

impl Contents {
    /// What `input` comes to.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has too many parts.
    pub fn of(mut input: impl Read + Seek) -> Result<Self> {
        let mut collector = Collector::default();
        let walked = walk(&mut input, &mut |item| collector.take(item))?;
        match walked.fault {
            None => Ok(Self::Parts {
                device_type: collector.device_type,
                parts: collector.parts,
            }),
            // Not even one record: it need not be such a stream at all.
            Some(_) if walked.data_records == 0 && collector.device_type.is_none() => opaque(input),
            Some(fault) => Ok(Self::Faulty(fault)),
        }
    }
}

fn opaque(mut input: impl Read + Seek) -> Result<Contents> {
    input.rewind().context("reading the stream again")?;
    let mut digest = Sha256::new();
    let bytes = std::io::copy(&mut input, &mut digest).context("reading the stream")?;
    Ok(Contents::Opaque {
        bytes,
        digest: digest.finalize().into(),
    })
}

#[derive(Default)]
struct Collector {
    device_type: Option<u16>,
    /// Records add to each other: the stream has identities.
    adding: bool,
    parts: BTreeMap<Key, Part>,
}

impl Collector {
    fn take(&mut self, item: Item) -> Result<()> {
        match item {
            // All parts follow, here and in each record of the in-tree driver.
            Item::Record { header, .. } if header.tag == TAG_IDENTITY => {
                self.adding = true;
                self.parts.clear();
            }
            Item::Record { header, .. } if header.tag == TAG_DEVICE_DATA && !self.adding => {
                self.parts.clear();
            }
            Item::Identity(Some(Identity { device_type, .. })) => {
                self.device_type = Some(device_type);
            }
            Item::Part(part) => {
                let key = (part.header.part_type, part.header.selector);
                self.parts.insert(key, part);
                ensure!(
                    self.parts.len() <= MAX_PARTS,
                    "more than {MAX_PARTS} device parts: this is no stream of a real device"
                );
            }
            _ => {}
        }
        Ok(())
    }
}

/// How a part differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Only the first has it.
    OnlyFirst,
    /// Only the second has it.
    OnlySecond,
    /// Both have it, with other values or flags.
    Changed,
}

/// A part that differs.
#[derive(Debug)]
pub struct Difference<'a> {
    /// Which.
    pub key: Key,
    /// How.
    pub kind: Kind,
    /// That of the first.
    pub first: Option<&'a Part>,
    /// That of the second.
    pub second: Option<&'a Part>,
}

impl<'a> Difference<'a> {
    /// All differences between two sets of parts, by type and selector.
    pub fn between(
        first: &'a BTreeMap<Key, Part>,
        second: &'a BTreeMap<Key, Part>,
    ) -> Vec<Difference<'a>> {
        let mut differences = Vec::new();
        for (&key, part) in first {
            let kind = match second.get(&key) {
                None => Kind::OnlyFirst,
                Some(other) if same(part, other) => continue,
                Some(_) => Kind::Changed,
            };
            differences.push(Difference {
                key,
                kind,
                first: Some(part),
                second: second.get(&key),
            });
        }
        for (&key, part) in second {
            if !first.contains_key(&key) {
                differences.push(Difference {
                    key,
                    kind: Kind::OnlySecond,
                    first: None,
                    second: Some(part),
                });
            }
        }
        differences.sort_by_key(|difference| difference.key);
        differences
    }

    /// The first byte of the value that differs, if it is among those that were kept.
    pub fn first_byte(&self) -> Option<usize> {
        let (first, second) = (self.first?, self.second?);
        let mut bytes = first.preview.iter().zip(&second.preview);
        bytes.position(|(a, b)| a != b)
    }
}

fn same(a: &Part, b: &Part) -> bool {
    a.header == b.header && a.digest == b.digest
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::stream::testing::{data, identity, part, parts, sealed, stream};

    fn parts_of(stream: &[u8]) -> BTreeMap<Key, Part> {
        match Contents::of(Cursor::new(stream)).unwrap() {
            Contents::Parts { parts, .. } => parts,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn later_records_win() {
        let all = parts();
        let changed = part(0x103, 0, &[0]);
        let first = [
            identity(all.len() as u32, &[0x20, 0, 0, 0, 1]),
            data(&all),
            data(std::slice::from_ref(&changed)),
        ];
        let moved = parts_of(&sealed(&first));
        assert_eq!(moved.len(), all.len());
        assert_eq!(moved[&(0x103, [0; 8])].preview, [0]);
        // The in-tree driver's records are complete.
        let complete = parts_of(&[data(&all), data(&[changed])].concat());
        assert_eq!(complete.len(), 1);
    }

    #[test]
    fn differences() {
        let (a, b) = (part(0x103, 0, &[1]), part(0x103, 0, &[2]));
        let queue = |index| part(0x104, index, &[0; 32]);
        let first = parts_of(&data(&[a, queue(0), queue(1)]));
        let second = parts_of(&data(&[b, queue(1), queue(2)]));
        let found: Vec<_> = Difference::between(&first, &second)
            .iter()
            .map(|difference| (difference.key.0, difference.kind, difference.first_byte()))
            .collect();
        assert_eq!(
            found,
            [
                (0x103, Kind::Changed, Some(0)),
                (0x104, Kind::OnlyFirst, None),
                (0x104, Kind::OnlySecond, None)
            ]
        );
        assert!(Difference::between(&first, &first).is_empty());
    }

    #[test]
    fn other_streams_are_opaque_and_cut_ones_faulty() {
        let of = |bytes: &[u8]| Contents::of(Cursor::new(bytes.to_vec())).unwrap();
        let opaque = of(b"EDU1 and registers");
        assert!(matches!(opaque, Contents::Opaque { bytes: 18, .. }));
        let mut cut = stream();
        cut.pop();
        assert!(matches!(of(&cut), Contents::Faulty(_)));
    }
}
