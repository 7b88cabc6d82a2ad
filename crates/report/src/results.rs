// SPDX-License-Identifier: GPL-2.0
//! The measurements, put together by what was measured.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Comparison, Environment, Input, Point, Ratio, Series, Subject, Summary, figures};

/// All of a run. Its JSON is for programs.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    pub environment: Environment,
    /// In the order to show them.
    pub figures: Vec<Figure>,
}

/// One figure, in one unit.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    #[serde(rename = "figure")]
    pub name: String,
    pub unit: String,
    pub more_is_better: bool,
    /// Ordered by point.
    pub points: Vec<Measured>,
}

/// One figure at one point.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub point: Point,
    /// Without those of which there is no value.
    pub subjects: BTreeMap<Subject, Summary>,
    /// Without those that cannot be computed.
    pub ratios: BTreeMap<Comparison, Ratio>,
}

/// The values of each series of one point, by subject.
type Runs<'a> = BTreeMap<Subject, Vec<&'a [f64]>>;

impl Results {
    /// Puts series of the same figure, unit and point together.
    pub fn new(input: &Input) -> Self {
        let mut figures: Vec<(&Series, BTreeMap<&Point, Runs<'_>>)> = Vec::new();
        for series in &input.series {
            let same = |other: &Series| other.figure == series.figure && other.unit == series.unit;
            let index = figures.iter().position(|(first, _)| same(first));
            let index = index.unwrap_or_else(|| {
                figures.push((series, BTreeMap::new()));
                figures.len() - 1
            });
            let runs = figures[index].1.entry(&series.point).or_default();
            let of_subject = runs.entry(series.subject).or_default();
            of_subject.push(&series.values);
        }
        // Those of which nothing is known remain in the file's order, behind the others.
        figures.sort_by_key(|(first, _)| figures::rank(&first.figure));
        Self {
            environment: input.environment.clone(),
            figures: figures
                .into_iter()
                .map(|(first, points)| Figure {
                    name: first.figure.clone(),
                    unit: first.unit.clone(),
                    more_is_better: first.unit.ends_with("/s"),
                    points: points.into_iter().map(Measured::new).collect(),
                })
                .collect(),
        }
    }

    /// The first figure of this name.
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }
}

impl Figure {
    /// Whether any of the two was measured.
    pub fn has(&self, comparison: Comparison) -> bool {
        let subjects = [comparison.numerator(), comparison.denominator()];
        let mut measured = self.points.iter().flat_map(|point| point.subjects.keys());
        measured.any(|subject| subjects.contains(subject))
    }

    /// Points at which the two can be compared.
    pub fn compared(&self, comparison: Comparison) -> Vec<(&Point, &Ratio)> {
        let ratio = |measured: &'_ Measured| measured.ratios.contains_key(&comparison);
        let compared = self.points.iter().filter(|measured| ratio(measured));
        compared
            .map(|measured| (&measured.point, &measured.ratios[&comparison]))
            .collect()
    }
}

impl Measured {
    fn new((point, runs): (&Point, Runs<'_>)) -> Self {
        let subjects = runs.iter().filter_map(|(&subject, runs)| {
            let values = runs.iter().flat_map(|values| values.iter().copied());
            Some((subject, Summary::of(values)?))
        });
        let ratios = Comparison::ALL.into_iter().filter_map(|comparison| {
            let over = runs.get(&comparison.numerator())?;
            let under = runs.get(&comparison.denominator())?;
            Some((comparison, Ratio::of(over, under)?))
        });
        Self {
            point: point.clone(),
            subjects: subjects.collect(),
            ratios: ratios.collect(),
        }
    }

    /// A subject's median, if it was measured.
    pub fn median(&self, subject: Subject) -> Option<f64> {
        Some(self.subjects.get(&subject)?.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, series};

    fn results(series: Vec<Series>) -> Results {
        Results::new(&Input {
            environment: Environment::default(),
            series,
        })
    }

    #[test]
    fn series_of_one_point_are_put_together() {
        let results = results(vec![
            series("save", "us", Subject::Rs, &[1.0, 3.0]),
            series("save", "us", Subject::C, &[2.0, 6.0]),
            series("save", "us", Subject::Rs, &[8.0]),
            series("save", "us", Subject::C, &[8.0]),
        ]);
        assert_eq!(results.figures.len(), 1);
        let [measured] = &results.figures[0].points[..] else {
            panic!("{results:?}");
        };
        assert_eq!(measured.subjects[&Subject::Rs].n, 3);
        assert_eq!(measured.median(Subject::C), Some(6.0));
        let ratio = &measured.ratios[&Comparison::Drivers];
        assert_eq!((ratio.paired.n, ratio.paired.max), (3, 1.0));
    }

    #[test]
    fn units_are_kept_apart() {
        let results = results(vec![
            series("save", "MiB/s", Subject::Rs, &[1.0]),
            series("save", "us", Subject::Rs, &[1.0]),
        ]);
        let better: Vec<bool> = results.figures.iter().map(|f| f.more_is_better).collect();
        assert_eq!(better, [true, false]);
    }

    #[test]
    fn what_is_best_known_comes_first() {
        let results = results(vec![
            series("zeal", "us", Subject::Rs, &[1.0]),
            series("ardour", "us", Subject::Rs, &[1.0]),
            series("save", "us", Subject::Rs, &[1.0]),
            series("switchover", "us", Subject::Rs, &[1.0]),
        ]);
        let names: Vec<&str> = results.figures.iter().map(|f| &f.name[..]).collect();
        assert_eq!(names, ["switchover", "save", "zeal", "ardour"]);
    }

    #[test]
    fn a_subject_may_be_missing() {
        let results = results(vec![
            series("save", "us", Subject::C, &[1.0]),
            series("load", "us", Subject::Rs, &[f64::NAN]),
        ]);
        let save = results.figure("save").unwrap();
        assert!(save.has(Comparison::Drivers) && !save.has(Comparison::DirtyPages));
        assert!(save.compared(Comparison::Drivers).is_empty());
        assert!(!results.figure("load").unwrap().has(Comparison::Drivers));
    }

    #[test]
    fn the_json_of_the_example() {
        let results = Results::new(&testing::input());
        let json = serde_json::to_value(&results).unwrap();
        assert_eq!(json["environment"]["cpu"], "synthetic");
        let figure = &json["figures"][0];
        assert_eq!(figure["figure"], "switchover");
        assert_eq!(figure["more_is_better"], false);
        let point = &figure["points"][0];
        assert_eq!(point["point"]["transport"], "pipe");
        assert_eq!(point["subjects"]["rs"]["n"], 3);
        assert!(point["subjects"]["c"]["upper_quartile"].is_f64());
        assert!(point["ratios"]["rs/c"]["paired"]["median"].is_f64());
        assert!(point["ratios"]["rs/c"]["of_medians"].is_f64());
    }
}
