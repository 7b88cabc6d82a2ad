// SPDX-License-Identifier: GPL-2.0
//! Properties of the stream loader under random input.

use logic::features::Features;
use logic::identity::{End, Identity};
use logic::load_error::LoadError;
use logic::record::{Header, FLAG_OPTIONAL, TAG_DEVICE_DATA, TAG_END, TAG_IDENTITY};
use logic::seal::Seal;
use proptest::prelude::*;

mod support;

use support::{drive, Outcome};

fn part() -> impl Strategy<Value = Vec<u8>> {
    (
        // Beyond the types that have an order.
        0x106u16..,
        any::<u8>(),
        any::<[u8; 8]>(),
        prop::collection::vec(any::<u8>(), 0..80),
    )
        .prop_map(|(kind, flags, selector, value)| {
            let mut bytes = kind.to_le_bytes().to_vec();
            bytes.extend([flags, 0]);
            bytes.extend(selector);
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend(value);
            bytes
        })
}

/// A well-formed record, with its content if it is device data.
fn record() -> impl Strategy<Value = (Vec<u8>, Option<Vec<u8>>)> {
    let data = prop::collection::vec(part(), 1..6).prop_map(|parts| {
        let content = parts.concat();
        let header = Header::device_data(content.len() as u64);
        ([&header.encode()[..], &content].concat(), Some(content))
    });
    let optional =
        (1u32..1 << 16, prop::collection::vec(any::<u8>(), 0..100)).prop_map(|(tag, content)| {
            let header = Header {
                size: content.len() as u64,
                flags: FLAG_OPTIONAL,
                tag,
            };
            assert!(![TAG_DEVICE_DATA, TAG_IDENTITY, TAG_END].contains(&tag));
            ([&header.encode()[..], &content].concat(), None)
        });
    prop_oneof![data, optional]
}

/// The stream with an identity before and an end behind it.
fn sealed(records: &[(Vec<u8>, Option<Vec<u8>>)]) -> Vec<u8> {
    let parts = |content: &[u8]| logic::parts::Parts::new(content).count() as u32;
    let first = records.iter().find_map(|(_, data)| data.as_deref());
    let identity = Identity {
        device_type: 1,
        parts: first.map_or(0, parts),
        features: Features::from_bytes(&[0xaa; 9]),
        checksum: true,
    };
    let (content, len) = identity.encode();
    let mut stream = Header::optional(TAG_IDENTITY, len as u64).encode().to_vec();
    stream.extend(&content[..len]);
    stream.extend(records.iter().flat_map(|(bytes, _)| bytes));
    let mut seal = Seal::new(logic::crc32c);
    seal.add(&stream);
    let end = End {
        records: records.len() as u64 + 1,
        checksum: seal.checksum(),
    };
    let content = end.encode();
    stream.extend(Header::optional(TAG_END, content.len() as u64).encode());
    stream.extend(content);
    stream
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..70, 1..20)
}

proptest! {
    #[test]
    fn well_formed_streams_load_whole(records in prop::collection::vec(record(), 0..8), cuts in cuts()) {
        let stream: Vec<u8> = records.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let data: Vec<Vec<u8>> = records.into_iter().filter_map(|(_, data)| data).collect();
        let end = if data.is_empty() { Err(LoadError::NoData) } else { Ok(()) };
        prop_assert_eq!(drive(&stream, &cuts), Outcome { data, end });
    }

    #[test]
    fn sealed_streams_load_whole(records in prop::collection::vec(record(), 0..8), cuts in cuts()) {
        let stream = sealed(&records);
        let data: Vec<Vec<u8>> = records.into_iter().filter_map(|(_, data)| data).collect();
        let end = if data.is_empty() { Err(LoadError::NoData) } else { Ok(()) };
        prop_assert_eq!(drive(&stream, &cuts), Outcome { data, end });
    }

    #[test]
    fn damage_to_a_sealed_stream_never_goes_unnoticed(
        records in prop::collection::vec(record(), 1..5),
        at in any::<prop::sample::Index>(),
        other in 1u8..,
        cut in any::<prop::sample::Index>(),
        cuts in cuts(),
    ) {
        let mut stream = sealed(&records);
        // The last four bytes mean nothing.
        let at = at.index(stream.len() - 4);
        stream[at] ^= other;
        prop_assert!(drive(&stream, &cuts).end.is_err(), "byte {}", at);
        stream[at] ^= other;
        stream.truncate(cut.index(stream.len()));
        prop_assert!(drive(&stream, &cuts).end.is_err(), "length {}", stream.len());
    }

    #[test]
    fn the_cut_does_not_matter(stream in prop::collection::vec(any::<u8>(), 0..300), a in cuts(), b in cuts()) {
        prop_assert_eq!(drive(&stream, &a), drive(&stream, &b));
    }

    #[test]
    fn a_flipped_bit_never_loads_other_data_lengths(
        records in prop::collection::vec(record(), 1..5),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
        cuts in cuts(),
    ) {
        let mut stream: Vec<u8> = records.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let at = at.index(stream.len());
        stream[at] ^= 1 << bit;
        let outcome = drive(&stream, &cuts);
        // Whatever was handed over is made of whole parts.
        for content in outcome.data {
            let mut rest = &content[..];
            while !rest.is_empty() {
                prop_assert!(rest.len() >= 16);
                let length = u32::from_le_bytes([rest[12], rest[13], rest[14], rest[15]]) as usize;
                prop_assert!(rest.len() >= 16 + length);
                rest = &rest[16 + length..];
            }
        }
    }
}
