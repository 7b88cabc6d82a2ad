// SPDX-License-Identifier: GPL-2.0
//! One figure, or several that belong together.

use crate::dimension::{Dimension, describe, varying};
use crate::plot::Plot;
use crate::quantity::{amount, is_scaled, ratio};
use crate::table::{Align, Table};
use crate::{Comparison, Figure, Measured, Point, Ratio, Results, figures, rst};

use Dimension::Changed;

/// Rows that may be in one table whatever they are.
const FEW: usize = 16;
/// Rows that deserve a table of their own.
const ENOUGH: usize = 4;

pub struct Section<'a> {
    figures: Vec<&'a Figure>,
}

struct Row<'a> {
    /// What tells the figure from the others.
    member: &'a str,
    unit: &'a str,
    measured: &'a Measured,
}

impl<'a> Section<'a> {
    /// All there are, in order.
    pub fn all(results: &'a Results) -> Vec<Self> {
        let mut sections: Vec<Self> = Vec::new();
        for figure in &results.figures {
            match sections.last_mut() {
                Some(last) if last.is_about(figure) => last.figures.push(figure),
                _ => sections.push(Self {
                    figures: vec![figure],
                }),
            }
        }
        sections
    }

    /// Whether `figure` is of the same kind as those here.
    fn is_about(&self, figure: &Figure) -> bool {
        let first = self.figures[0];
        figures::together(&first.name, &figure.name) && first.unit == figure.unit
    }

    pub fn to_rst(&self, plots: &[Plot]) -> String {
        let first = self.figures[0];
        let mut text = rst::section(&self.title());
        text += &rst::paragraph(&rst::escape(&self.introduction()));
        for plot in plots.iter().filter(|plot| plot.figure == first.name) {
            text += &rst::picture(plot.file, &plot.alt);
        }
        for comparison in Comparison::ALL {
            let figures = self.figures.iter().filter(|f| f.has(comparison));
            let rows: Vec<Row<'_>> = figures.flat_map(|figure| rows(figure)).collect();
            text += &tables(&rows, comparison);
        }
        text
    }

    fn title(&self) -> String {
        let first = self.figures[0];
        let title = figures::find(&first.name).map_or(&first.name[..], |about| about.title);
        // The others have their units in the table, each amount the best for it.
        if is_scaled(&first.unit) || title.to_lowercase().contains(&first.unit) {
            title.to_owned()
        } else {
            format!("{title}, {}", first.unit)
        }
    }

    /// What it is, what holds for all of it, and how much there is of it.
    fn introduction(&self) -> String {
        let first = self.figures[0];
        let meaning = figures::find(&first.name).map_or("", |about| about.meaning);
        let better = if first.more_is_better {
            "More is better."
        } else {
            "Less is better."
        };
        let points: Vec<&Point> = self.points().map(|measured| &measured.point).collect();
        let in_row = sole_dimension(points[0]).filter(|_| points.len() == 1);
        let same: Vec<Dimension> = Dimension::ALL
            .into_iter()
            .filter(|dimension| !dimension.varies(points.iter().copied()))
            .filter(|dimension| Some(*dimension) != in_row)
            // That there is no pre-copy goes without saying where there never is.
            .filter(|dimension| *dimension != Changed || points[0].changed.is_some())
            .collect();
        let same = match describe(points[0], &same) {
            words if words.is_empty() => words,
            words => format!("All of it: {words}."),
        };
        let sentences = [meaning, better, &same, &self.pairs()];
        let said = sentences.into_iter().filter(|text| !text.is_empty());
        said.collect::<Vec<_>>().join(" ")
    }

    fn points(&self) -> impl Iterator<Item = &'a Measured> {
        self.figures.iter().flat_map(|figure| &figure.points)
    }

    fn pairs(&self) -> String {
        let ratios = self.points().flat_map(|measured| measured.ratios.values());
        let pairs: Vec<usize> = ratios.map(|ratio| ratio.paired.n).collect();
        match (pairs.iter().min(), pairs.iter().max()) {
            (Some(1), Some(1)) => "A single pair for each ratio.".into(),
            (Some(least), Some(most)) if least == most => format!("{most} pairs for each ratio."),
            (Some(least), Some(most)) => format!("{least} to {most} pairs for each ratio."),
            _ => String::new(),
        }
    }
}

fn rows(figure: &Figure) -> Vec<Row<'_>> {
    let member = figures::find(&figure.name).and_then(|about| about.member(&figure.name));
    let row = |measured| Row {
        member: member.unwrap_or_default(),
        unit: &figure.unit,
        measured,
    };
    figure.points.iter().map(row).collect()
}

/// One table, or one for each grid where there are many rows; those of small grids
/// share one.
fn tables(rows: &[Row<'_>], comparison: Comparison) -> String {
    let all: Vec<&Row<'_>> = rows.iter().collect();
    if all.is_empty() {
        return String::new();
    }
    let dimensions = varying(points(&all));
    let mut groups: Vec<Vec<&Row<'_>>> = Vec::new();
    if all.len() > FEW {
        for row in all {
            let same = |group: &&mut Vec<&Row<'_>>| grid(group[0]) == grid(row);
            match groups.iter_mut().find(same) {
                Some(group) => group.push(row),
                None => groups.push(vec![row]),
            }
        }
    } else {
        groups.push(all);
    }
    let (large, small): (Vec<_>, Vec<_>) = groups.into_iter().partition(|g| g.len() >= ENOUGH);
    let alone = large.len() + usize::from(!small.is_empty()) == 1;
    let mut text = String::new();
    for group in &large {
        if !alone {
            text += &heading("", group, &dimensions);
        }
        text += &table(group, comparison).to_rst();
        text.push('\n');
    }
    let small = small.concat();
    if !small.is_empty() {
        if !alone {
            text += &heading("others, ", &small, &dimensions);
        }
        text += &table(&small, comparison).to_rst();
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn grid(row: &Row<'_>) -> [String; 5] {
    Dimension::OF_GRIDS.map(|dimension| dimension.cell(&row.measured.point))
}

/// What the rows of a table have in common, unless all rows have.
fn heading(prefix: &str, rows: &[&Row<'_>], dimensions: &[Dimension]) -> String {
    let within = varying(points(rows));
    let outside = dimensions.iter().filter(|d| !within.contains(d));
    let outside: Vec<Dimension> = outside.copied().collect();
    let words = prefix.to_owned() + &describe(&rows[0].measured.point, &outside);
    let words = words.trim_end_matches(", ");
    let words = if words.is_empty() {
        "by default"
    } else {
        words
    };
    rst::paragraph(&rst::escape(&format!("{}:", capitalized(words))))
}

fn points<'a>(rows: &'a [&Row<'_>]) -> impl Iterator<Item = &'a Point> + Clone {
    rows.iter().map(|row| &row.measured.point)
}

fn table(rows: &[&Row<'_>], comparison: Comparison) -> Table {
    let mut dimensions = varying(points(rows));
    let named = rows.iter().any(|row| !row.member.is_empty());
    if dimensions.is_empty() && !named {
        dimensions.extend(sole_dimension(&rows[0].measured.point));
    }
    let mut columns = Vec::new();
    if named {
        columns.push(("change".to_owned(), Align::Left));
    }
    for dimension in &dimensions {
        columns.push((dimension.heading().to_owned(), align(*dimension)));
    }
    if columns.is_empty() {
        columns.push(("point".to_owned(), Align::Left));
    }
    let subjects = [comparison.denominator(), comparison.numerator()];
    columns.extend(subjects.map(|subject| (subject.to_string(), Align::Right)));
    columns.push(("ratio (quartiles)".to_owned(), Align::Left));

    let width = columns.len();
    let mut table = Table::new(columns);
    for row in rows {
        let mut cells = Vec::new();
        if named {
            cells.push(row.member.to_owned());
        }
        cells.extend(dimensions.iter().map(|d| d.cell(&row.measured.point)));
        cells.resize(width - 3, "all".into());
        cells.extend(subjects.map(|subject| {
            let median = row.measured.median(subject);
            median.map_or(String::new(), |median| amount(median, row.unit))
        }));
        let ratio = row.measured.ratios.get(&comparison);
        cells.push(ratio.map_or(String::new(), spread));
        table.row(cells);
    }
    table
}

/// What to call the only row.
fn sole_dimension(point: &Point) -> Option<Dimension> {
    let mut rows = [Dimension::Context, Dimension::Note].into_iter();
    rows.find(|dimension| !dimension.cell(point).is_empty())
}

fn align(dimension: Dimension) -> Align {
    match dimension {
        Dimension::Transport | Dimension::Note => Align::Left,
        _ => Align::Right,
    }
}

fn spread(of: &Ratio) -> String {
    let paired = &of.paired;
    let [lower, median, upper] =
        [paired.lower_quartile, paired.median, paired.upper_quartile].map(ratio);
    if paired.min == paired.max {
        return median;
    }
    format!("{median} ({lower}-{upper})")
}

fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + rest.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environment, Input, Series, Subject};

    fn at(context: u64, part: Option<u64>, subject: Subject) -> Series {
        Series {
            figure: "save".into(),
            unit: "us".into(),
            subject,
            point: Point {
                context: Some(context),
                part,
                ..Point::default()
            },
            values: vec![context as f64],
        }
    }

    fn page(series: Vec<Series>) -> String {
        let environment = Environment::default();
        let results = Results::new(&Input {
            environment,
            series,
        });
        let sections = Section::all(&results);
        assert_eq!(sections.len(), 1);
        sections[0].to_rst(&[])
    }

    #[test]
    fn many_rows_are_divided_by_grid() {
        let grid = |part, contexts| (1..=contexts).map(move |c| at(c, part, Subject::Rs));
        let mut series: Vec<Series> = grid(None, 10).chain(grid(Some(8), 5)).collect();
        series.extend(grid(Some(16), 1).chain(grid(Some(32), 1)));
        let text = page(series);
        let headings: Vec<&str> = text.lines().filter(|line| line.ends_with(':')).collect();
        assert_eq!(
            headings,
            ["By default:", "Parts of 8 B:", "Others, a context of 1 B:"]
        );
        let few = page(grid(None, 10).chain(grid(Some(8), 1)).collect());
        assert!(!few.contains(":\n"), "{few}");
    }

    #[test]
    fn what_is_missing_is_blank() {
        let text = page(vec![
            at(1, None, Subject::C),
            at(2, None, Subject::C),
            at(2, None, Subject::Rs),
            at(3, None, Subject::Rs),
        ]);
        let rows: Vec<Vec<&str>> = text
            .lines()
            .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()))
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(rows[0], ["1", "B", "1", "µs"]);
        assert_eq!(rows[1], ["2", "B", "2", "µs", "2", "µs", "1.00"]);
        assert_eq!(rows[2], ["3", "B", "3", "µs"]);
    }
}
