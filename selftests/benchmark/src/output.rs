// SPDX-License-Identifier: GPL-2.0
//! Results, one line each.

use std::io::{Write, stdout};

use anyhow::{Context, Result};
use report::{Point, Series, Subject};

/// Values of one figure at one point, with each driver.
pub struct Figure {
    figure: String,
    unit: &'static str,
    point: Point,
    values: Vec<(Subject, Vec<f64>)>,
}

impl Figure {
    /// A figure that has no values yet.
    pub fn new(figure: impl Into<String>, unit: &'static str, point: &Point) -> Self {
        Self {
            figure: figure.into(),
            unit,
            point: point.clone(),
            values: Vec::new(),
        }
    }

    /// Adds a value.
    pub fn add(&mut self, subject: Subject, value: f64) {
        match self.values.iter_mut().find(|(who, _)| *who == subject) {
            Some((_, values)) => values.push(value),
            None => self.values.push((subject, vec![value])),
        }
    }

    /// Prints the series.
    pub fn print(self) -> Result<()> {
        let mut out = stdout().lock();
        for (subject, values) in self.values {
            let series = Series {
                figure: self.figure.clone(),
                unit: self.unit.into(),
                subject,
                point: self.point.clone(),
                values,
            };
            let line = serde_json::to_string(&series).context("a result as JSON")?;
            writeln!(out, "{line}").context("printing a result")?;
        }
        out.flush().context("printing results")
    }
}
