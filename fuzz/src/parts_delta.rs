// SPDX-License-Identifier: GPL-2.0
//! Who has one context and is given what a delta has of another has the other. Three bytes
//! that say how many notes there may be and where the second context begins; both contexts.

use std::collections::BTreeSet;

use logic::delta::{Change, Span, compare};
use logic::parts::{Parts, check};

use crate::bytes::Bytes;

pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut notes = [Span::default(); 8];
    let notes = &mut notes[..usize::from(bytes.u8() % 9)];
    let split = usize::from(bytes.u16());
    let (old, new) = (bytes.take(split), bytes.rest());
    // The one before was checked when it arose.
    if check(old).is_err() {
        return;
    }
    let found = compare(old, new, notes);
    assert_eq!(
        found
            .as_ref()
            .map(|found| found.parts.count())
            .map_err(|&error| error),
        check(new).map(|parts| parts.count())
    );
    let Ok(found) = found else { return };
    match found.change {
        Change::Nothing => assert_eq!(old, new),
        Change::Shape if !notes.is_empty() => {
            let shape = |context| {
                Parts::new(context)
                    .map(|(header, _)| *header)
                    .collect::<Vec<_>>()
            };
            assert!(shape(old) != shape(new), "other values are no other shape");
        }
        Change::Shape => assert_ne!(old, new),
        Change::Values(values) => {
            let mut made = old.to_vec();
            let mut last = 0;
            let borders = borders(new);
            for place in values.ranges(old, new, notes) {
                assert!(
                    place.start >= last && place.start < place.end,
                    "in order, once"
                );
                assert!(borders.contains(&place.start) && borders.contains(&place.end));
                last = place.end;
                made[place.clone()].copy_from_slice(&new[place]);
            }
            assert_eq!(made, new);
        }
    }
}

/// Where parts begin or end.
fn borders(context: &[u8]) -> BTreeSet<usize> {
    let mut at = 0;
    let ends = Parts::new(context).map(|(_, part)| {
        at += part.len();
        at
    });
    std::iter::once(0).chain(ends).collect()
}
