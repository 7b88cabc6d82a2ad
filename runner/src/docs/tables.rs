// SPDX-License-Identifier: GPL-2.0
//! A defect that Sphinx takes for intent: in a simple table each line with text in the
//! first column begins a row, so a first cell of two lines becomes two rows.

use std::ops::Range;

/// Lines of simple tables that have text in the first column only, as complaints.
pub fn split_cells(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut column: Option<Range<usize>> = None;
    let mut before = "";
    for (number, line) in text.lines().enumerate() {
        if let Some(found) = first_column(line) {
            // A rule begins a table only below an empty line.
            column = (before.is_empty() || column.is_some()).then_some(found);
        } else if line.is_empty() {
            column = None;
        } else if let Some(place) = &column {
            if indentation(line) < place.start {
                column = None;
            } else if first_column(before).is_none() && is_half(line, place.end) {
                // Below a rule it would be a heading, or a row without more to say.
                complaints.push(format!(
                    "line {}: half a cell, which becomes a row of its own: use a grid table",
                    number + 1
                ));
            }
        }
        before = line;
    }
    complaints
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Where the first column of a table is, if this is one of its rules.
fn first_column(line: &str) -> Option<Range<usize>> {
    let rule = line.trim().contains(' ') && line.chars().all(|c| "= ".contains(c));
    let start = indentation(line);
    rule.then(|| start..start + line[start..].find(' ').unwrap_or_default())
}

/// Whether a row has nothing behind its first column, which ends here.
fn is_half(line: &str, end: usize) -> bool {
    let mut columns = line.chars();
    let first: String = columns.by_ref().take(end).collect();
    !first.trim().is_empty() && columns.all(|c| c == ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
Title
=====

=====  =====
what   why
=====  =====
one    first
more   text
       of it
=====  =====

term
    = =
    a
    = =
    b c
    = =
next term
    text
";

    #[test]
    fn whole_cells_are_fine() {
        assert_eq!(split_cells(TABLE), Vec::<String>::new());
    }

    #[test]
    fn half_a_cell_is_found() {
        let table = TABLE.replace("       of it", "half");
        assert_eq!(split_cells(&table).len(), 1);
        assert!(split_cells(&table)[0].starts_with("line 9: "));
    }
}
