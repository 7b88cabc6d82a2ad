// SPDX-License-Identifier: GPL-2.0
//! Writes measurements, one a line.

use std::io::{self, Write};

use serde::Serialize;

use crate::{Environment, Series};

/// The first line of a file.
#[derive(Serialize)]
struct First<'a> {
    environment: &'a Environment,
}

/// A file of measurements. Each line is written at once, so that a run that is cut
/// short leaves what it has.
pub struct Writer<W: Write>(W);

impl<W: Write> Writer<W> {
    /// Begins a file.
    pub fn new(output: W, environment: &Environment) -> io::Result<Self> {
        let mut writer = Self(output);
        writer.line(&First { environment })?;
        Ok(writer)
    }

    /// Adds a series.
    pub fn write(&mut self, series: &Series) -> io::Result<()> {
        self.line(series)
    }

    fn line<T: Serialize>(&mut self, line: &T) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.0.write_all(&text)?;
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_is_written_is_read_back() {
        let input = testing::input();
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, &input.environment).unwrap();
        for series in &input.series {
            writer.write(series).unwrap();
        }
        let back = crate::read(&file[..]).unwrap();
        assert_eq!(back.environment, input.environment);
        assert_eq!(format!("{:?}", back.series), format!("{:?}", input.series));
    }
}
