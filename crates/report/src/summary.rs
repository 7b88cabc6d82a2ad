// SPDX-License-Identifier: GPL-2.0
//! What matters most, in a few sentences.

use crate::dimension::{Dimension, bytes, describe, varying};
use crate::quantity::{amount, is_scaled, quantity, ratio};
use crate::{Comparison, Figure, Measured, Point, Ratio, Results, figures};

/// One sentence or two for each subject, in plain text.
pub fn summary(results: &Results) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(figure) = results.figure("switchover") {
        sentences.extend(range(figure, Comparison::Drivers));
        sentences.extend(share_that_holds_up(figure));
    }
    sentences.extend(results.figure("stop-copy-bytes").and_then(bytes_at_one));
    let commands = results.figure("switchover-commands");
    sentences.extend(commands.and_then(amounts));
    sentences.extend(worse_elsewhere(results));
    if let Some(figure) = results.figure("dirty-report") {
        sentences.extend(range(figure, Comparison::DirtyPages));
    }
    if sentences.is_empty() {
        sentences.push("No figure has values of both that are compared.".into());
    }
    sentences
}

/// The best and the worst of some points.
pub struct Extremes<'a> {
    pub best: (&'a Point, &'a Ratio),
    pub worst: (&'a Point, &'a Ratio),
}

/// Of all points of a figure, if two are compared at any.
pub fn extremes(figure: &Figure, comparison: Comparison) -> Option<Extremes<'_>> {
    let mut compared = figure.compared(comparison);
    let badness = |ratio: &Ratio| ratio.badness(figure.more_is_better);
    compared.sort_by(|a, b| badness(a.1).total_cmp(&badness(b.1)));
    Some(Extremes {
        best: *compared.first()?,
        worst: *compared.last()?,
    })
}

/// The dimensions that tell the points of a figure apart.
pub fn dimensions(figure: &Figure) -> Vec<Dimension> {
    varying(figure.points.iter().map(|measured| &measured.point))
}

fn range(figure: &Figure, comparison: Comparison) -> Option<String> {
    let Extremes { best, worst } = extremes(figure, comparison)?;
    let dimensions = dimensions(figure);
    let place = |(point, of): (&Point, &Ratio)| {
        let value = ratio(of.paired.median);
        match describe(point, &dimensions) {
            words if words.is_empty() => value,
            words => format!("{value} ({words})"),
        }
    };
    let title = figures::title(&figure.name);
    Some(if figure.points.len() == 1 {
        format!("{title}: the ratio of {comparison} is {}.", place(best))
    } else {
        let (best, worst) = (place(best), place(worst));
        format!("{title}: the ratio of {comparison} is {best} at best and {worst} at worst.")
    })
}

fn share_that_holds_up(figure: &Figure) -> Option<String> {
    let compared = figure.compared(Comparison::Drivers);
    let more = figure.more_is_better;
    let good = compared.iter().filter(|(_, r)| r.holds_up(more)).count();
    let worse = compared
        .iter()
        .filter(|(_, r)| r.clearly_worse(more))
        .count();
    let all = compared.len();
    let percent = (good * 100).checked_div(all)?;
    let side = if more { "above" } else { "below" };
    Some(format!(
        "{}: at or {side} 1.0 at {good} of {all} points ({percent} %); clearly worse, in three \
         quarters of the pairs or more, at {}.",
        figures::title(&figure.name),
        count(worse),
    ))
}

/// Where one percent has changed, in the largest context.
fn bytes_at_one(figure: &Figure) -> Option<String> {
    let both = |measured: &&Measured| measured.ratios.contains_key(&Comparison::Drivers);
    let at_one = figure.points.iter().filter(both);
    let at_one = at_one.filter(|measured| measured.point.changed == Some(1.0));
    let measured = at_one.max_by_key(|measured| measured.point.context)?;
    let median = |subject| Some(quantity(measured.median(subject)?, &figure.unit));
    let context = measured.point.context.map(bytes);
    Some(format!(
        "{}, 1 % changed: {} instead of {}, ratio {}{}.",
        figures::title(&figure.name),
        median(Comparison::Drivers.numerator())?,
        median(Comparison::Drivers.denominator())?,
        ratio(measured.ratios[&Comparison::Drivers].paired.median),
        context.map_or(String::new(), |size| format!(", with a context of {size}")),
    ))
}

/// From the least to the most, of both drivers.
fn amounts(figure: &Figure) -> Option<String> {
    let span = |subject| {
        let mut medians: Vec<f64> = figure
            .points
            .iter()
            .filter(|measured| measured.ratios.contains_key(&Comparison::Drivers))
            .filter_map(|measured| measured.median(subject))
            .collect();
        medians.sort_by(f64::total_cmp);
        let (least, most) = (*medians.first()?, *medians.last()?);
        Some(if least == most {
            amount(most, &figure.unit)
        } else {
            let [least, most] = [least, most].map(|value| amount(value, &figure.unit));
            format!("{least} to {most}")
        })
    };
    let unit = unit("", figure);
    Some(format!(
        "{}: {} instead of {}{unit}.",
        figures::title(&figure.name),
        span(Comparison::Drivers.numerator())?,
        span(Comparison::Drivers.denominator())?,
    ))
}

/// What this driver is worse at, beside the switchover.
fn worse_elsewhere(results: &Results) -> Option<String> {
    let others = results.figures.iter().filter(|f| f.name != "switchover");
    let mut compared = 0;
    let mut worse = Vec::new();
    for figure in others {
        let points = figure.compared(Comparison::Drivers);
        let is_worse = |r: &Ratio| r.clearly_worse(figure.more_is_better);
        let bad = points.iter().filter(|(_, r)| is_worse(r)).count();
        compared += points.len();
        if bad > 0 {
            let worst = extremes(figure, Comparison::Drivers)?.worst.1;
            worse.push(format!(
                "{}{} ({bad} of {}, ratio {} at worst)",
                figures::title(&figure.name),
                unit("in ", figure),
                count_of(points.len()),
                ratio(worst.paired.median),
            ));
        }
    }
    let what = match (compared, worse.is_empty()) {
        (0, _) => return None,
        (_, true) => "nothing".into(),
        (_, false) => worse.join("; "),
    };
    Some(format!("Clearly worse in other figures: {what}."))
}

/// The unit behind a space and other words, unless [`amount`] writes it.
fn unit(words: &str, figure: &Figure) -> String {
    if is_scaled(&figure.unit) {
        String::new()
    } else {
        format!(" {words}{}", figure.unit)
    }
}

fn count(points: usize) -> String {
    match points {
        0 => "none".into(),
        _ => points.to_string(),
    }
}

fn count_of(points: usize) -> String {
    match points {
        1 => "1 point".into(),
        _ => format!("{points} points"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, series};
    use crate::{Environment, Input, Series, Subject};

    fn of(series: Vec<Series>) -> Vec<String> {
        let environment = Environment::default();
        summary(&Results::new(&Input {
            environment,
            series,
        }))
    }

    #[test]
    fn the_example_is_summed_up() {
        let sentences = summary(&Results::new(&testing::input()));
        assert_eq!(
            sentences,
            [
                "Switchover: the ratio of this driver to the in-tree \
                 driver is 0.25 (by tcp, a \
                 context of 1 MiB, 1 % changed) at best and 1.10 (by pipe, a context of 64 KiB, \
                 no pre-copy) at worst.",
                "Switchover: at or below 1.0 at 7 of 8 points (87 %); clearly worse, in three \
                 quarters of the pairs or more, at 1.",
                "Bytes after the stop, 1 % changed: 16 KiB instead of 1 MiB, ratio 0.016, with a \
                 context of 1 MiB.",
                "Admin commands during the switchover: 5 instead of 12 commands.",
                "Clearly worse in other figures: Saving in MiB/s (1 of 1 point, ratio 0.50 at \
                 worst).",
                "Reports of dirty pages: the ratio of DMA logging to iommufd is 2.00.",
            ]
        );
    }

    #[test]
    fn without_a_counterpart_there_is_nothing_to_say() {
        let sentences = of(vec![series("switchover", "us", Subject::Rs, &[1.0])]);
        assert_eq!(
            sentences,
            ["No figure has values of both that are compared."]
        );
    }

    #[test]
    fn zeros_do_not_hurt() {
        let sentences = of(vec![
            series("switchover-commands", "commands", Subject::Rs, &[0.0]),
            series("switchover-commands", "commands", Subject::C, &[2.0]),
            series("stop-copy-bytes", "B", Subject::Rs, &[0.0]),
            series("stop-copy-bytes", "B", Subject::C, &[0.0]),
        ]);
        assert_eq!(
            sentences,
            [
                "Admin commands during the switchover: 0 instead of 2 commands.",
                "Clearly worse in other figures: nothing.",
            ]
        );
    }
}
