// SPDX-License-Identifier: GPL-2.0
//! The circumstances of a measurement.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// A point of the grid that is measured. What is absent does not apply.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Point {
    /// Bytes of device state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<u64>,
    /// Bytes of one device part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<u64>,
    /// Percent of the context that changed after it was read. Absent: no pre-copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<f64>,
    /// Functions that are migrated at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub functions: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// "pipe" or "tcp".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Anything else that sets this point apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// All fields, the slowest first, in types that can be ordered.
type Key<'a> = (
    Option<&'a str>,
    Option<u64>,
    Option<u32>,
    Option<u64>,
    Option<&'a str>,
    Option<u64>,
    Option<i64>,
);

impl Point {
    fn key(&self) -> Key<'_> {
        (
            self.transport.as_deref(),
            self.part,
            self.functions,
            self.delay_ms,
            self.note.as_deref(),
            self.context,
            self.changed.map(in_order),
        )
    }
}

/// A number that is ordered as `value` is among all floating-point numbers.
fn in_order(value: f64) -> i64 {
    // Adding makes one zero of two.
    let bits = (value + 0.0).to_bits() as i64;
    bits ^ (bits >> 63 & i64::MAX)
}

impl PartialEq for Point {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Point {}

impl PartialOrd for Point {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Point {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    fn changed(percent: Option<f64>) -> Point {
        Point {
            changed: percent,
            ..Point::default()
        }
    }

    #[test]
    fn shares_are_in_order() {
        let shares = [
            None,
            Some(-1.0),
            Some(0.0),
            Some(0.5),
            Some(1.0),
            Some(100.0),
        ];
        let sorted: BTreeSet<Point> = shares.into_iter().rev().map(changed).collect();
        let sorted: Vec<Option<f64>> = sorted.iter().map(|point| point.changed).collect();
        assert_eq!(sorted, shares);
    }

    #[test]
    fn equal_points_are_one() {
        let points = [Some(0.0), Some(-0.0), Some(1.0), Some(1.0), None, None];
        let distinct: HashSet<Point> = points.into_iter().map(changed).collect();
        assert_eq!(distinct.len(), 3);
    }

    #[test]
    fn the_context_varies_faster_than_the_transport() {
        let point = |transport: &str, context| Point {
            transport: Some(transport.into()),
            context: Some(context),
            ..Point::default()
        };
        assert!(point("pipe", 100) < point("tcp", 1));
        assert!(point("tcp", 1) < point("tcp", 2));
    }

    #[test]
    fn what_is_absent_is_not_written() {
        let json = serde_json::to_string(&changed(Some(1.5))).unwrap();
        assert_eq!(json, r#"{"changed":1.5}"#);
        let back: Point = serde_json::from_str(r#"{"changed":1.5,"part":null}"#).unwrap();
        assert_eq!(back, changed(Some(1.5)));
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        assert!(serde_json::from_str::<Point>(r#"{"chnaged":1}"#).is_err());
    }
}
