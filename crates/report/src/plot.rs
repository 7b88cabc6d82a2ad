// SPDX-License-Identifier: GPL-2.0
//! Pictures of the figures that are measured for contexts of many sizes.

mod axis;
mod chart;
mod legend;
mod panel;
pub mod style;

use anyhow::Result;

use crate::dimension::bytes;
use crate::quantity::{quantity, ratio};
use crate::{Comparison, Figure, Measured, Results, Subject, figures};

use axis::Axis;
use chart::Chart;
pub use chart::{Area, LABEL, Pixel, text};
use panel::{Dot, Line, Panel};

/// A picture.
pub struct Plot {
    /// Which figure it shows.
    pub figure: String,
    pub file: &'static str,
    /// What is to be seen, in words.
    pub alt: String,
    pub svg: String,
}

/// Those that there is data for.
pub fn plots(results: &Results) -> Result<Vec<Plot>> {
    let mut plots = Vec::new();
    if let Some(figure) = results.figure("switchover") {
        plots.extend(amounts(figure, "performance-switchover.svg")?);
        plots.extend(ratios(figure, "performance-ratio.svg")?);
    }
    if let Some(figure) = results.figure("stop-copy-bytes") {
        plots.extend(amounts(figure, "performance-bytes.svg")?);
    }
    Ok(plots)
}

/// What both drivers need, on logarithmic axes.
fn amounts(figure: &Figure, file: &'static str) -> Result<Option<Plot>> {
    let of = |subject: Subject| {
        move |measured: &Measured| {
            let value = measured.median(subject).filter(|value| *value > 0.0)?;
            Some((value, value, value))
        }
    };
    // The driver that is drawn last is in front.
    let panels = panel::panels(
        figure,
        &[
            (Line::Pale, &of(Comparison::Drivers.denominator())),
            (Line::Strong, &of(Comparison::Drivers.numerator())),
        ],
    );
    let Some((least, most)) = panel::extent(&panels, |dot| dot.value) else {
        return Ok(None);
    };
    let title = figures::title(&figure.name);
    let alt = format!(
        "{title} against the size of the context, both logarithmic, one colour for each share \
         that changed; narrow lines for this driver, broad pale ones for the in-tree driver. {}, all \
         values are from {} to {}.",
        contexts(&panels),
        quantity(least, &figure.unit),
        quantity(most, &figure.unit),
    );
    let chart = Chart {
        title: format!("{title}: median"),
        y: Axis::amounts(least, most, &figure.unit),
        reference: None,
        drivers: true,
        panels,
    };
    plot(figure, file, alt, &chart)
}

/// How they compare, with a line where they are equal.
fn ratios(figure: &Figure, file: &'static str) -> Result<Option<Plot>> {
    let of = |measured: &Measured| {
        let paired = &measured.ratios.get(&Comparison::Drivers)?.paired;
        Some((paired.lower_quartile, paired.median, paired.upper_quartile))
    };
    let panels = panel::panels(figure, &[(Line::Strong, &of)]);
    let Some((least, most)) = panel::extent(&panels, |dot| dot.value) else {
        return Ok(None);
    };
    let title = figures::title(&figure.name);
    let better = if figure.more_is_better {
        "above"
    } else {
        "below"
    };
    let alt = format!(
        "Ratio of this driver's {} to the in-tree driver's against the size of the context, one \
         colour for each share that changed, with quartiles and a line at 1.0. {}, the ratio is \
         from {} to {}.",
        title.to_lowercase(),
        contexts(&panels),
        ratio(least),
        ratio(most),
    );
    let (_, highest) = panel::extent(&panels, |dot| dot.upper).unwrap_or((least, most));
    let chart = Chart {
        title: format!(
            "{title}: this driver / in-tree driver, median and quartiles \
             ({better} 1.0 this driver is better)"
        ),
        y: Axis::ratios(highest),
        reference: Some(1.0),
        drivers: false,
        panels,
    };
    plot(figure, file, alt, &chart)
}

fn contexts(panels: &[Panel]) -> String {
    match panel::extent(panels, |dot: &Dot| dot.context) {
        Some((least, most)) => format!(
            "With contexts of {} to {}",
            bytes(least as u64),
            bytes(most as u64)
        ),
        None => String::new(),
    }
}

fn plot(figure: &Figure, file: &'static str, alt: String, chart: &Chart) -> Result<Option<Plot>> {
    Ok(Some(Plot {
        figure: figure.name.clone(),
        file,
        alt,
        svg: chart.draw()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, series};
    use crate::{Environment, Input, Point, Series};

    fn of(series: Vec<Series>) -> Vec<Plot> {
        let environment = Environment::default();
        plots(&Results::new(&Input {
            environment,
            series,
        }))
        .unwrap()
    }

    #[test]
    fn the_example_is_drawn() {
        let plots = plots(&Results::new(&testing::input())).unwrap();
        let files: Vec<&str> = plots.iter().map(|plot| plot.file).collect();
        assert_eq!(
            files,
            [
                "performance-switchover.svg",
                "performance-ratio.svg",
                "performance-bytes.svg"
            ]
        );
        for plot in &plots {
            assert!(plot.svg.contains("<svg"), "{}", plot.file);
            assert!(plot.svg.contains("SPDX-License-Identifier"));
            assert!(plot.svg.contains("1 % changed"));
            assert!(plot.alt.contains("contexts of 64 KiB to 1 MiB"));
        }
        assert!(plots[0].svg.contains("in-tree driver"));
        assert!(plots[0].svg.contains("by tcp"));
    }

    #[test]
    fn one_context_is_no_picture() {
        let mut series = series("switchover", "us", Subject::Rs, &[1.0]);
        series.point.context = Some(1);
        assert!(of(vec![series]).is_empty());
    }

    #[test]
    fn one_driver_is_a_picture_without_ratio() {
        let at = |context, values: &[f64]| Series {
            point: Point {
                context: Some(context),
                ..Point::default()
            },
            ..series("switchover", "us", Subject::C, values)
        };
        let zero = at(4096, &[0.0]);
        let plots = of(vec![at(1024, &[5.0]), at(2048, &[7.0]), zero]);
        assert_eq!(plots.len(), 1);
        assert!(plots[0].alt.contains("5 µs to 7 µs"), "{}", plots[0].alt);
    }
}
