// SPDX-License-Identifier: GPL-2.0

//! Where the edge of a report may cut a page of the page table.
//!
//! A page table maps an area by pages ("leaves") of several sizes, each naturally
//! aligned, and there is one dirty bit for each. A walk over part of a leaf
//! clears the bit of all of it, but reports it from its start on, which may lie
//! outside of what was asked for and would be dropped. So leaves that may reach
//! beyond an edge are looked at one by one.

use crate::vfio::Span;

/// A window of an area by how it must be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Leaves here may begin before the window, or (if there is no `body` and no
    /// `tail`) end behind it.
    pub head: Option<Span>,
    /// No leaf here reaches beyond it.
    pub body: Option<Span>,
    /// Leaves here may end behind the window.
    pub tail: Option<Span>,
}

/// The largest block around `edge` that a leaf could be which has `edge - 1` and
/// `edge` in it.
fn straddling(edge: u64, area: Span, leaf_sizes: u64) -> Option<Span> {
    (0..u64::BITS)
        .filter(|order| leaf_sizes & (1 << order) != 0 && edge & ((1 << order) - 1) != 0)
        .map(|order| Span::block(edge, order))
        .filter(|block| area.contains(*block))
        // Larger blocks contain the smaller ones.
        .last()
}

/// Splits `window`, which must be part of `area`. An area is mapped as a whole by
/// leaves inside of it, of sizes in the bitmap `leaf_sizes`.
pub fn split(window: Span, area: Span, leaf_sizes: u64) -> Window {
    let head =
        straddling(window.first(), area, leaf_sizes).and_then(|block| block.intersection(window));
    let rest = match head {
        Some(head) => window.above(head),
        None => Some(window),
    };
    let tail = rest.and_then(|rest| {
        let edge = window.last().checked_add(1)?;
        straddling(edge, area, leaf_sizes)?.intersection(rest)
    });
    let body = match (rest, tail) {
        (Some(rest), Some(tail)) => rest.below(tail),
        _ => rest,
    };
    Window { head, body, tail }
}
