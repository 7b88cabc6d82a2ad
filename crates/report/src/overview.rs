// SPDX-License-Identifier: GPL-2.0
//! A line for each figure, for a terminal.

use crate::dimension::describe;
use crate::quantity::ratio;
use crate::summary::{Extremes, dimensions, extremes};
use crate::table::{Align, Table};
use crate::{Comparison, Figure, Results, Summary};

/// A table of ratios.
pub fn overview(results: &Results) -> String {
    let columns = [
        ("figure", Align::Left),
        ("unit", Align::Left),
        ("points", Align::Right),
        ("best", Align::Right),
        ("median", Align::Right),
        ("worst", Align::Right),
        ("worst at", Align::Left),
    ];
    let columns = columns.map(|(heading, align)| (heading.to_owned(), align));
    let mut table = Table::new(columns.to_vec());
    for figure in &results.figures {
        for comparison in Comparison::ALL {
            if figure.has(comparison) {
                table.row(row(figure, comparison));
            }
        }
    }
    table.to_text()
}

fn row(figure: &Figure, comparison: Comparison) -> Vec<String> {
    let mut row = vec![
        figure.name.clone(),
        figure.unit.clone(),
        figure.points.len().to_string(),
    ];
    if let Some(Extremes { best, worst }) = extremes(figure, comparison) {
        let compared = figure.compared(comparison);
        let medians = Summary::of(compared.iter().map(|(_, of)| of.paired.median));
        row.push(ratio(best.1.paired.median));
        row.push(medians.map_or(String::new(), |medians| ratio(medians.median)));
        row.push(ratio(worst.1.paired.median));
        row.push(describe(worst.0, &dimensions(figure)));
    } else {
        row.resize(7, String::new());
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn every_figure_has_a_line() {
        let text = overview(&Results::new(&testing::input()));
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[1][..5], ["switchover", "us", "8", "0.25", "0.50"]);
        let load = lines.iter().find(|line| line[0] == "load").unwrap();
        assert_eq!(load[..], ["load", "us", "1"]);
        let dirty = lines.iter().find(|line| line[0] == "dirty-report").unwrap();
        assert_eq!(
            dirty[..],
            ["dirty-report", "us", "1", "2.00", "2.00", "2.00"]
        );
    }
}
