// SPDX-License-Identifier: GPL-2.0
//! What the commands make of files that others wrote, without the files: for tests.

use std::io::Cursor;

use anyhow::Result;

use crate::diff;
use crate::inspect;
use crate::report;
use crate::stream::Contents;
use crate::timeline::Timeline;

/// What `vfmig inspect` says of a stream, as JSON and as text, with at most `most` parts;
/// and whether it is sound.
///
/// # Errors
///
/// Why it says nothing.
pub fn inspect(stream: &[u8], most: usize) -> Result<(String, String, bool)> {
    inspect::describe(stream, most)
}

/// Whether `vfmig diff` finds two streams equal, and what it says; `None` if one is faulty.
///
/// # Errors
///
/// Why it says nothing.
pub fn diff(first: &[u8], second: &[u8]) -> Result<Option<(bool, String)>> {
    let contents = (
        Contents::of(Cursor::new(first))?,
        Contents::of(Cursor::new(second))?,
    );
    Ok(match &contents {
        (Contents::Faulty(_), _) | (_, Contents::Faulty(_)) => None,
        (first, second) => {
            let comparison = diff::compare(first, second);
            let text = serde_json::to_string(&comparison)? + &comparison.text();
            Some((comparison.equal, text))
        }
    })
}

/// The page that `vfmig report` makes of a timeline.
///
/// # Errors
///
/// Why there is none.
pub fn report(timeline: &str) -> Result<String> {
    report::page(&Timeline::parse(timeline)?)
}
