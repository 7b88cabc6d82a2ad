// SPDX-License-Identifier: GPL-2.0
//! Tells what the lines are, below the panels.

use anyhow::Result;
use plotters::style::text_anchor::HPos;

use super::chart::{Area, LABEL, Pixel, line, mark, text};
use super::panel::Line;
use crate::Comparison;
use crate::dimension::share;

const LINE_HEIGHT: i32 = 24;
const SAMPLE: i32 = 36;
const GAP: i32 = 8;
/// The width of a letter, about: there is no font to ask.
const LETTER: i32 = 7;

pub struct Legend {
    entries: Vec<Entry>,
    /// Lines of text.
    lines: i32,
}

struct Entry {
    /// The number of the line that is explained.
    index: usize,
    line: Line,
    words: String,
    /// The left end, from the top of the legend.
    at: Pixel,
}

impl Legend {
    /// Colours for shares and, below, kinds of lines for drivers.
    pub fn new(shares: &[Option<f64>], drivers: bool, width: u32) -> Self {
        let entries = shares.iter().enumerate().map(|(index, &changed)| {
            let words = match changed {
                Some(_) => format!("{} changed", share(changed)),
                None => share(changed),
            };
            Entry::new(index, Line::Strong, words)
        });
        let entries: Vec<Entry> = entries.collect();
        let widest = entries.iter().map(Entry::width).max().unwrap_or(1);
        let fitting = ((width as i32 - 2 * GAP) / widest).max(1) as usize;
        // Lines of about the same length look better than a single entry on the last.
        let lines = entries.len().div_ceil(fitting).max(1);
        let per_line = entries.len().div_ceil(lines);
        let mut rows: Vec<Vec<Entry>> = Vec::new();
        for entry in entries {
            match rows.last_mut() {
                Some(row) if row.len() < per_line => row.push(entry),
                _ => rows.push(vec![entry]),
            }
        }
        if drivers {
            let comparison = Comparison::Drivers;
            rows.push(vec![
                Entry::new(
                    0,
                    Line::Strong,
                    format!("narrow line: {}", comparison.numerator()),
                ),
                Entry::new(
                    0,
                    Line::Pale,
                    format!("broad line: {}", comparison.denominator()),
                ),
            ]);
        }
        let lines = rows.len() as i32;
        let mut y = LINE_HEIGHT / 2;
        for row in &mut rows {
            let length: i32 = row.iter().map(Entry::width).sum();
            let mut x = (width as i32 - length) / 2;
            for entry in row {
                entry.at = (x, y);
                x += entry.width();
            }
            y += LINE_HEIGHT;
        }
        let entries = rows.into_iter().flatten().collect();
        Self { entries, lines }
    }

    pub fn height(&self) -> u32 {
        (self.lines * LINE_HEIGHT + GAP) as u32
    }

    pub fn draw(&self, root: &Area<'_>, top: u32) -> Result<()> {
        for entry in &self.entries {
            let (x, y) = (entry.at.0, entry.at.1 + top as i32);
            line(root, &[(x, y), (x + SAMPLE, y)], entry.index, entry.line)?;
            mark(root, (x + SAMPLE / 2, y), entry.index, entry.line)?;
            let words = (x + SAMPLE + GAP, y);
            text(root, &entry.words, words, LABEL, HPos::Left)?;
        }
        Ok(())
    }
}

impl Entry {
    fn new(index: usize, line: Line, words: String) -> Self {
        let at = (0, 0);
        Self {
            index,
            line,
            words,
            at,
        }
    }

    fn width(&self) -> i32 {
        SAMPLE + 3 * GAP + self.words.chars().count() as i32 * LETTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_neither_overlap_nor_leave_the_picture() {
        let shares: Vec<Option<f64>> = (0..20).map(|percent| Some(f64::from(percent))).collect();
        let legend = Legend::new(&shares, true, 760);
        assert!(legend.lines > 2);
        for (entry, next) in legend.entries.iter().zip(&legend.entries[1..]) {
            assert!(entry.at.0 >= 0 && entry.at.0 + entry.width() <= 760);
            assert!(next.at.1 > entry.at.1 || next.at.0 >= entry.at.0 + entry.width());
        }
    }
}
