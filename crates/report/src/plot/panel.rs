// SPDX-License-Identifier: GPL-2.0
//! What is drawn: for each kind of points a panel with its lines.

use crate::dimension::{Dimension, describe, varying};
use crate::{Figure, Measured, Point};

/// How a line is drawn, which tells whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Narrow, with dots.
    Strong,
    /// Broad, without.
    Pale,
}

#[derive(Debug)]
pub struct Panel {
    /// What tells it from the others; empty if it is the only one.
    pub title: String,
    pub curves: Vec<Curve>,
}

/// One line.
#[derive(Debug)]
pub struct Curve {
    /// Percent that changed.
    pub share: Option<f64>,
    pub line: Line,
    /// Ordered by context.
    pub dots: Vec<Dot>,
}

#[derive(Debug)]
pub struct Dot {
    pub context: f64,
    pub lower: f64,
    pub value: f64,
    pub upper: f64,
}

/// A dot's lower end, middle, and upper end, if it is to be drawn.
pub type Value<'a> = &'a dyn Fn(&Measured) -> Option<(f64, f64, f64)>;

/// A panel for each kind of points that has several contexts.
pub fn panels(figure: &Figure, lines: &[(Line, Value<'_>)]) -> Vec<Panel> {
    let kind =
        |measured: &Measured| Dimension::OF_GRIDS.map(|dimension| dimension.cell(&measured.point));
    let mut groups: Vec<Vec<&Measured>> = Vec::new();
    for measured in &figure.points {
        match groups.iter_mut().find(|g| kind(g[0]) == kind(measured)) {
            Some(group) => group.push(measured),
            None => groups.push(vec![measured]),
        }
    }
    let mut panels: Vec<(&Point, Panel)> = Vec::new();
    for group in groups {
        let mut curves = Vec::new();
        for (line, value) in lines {
            curves.extend(curves_of(&group, *line, value));
        }
        let mut contexts = curves.iter().flat_map(|c: &Curve| &c.dots);
        let first = contexts.next().map(|dot| dot.context);
        if contexts.any(|dot| Some(dot.context) != first) {
            let title = String::new();
            panels.push((&group[0].point, Panel { title, curves }));
        }
    }
    let points: Vec<&Point> = panels.iter().map(|(point, _)| *point).collect();
    let mut apart = varying(points.iter().copied());
    apart.retain(|dimension| Dimension::OF_GRIDS.contains(dimension));
    let titled = panels.into_iter().map(|(point, panel)| Panel {
        title: describe(point, &apart),
        ..panel
    });
    titled.collect()
}

/// A curve for each share that changed.
fn curves_of(group: &[&Measured], line: Line, value: Value<'_>) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for measured in group {
        let Point {
            context, changed, ..
        } = measured.point;
        let (Some(context), Some((lower, value, upper))) = (context, value(measured)) else {
            continue;
        };
        // There is no place for it on a logarithmic axis.
        if context == 0 {
            continue;
        }
        let dot = Dot {
            context: context as f64,
            lower,
            value,
            upper,
        };
        match curves.iter_mut().find(|curve| curve.share == changed) {
            Some(curve) => curve.dots.push(dot),
            None => curves.push(Curve {
                share: changed,
                line,
                dots: vec![dot],
            }),
        }
    }
    curves
}

/// All shares that changed, in order.
pub fn shares(panels: &[Panel]) -> Vec<Option<f64>> {
    let curves = panels.iter().flat_map(|panel| &panel.curves);
    let mut shares: Vec<Option<f64>> = curves.map(|curve| curve.share).collect();
    // None is less than all percentages.
    shares.sort_by(|a, b| a.unwrap_or(-1.0).total_cmp(&b.unwrap_or(-1.0)));
    shares.dedup();
    shares
}

/// The least and the most of all dots.
pub fn extent(panels: &[Panel], of: impl Fn(&Dot) -> f64) -> Option<(f64, f64)> {
    let curves = panels.iter().flat_map(|panel| &panel.curves);
    let values = curves.flat_map(|curve| &curve.dots).map(of);
    values.fold(None, |extent, value| match extent {
        None => Some((value, value)),
        Some((least, most)) => Some((value.min(least), value.max(most))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Comparison, Results, testing};

    #[test]
    fn the_example_has_a_panel_for_each_transport() {
        let results = Results::new(&testing::input());
        let figure = results.figure("switchover").unwrap();
        let of = |measured: &Measured| {
            let value = measured.median(Comparison::Drivers.numerator())?;
            Some((value, value, value))
        };
        let panels = panels(figure, &[(Line::Strong, &of)]);
        let titles: Vec<&str> = panels.iter().map(|panel| &panel.title[..]).collect();
        assert_eq!(titles, ["by pipe", "by tcp"]);
        assert_eq!(shares(&panels), [None, Some(1.0)]);
        for curve in &panels[0].curves {
            let contexts: Vec<f64> = curve.dots.iter().map(|dot| dot.context).collect();
            assert_eq!(contexts, [65536.0, 1048576.0]);
        }
        let contexts = extent(&panels, |dot| dot.context);
        assert_eq!(contexts, Some((65536.0, 1048576.0)));
    }
}
