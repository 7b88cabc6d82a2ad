// SPDX-License-Identifier: GPL-2.0
//! Everything there is, as long as it is small: all spans of a small address space, all
//! short byte strings over a small alphabet, all short sequences of records.

mod support;

use std::collections::BTreeSet;

use logic::leaf_edges::split;
use logic::leftover::Leftover;
use logic::legacy::{pieces, Register};
use logic::load_error::LoadError;
use logic::parts::{self, Checker, PartsError};
use logic::record::{Header, FLAG_OPTIONAL};
use logic::span::{merge, Span};
use logic_streams::{end, part, record, Sealing};
use support::{drive, Writer};

/// Addresses at either end of the address space, and in the middle.
const BASES: [u64; 3] = [0, (1 << 32) - 4, u64::MAX - 6];
const ADDRESSES: u64 = 7;

fn spans(base: u64) -> Vec<Span> {
    let to_the_end = |first| (first..ADDRESSES).map(move |last| (first, last));
    (0..ADDRESSES)
        .flat_map(to_the_end)
        .map(|(first, last)| Span::new(base + first, base + last).expect("a span"))
        .collect()
}

/// The addresses of a span, as numbers from its base on.
fn set(base: u64, span: impl IntoIterator<Item = Span>) -> BTreeSet<u64> {
    let spans = span.into_iter();
    spans
        .flat_map(|span| span.first() - base..=span.last() - base)
        .collect()
}

#[test]
fn all_pairs_of_spans() {
    for base in BASES {
        for a in spans(base) {
            for b in spans(base) {
                let (in_a, in_b) = (set(base, [a]), set(base, [b]));
                let both: BTreeSet<u64> = &in_a & &in_b;
                assert_eq!(set(base, a.intersection(b)), both);
                let outside = set(base, a.below(b).into_iter().chain(a.above(b)));
                assert_eq!(outside, &in_a - &in_b);
                assert_eq!(a.contains(b), in_a.is_superset(&in_b));
                let union = &in_a | &in_b;
                let hull = set(base, [a.hull(b)]);
                assert!(hull.is_superset(&union));
                assert_eq!((hull.first(), hull.last()), (union.first(), union.last()));
                assert_eq!(a.touches(b), hull == union);
                let gap = hull.len() - union.len();
                let between = if a.intersection(b).is_some() {
                    0
                } else {
                    gap as u64 + 1
                };
                assert_eq!(a.distance(b), between);
            }
        }
    }
}

#[test]
fn all_short_ascending_lists_are_merged() {
    for base in BASES {
        let spans = spans(base);
        let mut lists: Vec<Vec<Span>> = vec![Vec::new()];
        for _ in 0..3 {
            let longer = lists.iter().flat_map(|list| {
                let from = list.last().map_or(0, |last| last.first());
                let next = spans.iter().filter(move |span| span.first() >= from);
                next.map(|span| [&list[..], &[*span]].concat())
            });
            lists = longer.collect();
            for list in &lists {
                let mut merged = list.clone();
                let count = merge(&mut merged);
                let merged = &merged[..count];
                assert_eq!(
                    set(base, merged.iter().copied()),
                    set(base, list.iter().copied())
                );
                assert!(merged.windows(2).all(|pair| !pair[0].touches(pair[1])));
                assert!(merged
                    .windows(2)
                    .all(|pair| pair[0].last() < pair[1].first()));
            }
        }
    }
}

#[test]
fn all_short_histories_of_leftovers() {
    let spans = spans(0);
    for a in &spans {
        for b in &spans {
            for c in &spans {
                let mut few = Leftover::<2>::new();
                let mut enough = Leftover::<8>::new();
                for span in [a, b, c] {
                    few.insert(*span);
                    enough.insert(*span);
                }
                let expected = set(0, [*a, *b, *c]);
                assert_eq!(set(0, enough.spans().iter().copied()), expected);
                assert!(set(0, few.spans().iter().copied()).is_superset(&expected));
                for window in &spans {
                    let mut left = enough.clone();
                    let mut taken = BTreeSet::new();
                    let done: Result<(), ()> = left.take(*window, |part| {
                        taken.extend(set(0, [part]));
                        Ok(())
                    });
                    assert_eq!(done, Ok(()));
                    assert_eq!(taken, &expected & &set(0, [*window]));
                    assert_eq!(set(0, left.spans().iter().copied()), &expected - &taken);
                }
            }
        }
    }
}

/// All ways to fill `from..=last` with naturally aligned leaves of 1, 2 and 4 pages.
fn leaves(from: u64, last: u64) -> Vec<Vec<Span>> {
    if from > last {
        return vec![Vec::new()];
    }
    let first = (0..3).map(|order| Span::block(from, order));
    let fit = first.filter(|leaf| leaf.first() == from && leaf.last() <= last);
    fit.flat_map(|leaf| {
        let rest = leaves(leaf.last() + 1, last);
        rest.into_iter()
            .map(move |rest| [&[leaf][..], &rest].concat())
    })
    .collect()
}

#[test]
fn no_leaf_of_any_page_table_is_cut() {
    for first in 0..5 {
        for last in first..first + 9 {
            let area = Span::new(first, last).expect("a span");
            let tables = leaves(first, last);
            for from in first..=last {
                for to in from..=last {
                    let window = Span::new(from, to).expect("a span");
                    let parts = split(window, area, 0b111);
                    let pieces = [parts.head, parts.body, parts.tail];
                    let sizes: usize = pieces.map(|piece| set(0, piece).len()).iter().sum();
                    let all = set(0, pieces.into_iter().flatten());
                    assert_eq!((all, sizes), (set(0, [window]), set(0, [window]).len()));
                    let Some(body) = parts.body else { continue };
                    for leaf in tables.iter().flatten() {
                        let cut = leaf.intersection(body).is_some() && !body.contains(*leaf);
                        assert!(!cut, "{leaf:?} by {body:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn all_accesses_to_the_legacy_registers() {
    for msix in [false, true] {
        let config = if msix { 24 } else { 20 };
        for offset in 0..40u64 {
            for len in 0..40 {
                let Some(found) = pieces(msix, offset, len) else {
                    continue;
                };
                let mut next = offset as usize;
                for piece in found {
                    let at = match piece.target {
                        Register::Common(at) => at.into(),
                        Register::Device(at) => config + usize::from(at),
                        Register::Notify => 16,
                    };
                    assert_eq!((at, piece.start), (next, next - offset as usize));
                    assert!(piece.len > 0);
                    next += piece.len;
                }
                assert_eq!(next, offset as usize + len);
            }
        }
        for far in [u64::MAX, u64::MAX - 3, 1 << 32] {
            assert!(pieces(msix, far, 4).is_none());
        }
    }
}

/// What a plain reading of the specification makes of parts.
fn plainly(mut rest: &[u8]) -> Result<u32, PartsError> {
    let (mut count, mut last) = (0, 0);
    while !rest.is_empty() {
        let header = rest
            .first_chunk::<16>()
            .ok_or(PartsError::TruncatedHeader)?;
        let length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
        let value = &rest[16..];
        if length as usize > value.len() {
            return Err(PartsError::PartTooLong);
        }
        let kind = u16::from_le_bytes([header[0], header[1]]);
        if (0x100..=0x105).contains(&kind) {
            if kind < last {
                return Err(PartsError::OutOfOrder(kind));
            }
            last = kind;
        }
        count += 1;
        rest = &value[length as usize..];
    }
    Ok(count)
}

fn judged_alike(record: &[u8]) {
    let expected = plainly(record);
    let all_at_once = parts::check(record).map(|parts| parts.count());
    assert_eq!(all_at_once, expected, "{record:02x?}");
    for step in [1, 15, 16, 17] {
        let mut checker = Checker::new(record.len() as u64);
        let mut pieces = record.chunks(step);
        let arrived = pieces.try_for_each(|piece| checker.push(piece));
        assert_eq!(arrived.map(|()| checker.count()), expected, "{record:02x?}");
    }
}

/// With bytes of 0 and 1 there are types 0, 1, 0x100 and 0x101 and lengths from 0 on.
#[test]
fn all_short_strings_of_zeroes_and_ones_as_parts() {
    for length in 0..=18 {
        for bits in 0..1u32 << length {
            let bytes: Vec<u8> = (0..length).map(|at| (bits >> at) as u8 & 1).collect();
            judged_alike(&bytes);
        }
    }
}

#[test]
fn all_short_sequences_of_parts() {
    let tokens = [
        part(0x100, 0, &[]),
        part(0x101, 0, &[7; 8]),
        part(0x104, 1, &[1; 32]),
        part(0x105, 0, &[2]),
        part(0x200, 0, &[3; 3]),
        // Cut, and too long by one.
        part(0x103, 0, &[])[..9].to_vec(),
        part(0x103, 0, &[4; 2])[..17].to_vec(),
        vec![0],
    ];
    sequences(&tokens, 5, &mut |bytes, _| judged_alike(bytes));
}

/// Calls `each` with every sequence of up to `most` tokens, and which they are.
fn sequences(tokens: &[Vec<u8>], most: usize, each: &mut impl FnMut(&[u8], &[usize])) {
    fn deeper(
        tokens: &[Vec<u8>],
        left: usize,
        bytes: &mut Vec<u8>,
        chosen: &mut Vec<usize>,
        each: &mut impl FnMut(&[u8], &[usize]),
    ) {
        each(bytes, chosen);
        if left == 0 {
            return;
        }
        for (index, token) in tokens.iter().enumerate() {
            let length = bytes.len();
            bytes.extend(token);
            chosen.push(index);
            deeper(tokens, left - 1, bytes, chosen, each);
            chosen.pop();
            bytes.truncate(length);
        }
    }
    deeper(tokens, most, &mut Vec::new(), &mut Vec::new(), each);
}

/// The records of all short streams, and what must come of them.
#[test]
fn all_short_sequences_of_records() {
    const IDENTITY: usize = 0;
    const NO_CHECKSUM: usize = 1;
    const DATA: usize = 2;
    const MORE_DATA: usize = 3;
    const OPTIONAL: usize = 4;
    const LATER: usize = 5;
    const UNKNOWN: usize = 6;
    const EMPTY: usize = 7;
    const CUT: usize = 8;
    let one = part(0x104, 0, &[1; 4]);
    let two = [part(0x104, 0, &[2; 4]), part(0x200, 0, &[3])].concat();
    let data = |content: &[u8]| {
        let header = Header::device_data(content.len() as u64);
        record(header, content)
    };
    let identity = |sealing| {
        let mut writer = Writer::new(sealing);
        writer.context(&one, 0);
        writer.records.remove(0)
    };
    let mut later = identity(Sealing::Sealed);
    later[16 + 4] = 9;
    let mandatory = Header {
        size: 0,
        flags: 0,
        tag: 5,
    };
    let tokens = [
        identity(Sealing::Sealed),
        identity(Sealing::Counted),
        data(&one),
        data(&two),
        [&Header::optional(99, 3).encode()[..], b"new"].concat(),
        later,
        mandatory.encode().to_vec(),
        data(&[]),
        data(&one)[..20].to_vec(),
    ];
    assert_eq!(tokens[OPTIONAL][8], FLAG_OPTIONAL as u8);
    let mut seen = 0;
    sequences(&tokens, 4, &mut |bytes, chosen| {
        seen += 1;
        // What is wrong first, of what needs no end to be seen.
        let mut announced = false;
        let mut data = 0;
        let mut wrong = None;
        for (at, &token) in chosen.iter().enumerate() {
            match token {
                IDENTITY | NO_CHECKSUM => announced = true,
                MORE_DATA if announced => {
                    wrong = Some(LoadError::PartCount {
                        announced: 1,
                        found: 2,
                    });
                }
                DATA | MORE_DATA => (data, announced) = (data + 1, false),
                OPTIONAL | LATER => {}
                UNKNOWN => wrong = Some(LoadError::UnknownRecord(mandatory)),
                EMPTY => wrong = Some(LoadError::EmptyRecord),
                // What follows is taken for the rest of the part, and is more than that.
                CUT if at + 1 < chosen.len() => return,
                _ => wrong = Some(LoadError::Truncated),
            }
            if wrong.is_some() {
                break;
            }
        }
        let identified = chosen.iter().any(|&token| token <= NO_CHECKSUM);
        let counted = chosen.contains(&NO_CHECKSUM);
        let expected = match wrong {
            Some(error) => Err(error),
            None if data == 0 => Err(LoadError::NoData),
            None if identified => Err(LoadError::NoEnd),
            None => Ok(()),
        };
        assert_eq!(drive(bytes, &[usize::MAX]).end, expected, "{chosen:?}");
        assert_eq!(drive(bytes, &[1]).end, expected, "{chosen:?}");
        // With the end that belongs to it, and with that of the other kind. The checksum of
        // no bytes is that of a stream without one.
        if wrong.is_none() && !chosen.is_empty() {
            let records: Vec<Vec<u8>> = chosen.iter().map(|&at| tokens[at].clone()).collect();
            let own = if counted {
                Sealing::Counted
            } else {
                Sealing::Sealed
            };
            let ended = [bytes, &end(&records, own)].concat();
            let whole = if data > 0 {
                Ok(())
            } else {
                Err(LoadError::NoData)
            };
            assert_eq!(drive(&ended, &[usize::MAX]).end, whole, "{chosen:?}");
            let other = if counted {
                Sealing::Sealed
            } else {
                Sealing::Counted
            };
            let ended = [bytes, &end(&records, other)].concat();
            let end = drive(&ended, &[usize::MAX]).end;
            assert_eq!(end, Err(LoadError::Checksum), "{chosen:?}");
        }
    });
    assert_eq!(seen, (0..=4).map(|n| 9_usize.pow(n)).sum::<usize>());
}
