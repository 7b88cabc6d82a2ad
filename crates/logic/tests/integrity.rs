// SPDX-License-Identifier: GPL-2.0
//! What a stream promises: the target has the source's state, or the stream is refused.
//! How far that goes depends on how the stream ends (Documentation/fuzzing.rst).

mod support;

use logic::load_error::LoadError;
use logic_streams::{part, Sealing};
use proptest::prelude::*;
use proptest::sample::Index;
use support::{device, drive, Outcome, Writer};

/// Names and lengths of a device's parts, in an order that may be.
fn shape() -> impl Strategy<Value = Vec<(u16, usize)>> {
    let kinds = prop_oneof![0x100u16..0x106, 0x200u16..0x204, Just(0x5ff)];
    prop::collection::vec((kinds, 0usize..24), 1..10).prop_map(|mut shape| {
        shape.sort_by_key(|(kind, _)| *kind);
        shape
    })
}

/// A context of this shape; `fill` says how its values differ from others'.
fn context(shape: &[(u16, usize)], fill: &[u8]) -> Vec<u8> {
    let mut fill = fill.iter().cycle();
    let parts = shape.iter().enumerate().map(|(index, &(kind, length))| {
        let value: Vec<u8> = fill.by_ref().take(length).copied().collect();
        // Selectors make names unique.
        part(kind, index as u64, &value)
    });
    parts.collect::<Vec<_>>().concat()
}

/// What a device was while it was saved: values that change mostly, and parts sometimes.
fn history() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let values = || prop::collection::vec(prop_oneof![6 => Just(0u8), 1 => any::<u8>()], 1..200);
    let era = (shape(), prop::collection::vec(values(), 1..4));
    prop::collection::vec(era, 1..3).prop_map(|eras| {
        let contexts = eras
            .iter()
            .flat_map(|(shape, fills)| fills.iter().map(|fill| context(shape, fill)));
        contexts.collect()
    })
}

fn sealing() -> impl Strategy<Value = Sealing> {
    prop_oneof![
        Just(Sealing::Bare),
        Just(Sealing::Counted),
        Just(Sealing::Sealed)
    ]
}

fn written(history: &[Vec<u8>], sealing: Sealing, notes: usize) -> Vec<Vec<u8>> {
    let mut writer = Writer::new(sealing);
    for context in history {
        writer.context(context, notes);
    }
    writer.finish()
}

/// A stream that has at least two records of device data.
fn stream(sealing: Sealing) -> impl Strategy<Value = Vec<Vec<u8>>> {
    (history(), history()).prop_map(move |(one, other)| {
        // A context that no other has: what follows it is sent whole.
        let between = context(&[(0x300, 3)], &[1, 2, 3]);
        let history = [one, vec![between], other].concat();
        written(&history, sealing, 8)
    })
}

fn load(records: &[Vec<u8>]) -> Outcome {
    drive(&records.concat(), &[usize::MAX])
}

/// Refused, or the same for the device.
fn same_or_refused(good: &[Vec<u8>], damaged: &[u8]) -> Result<(), TestCaseError> {
    let outcome = drive(damaged, &[usize::MAX]);
    if outcome.end.is_ok() {
        prop_assert_eq!(outcome.data, load(good).data);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_saved_is_what_is_loaded(
        history in history(),
        sealing in sealing(),
        notes in 0usize..6,
        cuts in prop::collection::vec(1usize..70, 1..20),
    ) {
        let records = written(&history, sealing, notes);
        let outcome = drive(&records.concat(), &cuts);
        prop_assert_eq!(outcome.end, Ok(()));
        // Since the shape changed last, each part has its last value.
        let last = history.last().cloned().into_iter().collect::<Vec<_>>();
        let found = device(&outcome.data);
        for (name, part) in device(&last) {
            prop_assert_eq!(found.get(&name), Some(&part));
        }
    }

    #[test]
    fn a_cut_stream_is_refused(
        records in prop_oneof![stream(Sealing::Sealed), stream(Sealing::Counted)],
        at in any::<Index>(),
    ) {
        let whole = records.concat();
        let outcome = drive(&whole[..at.index(whole.len())], &[usize::MAX]);
        prop_assert!(outcome.end.is_err_and(|error| error.is_premature_end()));
    }

    #[test]
    fn two_flipped_bits_are_noticed_or_harmless(
        records in stream(Sealing::Sealed),
        one in any::<Index>(),
        other in any::<Index>(),
    ) {
        let mut damaged = records.concat();
        let bits = 8 * damaged.len();
        for bit in [one.index(bits), other.index(bits)] {
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
        same_or_refused(&records, &damaged)?;
    }

    #[test]
    fn a_burst_is_noticed_or_harmless(
        records in stream(Sealing::Sealed),
        at in any::<Index>(),
        bytes in any::<[u8; 4]>(),
    ) {
        let mut damaged = records.concat();
        let at = at.index(damaged.len());
        for (byte, other) in damaged[at..].iter_mut().zip(bytes) {
            *byte ^= other;
        }
        same_or_refused(&records, &damaged)?;
    }

    #[test]
    fn reordered_records_are_noticed_or_harmless(
        records in stream(Sealing::Sealed),
        one in any::<Index>(),
        other in any::<Index>(),
    ) {
        let mut damaged = records.clone();
        damaged.swap(one.index(records.len()), other.index(records.len()));
        same_or_refused(&records, &damaged.concat())?;
    }

    #[test]
    fn lost_and_repeated_records_are_noticed(
        records in prop_oneof![stream(Sealing::Sealed), stream(Sealing::Counted)],
        at in any::<Index>(),
        repeat: bool,
    ) {
        let mut damaged = records.clone();
        let at = at.index(records.len());
        if repeat {
            damaged.insert(at, records[at].clone());
        } else {
            damaged.remove(at);
        }
        prop_assert!(load(&damaged).end.is_err(), "record {}", at);
    }

    #[test]
    fn spliced_streams_are_refused_or_one_of_both(
        first in stream(Sealing::Sealed),
        second in stream(Sealing::Sealed),
        to in any::<Index>(),
        from in any::<Index>(),
        whole_records: bool,
    ) {
        let spliced = if whole_records {
            let (to, from) = (to.index(first.len() + 1), from.index(second.len() + 1));
            [first[..to].concat(), second[from..].concat()].concat()
        } else {
            let (first, second) = (first.concat(), second.concat());
            [&first[..to.index(first.len())], &second[from.index(second.len())..]].concat()
        };
        let outcome = drive(&spliced, &[usize::MAX]);
        if outcome.end.is_ok() {
            prop_assert!([&first, &second].iter().any(|good| load(good).data == outcome.data));
        }
    }

    /// Without a checksum, and without an end: the framing is right in whatever is loaded,
    /// and no more is promised.
    #[test]
    fn without_a_checksum_only_whole_parts_get_through(
        records in prop_oneof![stream(Sealing::Counted), stream(Sealing::Bare)],
        flips in prop::collection::vec((any::<Index>(), 1u8..), 1..6),
    ) {
        let mut damaged = records.concat();
        for (at, other) in flips {
            let at = at.index(damaged.len());
            damaged[at] ^= other;
        }
        for record in drive(&damaged, &[usize::MAX]).data {
            let parts = logic::parts::Parts::new(&record);
            let found: usize = parts.map(|(_, part)| part.len()).sum();
            prop_assert_eq!(found, record.len());
            prop_assert!(logic::parts::check(&record).is_ok());
        }
    }
}

/// A stream of two contexts.
fn two(sealing: Sealing) -> Vec<Vec<u8>> {
    let contexts = [
        context(&[(0x104, 8)], &[1]),
        context(&[(0x104, 8), (0x200, 1)], &[2]),
    ];
    written(&contexts, sealing, 8)
}

#[test]
fn what_no_checksum_means() {
    let records = two(Sealing::Counted);
    assert_eq!(load(&records).end, Ok(()));
    // A wrong value, and records of equal numbers of parts in another order, pass.
    let mut other = records.clone();
    *other[1].last_mut().unwrap() ^= 1;
    assert_eq!(load(&other).end, Ok(()));
    assert_ne!(load(&other).data, load(&records).data);
    // Lengths, names of records, numbers of parts and of records do not.
    for (record, byte, expected) in [
        (1, 0, None),
        (1, 8, None),
        (1, 12, None),
        (1, 28, None),
        (
            0,
            16 + 8,
            Some(LoadError::PartCount {
                announced: 0,
                found: 1,
            }),
        ),
        (
            4,
            16,
            Some(LoadError::RecordCount {
                announced: 5,
                found: 4,
            }),
        ),
        (4, 16 + 8, Some(LoadError::Checksum)),
    ] {
        let mut other = records.clone();
        other[record][byte] ^= 1;
        let end = load(&other).end;
        assert!(end.is_err(), "byte {byte} of record {record}");
        if let Some(expected) = expected {
            assert_eq!(end, Err(expected));
        }
    }
}

/// Three bits are enough to take identity and end away, and then there is no seal: the
/// checksum is against damage by chance, and no signature.
#[test]
fn three_chosen_bits_break_the_seal() {
    let records = two(Sealing::Sealed);
    let mut other = records.clone();
    for identity in [0, 2] {
        other[identity][12] ^= 1;
    }
    other[4][12] ^= 1;
    *other[1].last_mut().unwrap() ^= 1;
    let outcome = load(&other);
    assert_eq!(outcome.end, Ok(()));
    assert_ne!(outcome.data, load(&records).data);
}
