// SPDX-License-Identifier: GPL-2.0
//! One thing measured several times.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::Point;

/// Who or what was measured.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// This driver.
    Rs,
    /// The in-tree driver.
    C,
    /// Dirty pages by VFIO's DMA logging.
    DmaLogging,
    /// Dirty pages by iommufd.
    Iommufd,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Subject::Rs => "this driver",
            Subject::C => "in-tree driver",
            Subject::DmaLogging => "DMA logging",
            Subject::Iommufd => "iommufd",
        })
    }
}

/// What was measured, of whom, under which circumstances, and the values.
///
/// Values at the same index of two subjects' series with the same figure, unit and
/// point must have been taken one after the other. NaN keeps the place of a value
/// that could not be taken; it is `null` in JSON.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// "switchover", "save", "transition RUNNING->PRE_COPY" ...
    pub figure: String,
    /// "us", "ms", "B", "KiB", "MiB/s", "commands" ...
    pub unit: String,
    pub subject: Subject,
    #[serde(default)]
    pub point: Point,
    #[serde(deserialize_with = "null_is_nan")]
    pub values: Vec<f64>,
}

fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let values = Vec::<Option<f64>>::deserialize(deserializer)?;
    Ok(values
        .into_iter()
        .map(|value| value.unwrap_or(f64::NAN))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_the_names_of_the_file_format() {
        let names = [
            (Subject::Rs, "\"rs\""),
            (Subject::C, "\"c\""),
            (Subject::DmaLogging, "\"dma-logging\""),
            (Subject::Iommufd, "\"iommufd\""),
        ];
        for (subject, name) in names {
            assert_eq!(serde_json::to_string(&subject).unwrap(), name);
            assert_eq!(serde_json::from_str::<Subject>(name).unwrap(), subject);
        }
    }

    #[test]
    fn what_could_not_be_measured_keeps_its_place() {
        let series = Series {
            figure: "save".into(),
            unit: "us".into(),
            subject: Subject::Rs,
            point: Point::default(),
            values: vec![1.0, f64::NAN, 3.0],
        };
        let json = serde_json::to_string(&series).unwrap();
        assert!(json.contains("[1.0,null,3.0]"), "{json}");
        let back: Series = serde_json::from_str(&json).unwrap();
        assert_eq!(back.values.len(), 3);
        assert!(back.values[1].is_nan());
    }
}
