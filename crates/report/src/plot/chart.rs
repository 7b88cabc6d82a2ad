// SPDX-License-Identifier: GPL-2.0
//! Draws panels beside each other.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged;
use plotters::element::{PathElement, Polygon, Text};
use plotters::prelude::{ChartBuilder, Color, DrawingArea, IntoDrawingArea, SVGBackend, WHITE};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{IntoTextStyle, TextStyle};

use super::axis::Axis;
use super::legend::Legend;
use super::panel::{self, Curve, Line, Panel};
use super::style::{GRID, TEXT, colour, pale, shape};

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// A place in the picture.
pub type Pixel = (i32, i32);

const FONT: &str = "sans-serif";
/// Sizes as the library counts them: 1.24 times those of SVG.
const TITLE: i32 = 19;
pub const LABEL: i32 = 16;
/// The size of a panel, in pixels.
const WIDTH: u32 = 440;
const HEIGHT: u32 = 330;
/// The size of one that is alone.
const ALONE: (u32, u32) = (760, 430);
const TITLE_HEIGHT: u32 = 34;
/// How far a line is from the next one, where they would hide each other's spread.
const STEP: i32 = 3;

pub struct Chart {
    pub title: String,
    pub y: Axis,
    /// A value that is marked by a line.
    pub reference: Option<f64>,
    /// Whether lines of both drivers are shown; otherwise they have a spread.
    pub drivers: bool,
    /// Not empty.
    pub panels: Vec<Panel>,
}

impl Chart {
    /// As SVG.
    pub fn draw(&self) -> Result<String> {
        let columns = match self.panels.len() {
            count @ (1..=3) => count,
            4 => 2,
            _ => 3,
        };
        let rows = self.panels.len().div_ceil(columns);
        let (width, height) = match self.panels.len() {
            1 => ALONE,
            _ => (WIDTH * columns as u32, HEIGHT * rows as u32),
        };
        let shares = panel::shares(&self.panels);
        let legend = Legend::new(&shares, self.drivers, width);
        let size = (width, TITLE_HEIGHT + height + legend.height());

        let mut svg = String::new();
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let centre = (width as i32 / 2, TITLE_HEIGHT as i32 / 2 + 2);
        text(&root, &self.title, centre, TITLE, HPos::Center)?;
        let (_, below) = root.split_vertically(TITLE_HEIGHT);
        let (panels, _) = below.split_vertically(height);
        let areas = panels.split_evenly((rows, columns));
        let contexts = self.panels.iter().flat_map(|panel| &panel.curves);
        let contexts = contexts.flat_map(|curve| &curve.dots);
        let x = Axis::contexts(contexts.map(|dot| dot.context).collect());
        for (panel, area) in self.panels.iter().zip(&areas) {
            self.panel(&root, panel, area, &x, &shares)?;
        }
        legend.draw(&root, TITLE_HEIGHT + height)?;
        root.present()?;
        drop((root, below, panels, areas));
        Ok(svg.replacen("<svg", "<!-- SPDX-License-Identifier: GPL-2.0 -->\n<svg", 1))
    }

    fn panel(
        &self,
        root: &Area<'_>,
        panel: &Panel,
        area: &Area<'_>,
        x: &Axis,
        shares: &[Option<f64>],
    ) -> Result<()> {
        let mut builder = ChartBuilder::on(area);
        builder
            .margin(6)
            .margin_right(20)
            .x_label_area_size(42)
            .y_label_area_size(62);
        if !panel.title.is_empty() {
            builder.caption(&panel.title, style(area, LABEL + 1));
        }
        let mut chart = builder.build_cartesian_2d(x.clone(), self.y.clone())?;
        chart
            .configure_mesh()
            .light_line_style(GRID)
            .bold_line_style(GRID)
            .axis_style(TEXT)
            .label_style(style(area, LABEL))
            .x_desc("size of the context")
            .draw()?;
        let pixel = |context: f64, value: f64| -> Pixel { chart.backend_coord(&(context, value)) };
        if let Some(reference) = self.reference {
            let x = x.range();
            let ends = [x.start, x.end].map(|context| pixel(context, reference));
            let line = PathElement::new(ends, TEXT.stroke_width(2));
            root.draw(&line)?;
        }
        for curve in &panel.curves {
            let index = shares.iter().position(|share| *share == curve.share);
            let index = index.unwrap_or_default();
            let aside = if self.drivers {
                0
            } else {
                index as i32 * STEP - (shares.len() as i32 - 1) * STEP / 2
            };
            let pixel = |context, value| {
                let (x, y) = pixel(context, value);
                (x + aside, y)
            };
            self.curve(root, curve, index, &pixel)?;
        }
        Ok(())
    }

    fn curve(
        &self,
        root: &Area<'_>,
        curve: &Curve,
        index: usize,
        pixel: &dyn Fn(f64, f64) -> Pixel,
    ) -> Result<()> {
        let middles: Vec<Pixel> = curve
            .dots
            .iter()
            .map(|dot| pixel(dot.context, dot.value))
            .collect();
        line(root, &middles, index, curve.line)?;
        for (dot, middle) in curve.dots.iter().zip(middles) {
            if !self.drivers {
                let ends = [dot.lower, dot.upper].map(|value| pixel(dot.context, value));
                root.draw(&PathElement::new(ends, colour(index).stroke_width(1)))?;
            }
            mark(root, middle, index, curve.line)?;
        }
        Ok(())
    }
}

/// The line with this number.
pub fn line(root: &Area<'_>, through: &[Pixel], index: usize, line: Line) -> Result<()> {
    let style = match line {
        Line::Strong => colour(index).stroke_width(2),
        Line::Pale => pale(index).stroke_width(6),
    };
    root.draw(&PathElement::new(through.to_vec(), style))?;
    Ok(())
}

/// A dot of the line with this number, if such lines have dots.
pub fn mark(root: &Area<'_>, at: Pixel, index: usize, line: Line) -> Result<()> {
    if line == Line::Strong {
        let outline = shape(index).iter().map(|(x, y)| (at.0 + x, at.1 + y));
        root.draw(&Polygon::new(outline.collect::<Vec<_>>(), colour(index)))?;
    }
    Ok(())
}

/// One line of text.
pub fn text(root: &Area<'_>, words: &str, at: Pixel, size: i32, place: HPos) -> Result<()> {
    let style = style(root, size).pos(Pos::new(place, VPos::Center));
    root.draw(&Text::new(words, at, style))?;
    Ok(())
}

fn style<'a>(area: &Area<'_>, size: i32) -> TextStyle<'a> {
    (FONT, size, &TEXT).into_text_style(area)
}
