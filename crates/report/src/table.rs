// SPDX-License-Identifier: GPL-2.0
//! Tables, for a terminal and for reStructuredText.

use crate::rst;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

#[derive(Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(columns: Vec<(String, Align)>) -> Self {
        let rows = Vec::new();
        Self { columns, rows }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.columns.len(), "{cells:?}");
        self.rows.push(cells);
    }

    /// For a terminal: the heading, and the rows.
    pub fn to_text(&self) -> String {
        let heading = self.columns.iter().map(|(heading, _)| heading.clone());
        let mut lines: Vec<Vec<String>> = vec![heading.collect()];
        lines.extend(self.rows.iter().cloned());
        let widths = widths(&lines);
        self.lines(&lines, &widths).concat()
    }

    /// A simple table of reStructuredText. Cells are text, not markup.
    pub fn to_rst(&self) -> String {
        let heading = self.columns.iter().map(|(heading, _)| rst::escape(heading));
        let mut lines: Vec<Vec<String>> = vec![heading.collect()];
        for row in &self.rows {
            let mut cells: Vec<String> = row.iter().map(|cell| rst::escape(cell)).collect();
            // An empty first cell would continue the row above.
            if cells[0].is_empty() {
                cells[0].push('\\');
            }
            lines.push(cells);
        }
        let widths = widths(&lines);
        let rule = widths.iter().map(|&width| "=".repeat(width));
        let rule = rule.collect::<Vec<_>>().join("  ") + "\n";
        let mut text = self.lines(&lines, &widths);
        text.insert(1, rule.clone());
        format!("{rule}{}{rule}", text.concat())
    }

    fn lines(&self, rows: &[Vec<String>], widths: &[usize]) -> Vec<String> {
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(widths).zip(&self.columns);
            let cells = cells.map(|((cell, &width), (_, align))| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            line.trim_end().to_owned() + "\n"
        };
        rows.iter().map(line).collect()
    }
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    (0..rows[0].len())
        .map(|column| width(column).unwrap_or(0).max(1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(vec![
            ("name".into(), Align::Left),
            ("µs".into(), Align::Right),
        ]);
        table.row(vec!["save*".into(), "12".into()]);
        table.row(vec![String::new(), String::new()]);
        table
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(table().to_text(), "name   µs\nsave*  12\n\n");
    }

    #[test]
    fn cells_are_no_markup() {
        let text = "\
======  ==
name    µs
======  ==
save\\*  12
\\
======  ==
";
        assert_eq!(table().to_rst(), text);
    }
}
