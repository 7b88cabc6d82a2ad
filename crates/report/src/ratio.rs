// SPDX-License-Identifier: GPL-2.0
//! Two subjects side by side.

use std::fmt;

use serde::Serialize;

use crate::{Subject, Summary};

/// Who is compared with whom.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub enum Comparison {
    #[serde(rename = "rs/c")]
    Drivers,
    #[serde(rename = "dma-logging/iommufd")]
    DirtyPages,
}

impl Comparison {
    pub const ALL: [Self; 2] = [Self::Drivers, Self::DirtyPages];

    pub fn numerator(self) -> Subject {
        match self {
            Self::Drivers => Subject::Rs,
            Self::DirtyPages => Subject::DmaLogging,
        }
    }

    pub fn denominator(self) -> Subject {
        match self {
            Self::Drivers => Subject::C,
            Self::DirtyPages => Subject::Iommufd,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drivers => "this driver to the in-tree driver",
            Self::DirtyPages => "DMA logging to iommufd",
        })
    }
}

/// How much one subject needs of what another one needs.
///
/// Values at the same index were taken one after the other, so whatever disturbs
/// the machine for longer than that disturbs both, and leaves their quotient alone.
/// Hence it is the quotients of pairs that are summed up, and their median is *the*
/// ratio. The quotient of the medians is given for comparison; it has no spread.
#[derive(Clone, Copy, Debug, Serialize, PartialEq)]
pub struct Ratio {
    /// Quotients of pairs.
    pub paired: Summary,
    /// Quotient of the medians, unless that of the denominator is zero.
    pub of_medians: Option<f64>,
}

impl Ratio {
    /// Of runs of values, each run of one with the same run of the other, as far as
    /// both go. Pairs that have no quotient do not count; without any other there is
    /// no ratio.
    pub fn of(numerators: &[&[f64]], denominators: &[&[f64]]) -> Option<Self> {
        let runs = numerators.iter().zip(denominators);
        let pairs = runs.flat_map(|(over, under)| over.iter().zip(*under));
        let paired = Summary::of(pairs.filter_map(|(&over, &under)| quotient(over, under)))?;
        let median = |runs: &[&[f64]]| {
            let values = runs.iter().flat_map(|run| run.iter().copied());
            Some(Summary::of(values)?.median)
        };
        let of_medians = quotient(median(numerators)?, median(denominators)?);
        Some(Self { paired, of_medians })
    }

    /// How many times better the numerator is not: above 1.0 it is worse.
    pub fn badness(&self, more_is_better: bool) -> f64 {
        if more_is_better {
            1.0 / self.paired.median
        } else {
            self.paired.median
        }
    }

    /// The numerator is no worse.
    pub fn holds_up(&self, more_is_better: bool) -> bool {
        if more_is_better {
            self.paired.median >= 1.0
        } else {
            self.paired.median <= 1.0
        }
    }

    /// The numerator is worse in three quarters of the pairs or more.
    pub fn clearly_worse(&self, more_is_better: bool) -> bool {
        if more_is_better {
            self.paired.upper_quartile < 1.0
        } else {
            self.paired.lower_quartile > 1.0
        }
    }
}

fn quotient(over: f64, under: f64) -> Option<f64> {
    let quotient = over / under;
    quotient.is_finite().then_some(quotient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_divided_and_not_medians() {
        // The machine becomes four times as slow; the ratio remains a half.
        let ratio = Ratio::of(&[&[1.0, 4.0, 4.0]], &[&[2.0, 8.0, 8.0]]).unwrap();
        assert_eq!(ratio.paired.median, 0.5);
        assert_eq!((ratio.paired.min, ratio.paired.max), (0.5, 0.5));
        // Medians can be of different times.
        let ratio = Ratio::of(&[&[1.0, 1.0, 9.0]], &[&[1.0, 3.0, 3.0]]).unwrap();
        assert_eq!(ratio.paired.median, 1.0);
        assert_eq!(ratio.of_medians, Some(1.0 / 3.0));
    }

    #[test]
    fn runs_are_paired_with_runs() {
        let ratio = Ratio::of(&[&[1.0], &[2.0, 2.0]], &[&[1.0, 7.0], &[4.0, 4.0]]);
        let paired = ratio.unwrap().paired;
        assert_eq!((paired.n, paired.median), (3, 0.5));
    }

    #[test]
    fn a_zero_or_nan_below_counts_for_nothing() {
        let ratio = Ratio::of(
            &[&[1.0, 0.0, 1.0, f64::NAN, 3.0]],
            &[&[0.0, 0.0, f64::NAN, 1.0, 4.0]],
        );
        let paired = ratio.unwrap().paired;
        assert_eq!((paired.n, paired.median), (1, 0.75));
        assert_eq!(Ratio::of(&[&[1.0]], &[&[0.0]]), None);
        assert_eq!(Ratio::of(&[&[1.0]], &[&[]]), None);
        assert_eq!(Ratio::of(&[], &[&[1.0]]), None);
    }

    #[test]
    fn a_median_of_zero_below_leaves_the_pairs() {
        let ratio = Ratio::of(&[&[1.0, 1.0, 1.0]], &[&[0.0, 0.0, 2.0]]).unwrap();
        assert_eq!(ratio.of_medians, None);
        assert_eq!(ratio.paired.median, 0.5);
    }

    #[test]
    fn what_is_better_depends() {
        let ratio = Ratio::of(&[&[2.0]], &[&[1.0]]).unwrap();
        assert!(ratio.holds_up(true) && !ratio.holds_up(false));
        assert!(ratio.clearly_worse(false) && !ratio.clearly_worse(true));
        assert_eq!((ratio.badness(false), ratio.badness(true)), (2.0, 0.5));
    }
}
