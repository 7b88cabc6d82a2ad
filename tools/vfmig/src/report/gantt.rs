// SPDX-License-Identifier: GPL-2.0
//! Phases on a line of time.

use anyhow::Result;
use plotters::element::{PathElement, Rectangle};
use plotters::prelude::{Color, IntoDrawingArea, RGBColor, SVGBackend, WHITE};
use plotters::style::text_anchor::HPos;
use report::plot::style::{GRID, colour};
use report::plot::{Area, LABEL, text};
use report::quantity;

use crate::timeline::{Phase, Side};

const WIDTH: i32 = 920;
/// Where time begins, right of the names.
const LEFT: i32 = 190;
const RIGHT: i32 = 100;
const ROW: i32 = 22;
const FOOT: i32 = 30;
/// Lines across that there are at most, without the first.
const TICKS: u64 = 6;
/// Characters of a name that there is room for.
const NAME: usize = 22;

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
        for past in ticks(to - from) {
            let x = place(from.saturating_add(past));
            let line = [(x, 0), (x, rows * ROW)];
            root.draw(&PathElement::new(line, GRID.stroke_width(1)))?;
            let label = match past {
                0 => "0".to_owned(),
                _ => quantity(past as f64, "us"),
            };
            let below = (x, rows * ROW + FOOT / 2);
            text(&root, &label, below, LABEL, HPos::Center)?;
        }
        for (row, phase) in (0..).zip(&shown) {
            bar(&root, phase, row * ROW, &place)?;
        }
        root.present()?;
    }
    Ok(svg)
}

/// Round times from 0 to `length`.
fn ticks(length: u64) -> impl Iterator<Item = u64> {
    let steps = (0..19).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
    let mut steps = steps.skip_while(|step| length / step > TICKS);
    let step = steps.next().unwrap_or(u64::MAX);
    (0..=length / step).map(move |tick| tick * step)
}

fn bar(root: &Area<'_>, phase: &Phase, top: i32, place: &dyn Fn(u64) -> i32) -> Result<()> {
    let middle = top + ROW / 2;
    let name = shortened(&phase.side.phase(&phase.name));
    text(root, &name, (LEFT - 10, middle), LABEL, HPos::Right)?;
    let (left, right) = (place(phase.start_us), place(phase.end_us));
    // What takes no time is seen, too.
    let right = right.max(left + 2);
    let corners = [(left, top + 3), (right, top + ROW - 3)];
    root.draw(&Rectangle::new(corners, tint(phase.side).filled()))?;
    let took = quantity(phase.end_us.saturating_sub(phase.start_us) as f64, "us");
    text(root, &took, (right + 6, middle), LABEL, HPos::Left)
}

/// The colour of what a side does.
pub fn tint(side: Side) -> RGBColor {
    colour(match side {
        Side::Source => 1,
        Side::Target => 2,
        Side::Both => 3,
    })
}

/// A file may name its phases as it likes.
fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    let mut name: String = name.chars().take(NAME - 1).collect();
    name.push('…');
    name
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

    #[test]
    fn ticks_are_round() {
        let of = |length| ticks(length).collect::<Vec<_>>();
        assert_eq!(of(0), [0]);
        assert_eq!(of(3), [0, 1, 2, 3]);
        assert_eq!(of(844), [0, 200, 400, 600, 800]);
        assert_eq!(of(376_000), [0, 100_000, 200_000, 300_000]);
        assert!(of(u64::MAX).len() <= TICKS as usize + 1);
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(shortened("source PRE_COPY_P2P"), "source PRE_COPY_P2P");
        assert_eq!(shortened(&"ä".repeat(99)).chars().count(), NAME);
    }
}
