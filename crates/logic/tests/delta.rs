// SPDX-License-Identifier: GPL-2.0
//! A target that loads deltas ends up with the source's context.

use logic::delta::{compare, Change, Span};
use logic::parts::Parts;
use proptest::prelude::*;

/// What a device makes of parts it is given: each replaces its namesake.
fn set(context: &mut [u8], delta: &[u8]) {
    let mut given: Vec<_> = Parts::new(delta).collect();
    let mut at = 0;
    let own: Vec<(usize, Vec<u8>)> = Parts::new(&context.to_vec())
        .map(|(header, part)| {
            let start = at;
            at += part.len();
            (start, header.to_vec())
        })
        .collect();
    for (start, header) in own {
        if let Some(i) = given.iter().position(|(name, _)| name[..] == header[..]) {
            let (_, part) = given.remove(i);
            context[start..start + part.len()].copy_from_slice(part);
        }
    }
    assert!(given.is_empty(), "a part that the device does not have");
}

/// A context whose parts all have names of their own.
fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..40, 0..12)
}

fn context(shape: &[usize], mut byte: impl FnMut() -> u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, &length) in shape.iter().enumerate() {
        // From features to types that no specification knows.
        bytes.extend((0x100 + index as u16).to_le_bytes());
        bytes.extend([0; 10]);
        bytes.extend((length as u32).to_le_bytes());
        bytes.extend((0..length).map(|_| byte()));
    }
    bytes
}

proptest! {
    #[test]
    fn deltas_carry_the_whole_difference(
        shape in shape(),
        versions in prop::collection::vec(any::<u64>(), 1..12),
        notes in 1usize..8,
    ) {
        // Bytes that differ now and then between versions, not always.
        let version = |seed: u64| {
            let mut random = fastrand::Rng::with_seed(seed);
            context(&shape, || u8::from(random.u8(..8) == 0))
        };
        let mut target = version(0);
        for seed in versions {
            let source = version(seed);
            // However few notes there are.
            let mut notes = vec![Span::default(); notes];
            match compare(&target, &source, &mut notes).unwrap().change {
                Change::Nothing => prop_assert_eq!(&target, &source),
                Change::Values(values) => {
                    let places = values.ranges(&target, &source, &notes);
                    let delta: Vec<u8> = places.flat_map(|place| source[place].to_vec()).collect();
                    set(&mut target, &delta);
                }
                Change::Shape => prop_assert!(false, "the shape does not change"),
            }
            prop_assert_eq!(&target, &source);
        }
    }

    #[test]
    fn only_the_shape_decides_on_a_full_record(a in shape(), b in shape()) {
        let (old, new) = (context(&a, || 0), context(&b, || 0));
        let expected = if a == b { Change::Nothing } else { Change::Shape };
        prop_assert_eq!(compare(&old, &new, &mut []).unwrap().change, expected);
    }
}
