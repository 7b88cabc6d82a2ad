// SPDX-License-Identifier: GPL-2.0
//! Where values are, and which of them have labels.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::quantity::{is_bytes, number, quantity};

/// Labels that an axis of amounts may have.
const LABELS: usize = 8;
/// The same where they are at equal distances.
const EVEN_LABELS: usize = 10;
/// Labels that an axis of contexts may have, beside each other.
const CONTEXTS: usize = 7;
/// How much longer a logarithmic axis is than its values at either end.
const MARGIN: f64 = 0.05;

#[derive(Clone, Debug)]
pub struct Axis {
    logarithmic: bool,
    /// Of values.
    range: Range<f64>,
    /// Values and what is written there.
    ticks: Vec<(f64, String)>,
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let place = |value: f64| {
            if self.logarithmic {
                value.log10()
            } else {
                value
            }
        };
        let (start, end) = (place(self.range.start), place(self.range.end));
        let share = (place(*value) - start) / (end - start);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|(value, _)| *value).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let mut ticks = self.ticks.iter();
        let tick = ticks.find(|(tick, _)| tick == value);
        tick.map_or_else(|| number(*value), |(_, label)| label.clone())
    }
}

impl Axis {
    /// Of the sizes that were measured, some of which have labels.
    pub fn contexts(mut sizes: Vec<f64>) -> Self {
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        let (least, most) = (sizes[0], sizes[sizes.len() - 1]);
        let every = sizes.len().div_ceil(CONTEXTS);
        let ticks = sizes.into_iter().step_by(every);
        let ticks = ticks.map(|size| (size, quantity(size, "B")));
        Self::logarithmic(widened(least, most), ticks)
    }

    /// From `least` to `most`, which are more than zero.
    pub fn amounts(least: f64, most: f64, unit: &str) -> Self {
        let range = widened(least, most);
        let ticks = if is_bytes(unit) {
            powers_of_two(&range)
        } else {
            decimal(&range)
        };
        let ticks = ticks.into_iter();
        Self::logarithmic(range, ticks.map(|tick| (tick, quantity(tick, unit))))
    }

    fn logarithmic(range: Range<f64>, ticks: impl Iterator<Item = (f64, String)>) -> Self {
        Self {
            logarithmic: true,
            range,
            ticks: ticks.collect(),
        }
    }

    /// From zero to beyond `most` and one.
    pub fn ratios(most: f64) -> Self {
        let high = most.max(1.0) * 1.1;
        let steps = [0.2, 0.5].into_iter();
        let mut steps = steps.chain((0..).map(|power| 10f64.powi(power)));
        let step = steps
            .find(|step| high / step <= LABELS as f64)
            .unwrap_or(high);
        let count = (high / step).floor() as usize;
        let ticks = (0..=count).map(|index| index as f64 * step);
        Self {
            logarithmic: false,
            range: 0.0..high,
            ticks: ticks.map(|tick| (tick, format!("{tick:.1}"))).collect(),
        }
    }
}

/// With a margin on a logarithmic axis.
fn widened(least: f64, most: f64) -> Range<f64> {
    let (low, high) = (least.log10(), most.log10());
    let margin = ((high - low) * MARGIN).max(MARGIN);
    10f64.powf(low - margin)..10f64.powf(high + margin)
}

/// 1, 2, 5, 10 ... or, if that is too many, powers of ten.
fn decimal(within: &Range<f64>) -> Vec<f64> {
    let powers = within.start.log10().floor() as i32..=within.end.log10().ceil() as i32;
    let all = |digits: &[f64]| -> Vec<f64> {
        let ticks = powers
            .clone()
            .flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
        ticks.filter(|tick| within.contains(tick)).collect()
    };
    let candidates: [&[f64]; 3] = [&[1.0, 2.0, 3.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0, 3.0]];
    let fitting = candidates.into_iter().map(all);
    let mut fitting = fitting.filter(|ticks| ticks.len() <= LABELS);
    fitting.next().unwrap_or_else(|| all(&[1.0]))
}

/// Powers of two, of four, of sixteen ...
fn powers_of_two(within: &Range<f64>) -> Vec<f64> {
    let (low, high) = (within.start.log2().ceil(), within.end.log2().floor());
    let steps = [1, 2, 4, 5, 10].into_iter();
    let all = |step: i32| -> Vec<f64> {
        let powers = (low as i32..=high as i32).filter(|power| power % step == 0);
        powers.map(|power| 2f64.powi(power)).collect()
    };
    let mut fitting = steps.map(all).filter(|ticks| ticks.len() <= EVEN_LABELS);
    fitting.next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use plotters::coord::ranged1d::BoldPoints;

    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        let ticks = axis.key_points(BoldPoints(1));
        assert!(ticks.iter().all(|tick| axis.range.contains(tick)));
        ticks.iter().map(|tick| axis.format_ext(tick)).collect()
    }

    #[test]
    fn values_are_mapped() {
        let amounts = Axis::amounts(10.0, 1000.0, "us");
        assert_eq!(amounts.map(&100.0, (0, 200)), 100);
        assert_eq!(Axis::ratios(1.0).map(&0.0, (300, 20)), 300);
    }

    #[test]
    fn times_have_round_labels() {
        let axis = Axis::amounts(900.0, 60_000.0, "us");
        assert_eq!(
            labels(&axis),
            ["1 ms", "2 ms", "5 ms", "10 ms", "20 ms", "50 ms"]
        );
        let wide = Axis::amounts(1.0, 1e7, "us");
        assert_eq!(labels(&wide).len(), 8);
        let narrow = Axis::amounts(100.0, 100.0, "us");
        assert!(narrow.range.start < narrow.range.end);
    }

    #[test]
    fn sizes_have_powers_of_two() {
        let axis = Axis::amounts(1024.0, 65536.0, "B");
        assert_eq!(labels(&axis)[..2], ["1 KiB", "2 KiB"]);
        let wide = Axis::amounts(1024.0, 1e9, "B");
        assert!(labels(&wide).contains(&"1 MiB".to_owned()), "{wide:?}");
    }

    #[test]
    fn contexts_are_labelled_as_far_as_there_is_room() {
        let sizes: Vec<f64> = (10..24).map(|power| 2f64.powi(power)).collect();
        assert_eq!(labels(&Axis::contexts(sizes)).len(), 7);
        let two = Axis::contexts(vec![4096.0, 1024.0, 4096.0]);
        assert_eq!(labels(&two), ["1 KiB", "4 KiB"]);
    }

    #[test]
    fn ratios_begin_with_zero_and_include_one() {
        let axis = Axis::ratios(0.5);
        assert_eq!(labels(&axis), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&Axis::ratios(3.0)).last().unwrap(), "3.0");
        assert!(labels(&Axis::ratios(70.0)).len() <= LABELS + 1);
    }
}
