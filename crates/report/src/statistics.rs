// SPDX-License-Identifier: GPL-2.0
//! Where values lie.

use serde::Serialize;

/// Five numbers that stand for many.
#[derive(Clone, Copy, Debug, Serialize, PartialEq)]
pub struct Summary {
    /// Values there were.
    pub n: usize,
    pub min: f64,
    pub lower_quartile: f64,
    pub median: f64,
    pub upper_quartile: f64,
    pub max: f64,
}

impl Summary {
    /// Of the values that are finite, if there are any.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        Some(Self {
            n: sorted.len(),
            min,
            lower_quartile: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            upper_quartile: quantile(&sorted, 0.75),
            max,
        })
    }
}

/// The value below which `share` of `sorted` lies, with linear interpolation between
/// neighbours (R's type 7, numpy's default).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quartiles(values: &[f64]) -> [f64; 3] {
        let summary = Summary::of(values.iter().copied()).unwrap();
        assert_eq!(summary.n, values.len());
        [
            summary.lower_quartile,
            summary.median,
            summary.upper_quartile,
        ]
    }

    #[test]
    fn an_odd_number_of_values() {
        assert_eq!(quartiles(&[5.0, 1.0, 4.0, 2.0, 3.0]), [2.0, 3.0, 4.0]);
        assert_eq!(quartiles(&[30.0, 10.0, 20.0]), [15.0, 20.0, 25.0]);
    }

    #[test]
    fn an_even_number_of_values() {
        assert_eq!(quartiles(&[4.0, 3.0, 2.0, 1.0]), [1.75, 2.5, 3.25]);
        assert_eq!(quartiles(&[1.0, 2.0]), [1.25, 1.5, 1.75]);
    }

    #[test]
    fn one_value_is_everything() {
        let summary = Summary::of([7.0]).unwrap();
        assert_eq!(quartiles(&[7.0]), [7.0; 3]);
        assert_eq!((summary.min, summary.max), (7.0, 7.0));
    }

    #[test]
    fn what_is_no_number_does_not_count() {
        let summary = Summary::of([f64::NAN, 2.0, f64::INFINITY, 1.0]).unwrap();
        assert_eq!((summary.n, summary.min, summary.max), (2, 1.0, 2.0));
        assert_eq!(Summary::of([f64::NAN]), None);
        assert_eq!(Summary::of([]), None);
    }
}
