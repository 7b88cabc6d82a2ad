// SPDX-License-Identifier: GPL-2.0
//! DMA logging: spans, page sizes, the cut edges of reports, what is left over,
//! and where reports come from.

use std::collections::BTreeSet;

use logic::dma_log::{page_size, reachable, LogSource, Policy, User};
use logic::leaf_edges::split;
use logic::leftover::Leftover;
use logic::span::{merge, Span};
use proptest::prelude::*;

fn span(first: u64, last: u64) -> Span {
    Span::new(first, last).expect("a span")
}

/// Small numbers, so that spans meet.
fn spans(end: u64) -> impl Strategy<Value = Span> {
    (0..end, 0..end).prop_map(|(a, b)| span(a.min(b), a.max(b)))
}

fn addresses(span: Span) -> impl Iterator<Item = u64> {
    span.first()..=span.last()
}

/// Puts the addresses of `part` into `set`.
fn gather(set: &mut BTreeSet<u64>, part: Span) -> Result<(), TestCaseError> {
    set.extend(addresses(part));
    Ok(())
}

#[test]
fn spans_at_the_end_of_the_address_space() {
    let all = span(0, u64::MAX);
    assert_eq!(
        Span::with_length(u64::MAX - 4095, 4096),
        Span::new(u64::MAX - 4095, u64::MAX)
    );
    assert_eq!(Span::with_length(u64::MAX - 4095, 4097), None);
    assert_eq!(Span::with_length(4096, 0), None);
    assert_eq!(all.above(span(4096, u64::MAX)), None);
    assert_eq!(all.below(span(0, 4096)), None);
    assert!(all.touches(span(u64::MAX, u64::MAX)));
    assert_eq!(span(5000, u64::MAX).whole_pages(12), span(4096, u64::MAX));
    // Neighbours across the wrap are none.
    assert!(!span(0, 0).touches(span(u64::MAX, u64::MAX)));
}

#[test]
fn page_sizes() {
    const X86: u64 = 0x1000 | 0x20_0000 | 0x4000_0000;
    assert_eq!(page_size(0x1000, X86), Some(0x1000));
    assert_eq!(page_size(0x1_0000, X86), Some(0x1000));
    assert_eq!(page_size(0x20_0000, X86), Some(0x20_0000));
    assert_eq!(page_size(1 << 63, X86), Some(0x4000_0000));
    // Too small for the IOMMU.
    assert_eq!(page_size(0x200, X86), Some(0x1000));
    assert_eq!(page_size(1, 0x1_0000), Some(0x1_0000));
    assert_eq!(page_size(0, X86), None);
    assert_eq!(page_size(0x1800, X86), None);
    assert_eq!(page_size(0x1000, 0), None);
}

#[test]
fn what_is_out_of_reach_is_left_out() {
    let aperture = Some(span(0x1000, 0xffff));
    for (range, expected) in [
        (span(0x1000, 0xffff), Some(span(0x1000, 0xffff))),
        (span(0xf000, 0x1_0000), Some(span(0xf000, 0xffff))),
        (span(0, 0x1fff), Some(span(0x1000, 0x1fff))),
        (span(0, u64::MAX), aperture),
        (span(0x1_0000, u64::MAX), None),
        (span(0, 0xfff), None),
    ] {
        assert_eq!(reachable(range, aperture), expected, "{range:?}");
        assert_eq!(reachable(range, None), Some(range));
    }
}

#[test]
fn sources() {
    use Policy::*;
    let everything = Some(LogSource::Everything);
    // (has page tables of its own, the IOMMU tracks): auto, iommu
    let table = [
        ((false, false), everything, None),
        ((false, true), everything, None),
        ((true, false), everything, None),
        ((true, true), None, Some(LogSource::Iommu)),
    ];
    for ((has_page_tables, iommu_tracks), auto, iommu) in table {
        let user = User {
            has_page_tables,
            iommu_tracks,
        };
        assert_eq!(Auto.source(user), auto, "{user:?}");
        assert_eq!(Iommu.source(user), iommu, "{user:?}");
        assert_eq!(Conservative.source(user), everything);
        assert_eq!(Off.source(user), None);
    }
}

#[test]
fn names_and_numbers() {
    for (number, name) in ["auto", "iommu", "conservative", "off"].iter().enumerate() {
        let policy = Policy::from_number(number).expect("a policy");
        assert_eq!((policy.number(), policy.name()), (number, *name));
        assert_eq!(Policy::from_name(name.as_bytes()), Some(policy));
    }
    assert_eq!(Policy::from_number(4), None);
    for name in ["", "Auto", "auto ", "autos", "aut"] {
        assert_eq!(Policy::from_name(name.as_bytes()), None, "{name:?}");
    }
}

/// A page table's area: where it starts, and its leaves' addresses, lengths.
#[derive(Clone, Debug)]
struct Area {
    whole: Span,
    leaves: Vec<Span>,
}

/// Fills an area with random leaves, each naturally aligned.
fn areas() -> impl Strategy<Value = Area> {
    (0..64_u64, 1..96_u64, prop::collection::vec(0..5_u32, 96)).prop_map(
        |(start, length, orders)| {
            let whole = span(start, start + length - 1);
            let mut leaves = Vec::new();
            let mut at = start;
            for wanted in orders.into_iter().cycle() {
                let leaf = (0..=wanted)
                    .map(|order| Span::block(at, order))
                    .filter(|leaf| leaf.first() == at && whole.contains(*leaf))
                    .last()
                    .expect("order 0 always fits");
                leaves.push(leaf);
                if leaf.last() == whole.last() {
                    break;
                }
                at = leaf.last() + 1;
            }
            Area { whole, leaves }
        },
    )
}

/// All leaf sizes that `areas` makes.
const SIZES: u64 = 0b1_1111;

proptest! {
    #[test]
    fn arithmetic(a in spans(40), b in spans(40)) {
        let (in_a, in_b): (BTreeSet<_>, BTreeSet<_>) = (addresses(a).collect(), addresses(b).collect());
        let set = |part: Option<Span>| part.into_iter().flat_map(addresses).collect::<BTreeSet<_>>();
        prop_assert_eq!(set(a.intersection(b)), in_a.intersection(&in_b).copied().collect());
        let outside: BTreeSet<_> = &set(a.below(b)) | &set(a.above(b));
        prop_assert_eq!(outside, in_a.difference(&in_b).copied().collect());
        prop_assert_eq!(a.contains(b), in_a.is_superset(&in_b));
        prop_assert_eq!(
            a.touches(b),
            a.first() <= b.last() + 1 && b.first() <= a.last() + 1
        );
        prop_assert!(a.hull(b).contains(a) && a.hull(b).contains(b));
        prop_assert_eq!(a.touches(b), a.distance(b) <= 1);
    }

    #[test]
    fn merging(list in prop::collection::vec(spans(200), 0..20)) {
        let before: BTreeSet<u64> = list.iter().flat_map(|span| addresses(*span)).collect();
        let mut list = list;
        list.sort_by_key(|span| span.first());
        let count = merge(&mut list);
        let after: Vec<u64> = list[..count].iter().flat_map(|span| addresses(*span)).collect();
        // Ascending, each once.
        prop_assert_eq!(after, before.into_iter().collect::<Vec<_>>());
        for pair in list[..count].windows(2) {
            prop_assert!(!pair[0].touches(pair[1]));
        }
    }

    #[test]
    fn no_leaf_of_the_body_is_cut(area in areas(), from in 0..96_u64, length in 1..96_u64) {
        let first = area.whole.first() + from;
        prop_assume!(first <= area.whole.last());
        let window = span(first, (first + length - 1).min(area.whole.last()));
        let parts = split(window, area.whole, SIZES);
        let all: Vec<u64> = [parts.head, parts.body, parts.tail]
            .into_iter()
            .flatten()
            .flat_map(addresses)
            .collect();
        prop_assert_eq!(all, addresses(window).collect::<Vec<_>>());
        if let Some(body) = parts.body {
            for leaf in &area.leaves {
                prop_assert!(
                    leaf.intersection(body).is_none() || body.contains(*leaf),
                    "{:?} is cut by {:?}", leaf, body
                );
            }
        }
        if window == area.whole {
            prop_assert_eq!((parts.head, parts.tail), (None, None));
        }
    }

    #[test]
    fn small_leaves_are_never_cut(window in spans(96)) {
        // Leaves of one page cannot be, wherever the window is.
        let parts = split(window, span(0, 95), 1);
        prop_assert_eq!((parts.head, parts.body, parts.tail), (None, Some(window), None));
    }

    #[test]
    fn leftovers_are_never_too_few(
        steps in prop::collection::vec((any::<bool>(), spans(120)), 0..60),
    ) {
        let mut set = Leftover::<4>::new();
        let mut roomy = Leftover::<100>::new();
        let mut model = BTreeSet::new();
        for (insert, span) in steps {
            if insert {
                set.insert(span);
                roomy.insert(span);
                model.extend(addresses(span));
            } else {
                let (mut taken, mut exact) = (BTreeSet::new(), BTreeSet::new());
                set.take(span, |part| gather(&mut taken, part))?;
                roomy.take(span, |part| gather(&mut exact, part))?;
                let expected: BTreeSet<u64> =
                    model.iter().copied().filter(|at| addresses(span).any(|a| a == *at)).collect();
                prop_assert!(taken.is_superset(&expected));
                prop_assert!(taken.iter().all(|at| addresses(span).any(|a| a == *at)));
                prop_assert_eq!(&exact, &expected);
                model.retain(|at| !expected.contains(at));
            }
            prop_assert!(set.spans().len() <= 4);
            for (index, one) in set.spans().iter().enumerate() {
                prop_assert!(set.spans()[index + 1..].iter().all(|other| !one.touches(*other)));
            }
        }
        let mut rest = BTreeSet::new();
        roomy.take(span(0, u64::MAX), |part| gather(&mut rest, part))?;
        prop_assert_eq!(rest, model);
        prop_assert!(roomy.spans().is_empty());
    }
}
