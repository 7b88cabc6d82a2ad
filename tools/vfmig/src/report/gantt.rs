// SPDX-License-Identifier: GPL-2.0
//! Phases on a line of time.

use anyhow::Result;
use plotters::element::{PathElement, Rectangle};
use plotters::prelude::{Color, IntoDrawingArea, SVGBackend, WHITE};
use plotters::style::text_anchor::HPos;
use report::plot::style::{GRID, TEXT, colour};
use report::plot::{Area, LABEL, text};
use report::quantity;

use crate::timeline::{Phase, Side};

const WIDTH: i32 = 920;
/// Where time begins, right of the names.
const LEFT: i32 = 190;
const RIGHT: i32 = 100;
const ROW: i32 = 22;
const FOOT: i32 = 30;
/// Lines across.
const TICKS: i32 = 5;

/// The part of `phases` between two times, as SVG.
pub fn draw(phases: &[Phase], from: u64, to: u64) -> Result<String> {
    let to = to.max(from);
    let shown: Vec<&Phase> = phases
        .iter()
        .filter(|phase| phase.end_us >= from && phase.start_us <= to)
        .collect();
    let rows = i32::try_from(shown.len())?;
    let height = rows * ROW + FOOT;
    let length = (to - from).max(1) as f64;
    let place = |time: u64| {
        let share = time.clamp(from, to).saturating_sub(from) as f64 / length;
        LEFT + (share * f64::from(WIDTH - LEFT - RIGHT)).round() as i32
    };

    let mut svg = String::new();
    {
        let root =
            SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        for tick in 0..=TICKS {
            let time = (length * f64::from(tick) / f64::from(TICKS)) as u64;
            let time = from.saturating_add(time);
            let x = place(time);
            let line = [(x, 0), (x, rows * ROW)];
            root.draw(&PathElement::new(line, GRID.stroke_width(1)))?;
            let label = quantity((time - from) as f64, "us");
            text(
                &root,
                &label,
                (x, rows * ROW + FOOT / 2),
                LABEL,
                HPos::Center,
            )?;
        }
        for (row, phase) in (0..).zip(&shown) {
            bar(&root, phase, row * ROW, &place)?;
        }
        root.present()?;
    }
    Ok(svg)
}

fn bar(root: &Area<'_>, phase: &Phase, top: i32, place: &dyn Fn(u64) -> i32) -> Result<()> {
    let middle = top + ROW / 2;
    let (name, index) = match phase.side {
        Side::Source => (format!("source {}", phase.name), 1),
        Side::Target => (format!("target {}", phase.name), 2),
        Side::Both => (phase.name.clone(), 3),
    };
    text(root, &name, (LEFT - 10, middle), LABEL, HPos::Right)?;
    let (left, right) = (place(phase.start_us), place(phase.end_us));
    // What takes no time is seen, too.
    let right = right.max(left + 2);
    let corners = [(left, top + 3), (right, top + ROW - 3)];
    root.draw(&Rectangle::new(corners, colour(index).filled()))?;
    let took = quantity((phase.end_us.saturating_sub(phase.start_us)) as f64, "us");
    let style_of_text = TEXT.stroke_width(1);
    root.draw(&PathElement::new(
        [(left, top + 3), (left, top + ROW - 3)],
        style_of_text,
    ))?;
    text(root, &took, (right + 6, middle), LABEL, HPos::Left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::testing;

    #[test]
    fn phases_within_the_time() {
        let timeline = testing::timeline();
        let all = draw(&timeline.phases, 0, timeline.total_us).unwrap();
        assert!(all.contains("source STOP_COPY") && all.contains("target RESUMING"));
        let end = draw(&timeline.phases, 90_000, 95_000).unwrap();
        assert!(end.contains("source STOP_COPY") && !end.contains("target RESUMING"));
        // Nonsense is drawn somehow.
        draw(&[], 7, 7).unwrap();
        draw(&timeline.phases, u64::MAX, 0).unwrap();
    }
}
