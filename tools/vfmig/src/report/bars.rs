// SPDX-License-Identifier: GPL-2.0
//! An amount for each round.

use anyhow::Result;
use plotters::element::PathElement;
use plotters::element::Rectangle;
use plotters::prelude::{Color, IntoDrawingArea, SVGBackend, WHITE};
use plotters::style::text_anchor::HPos;
use report::plot::style::{GRID, colour};
use report::plot::{LABEL, text};

const WIDTH: i32 = 920;
const HEIGHT: i32 = 180;
const LEFT: i32 = 20;
/// Room for the amounts above the bars, and for numbers below.
const TOP: i32 = 24;
const FOOT: i32 = 24;
/// Widest that a bar is with the gap to the next one.
const WIDEST: i32 = 80;
/// How wide a character of a label is at most.
const GLYPH: i32 = 9;

/// Bars with numbers from 1, as SVG. Amounts are written above the bars if all of them
/// fit beside each other, and above the highest one otherwise.
pub fn draw(amounts: &[u64], tint: usize, show: &dyn Fn(u64) -> String) -> Result<String> {
    let most = amounts.iter().copied().max().unwrap_or(0).max(1);
    let count = i64::try_from(amounts.len().max(1))?;
    let room = i64::from(WIDTH - 2 * LEFT).min(count * i64::from(WIDEST));
    let place = |index: i64| LEFT + i32::try_from(index * room / count).unwrap_or(WIDTH);
    let step = (room / count) as i32;
    let wide = (step * 3 / 4).max(1);
    let floor = HEIGHT - FOOT;
    let labels: Vec<String> = amounts.iter().map(|amount| show(*amount)).collect();
    let all_fit = labels.iter().all(|label| width(label) <= step);
    let highest = amounts.iter().position(|amount| *amount == most);
    // Numbers are at equal distances, of which the first is 1.
    let every = i64::from(width(&count.to_string()) / step.max(1) + 1);

    let mut svg = String::new();
    {
        let root =
            SVGBackend::with_string(&mut svg, (WIDTH as u32, HEIGHT as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        let line = [(LEFT, floor), (WIDTH - LEFT, floor)];
        root.draw(&PathElement::new(line, GRID.stroke_width(1)))?;
        for (index, (amount, label)) in (0..).zip(amounts.iter().zip(&labels)) {
            let left = place(index);
            let share = *amount as f64 / most as f64;
            let high = (share * f64::from(floor - TOP)).round() as i32;
            let corners = [(left, floor - high), (left + wide, floor)];
            root.draw(&Rectangle::new(corners, colour(tint).filled()))?;
            let middle = left + wide / 2;
            if all_fit || highest.is_some_and(|highest| highest as i64 == index) {
                // At the edges there is room on one side only.
                let middle = middle.max(width(label) / 2).min(WIDTH - width(label) / 2);
                let above = (middle, floor - high - 10);
                text(&root, label, above, LABEL, HPos::Center)?;
            }
            if index % every == 0 {
                let number = (index + 1).to_string();
                let below = (middle, floor + FOOT / 2);
                text(&root, &number, below, LABEL, HPos::Center)?;
            }
        }
        root.present()?;
    }
    Ok(svg)
}

/// What a label takes, with the space to the next one.
fn width(label: &str) -> i32 {
    i32::try_from(label.chars().count() + 1)
        .unwrap_or(WIDTH)
        .saturating_mul(GLYPH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(amount: u64) -> String {
        format!("{amount} B")
    }

    #[test]
    fn amounts_are_written_where_they_fit() {
        let few = draw(&[578, 96, 0], 1, &show).unwrap();
        for label in ["578 B", "96 B", "0 B"] {
            assert!(few.contains(label), "{label}");
        }
        let more: Vec<u64> = (100_000..100_020).collect();
        let more = draw(&more, 1, &show).unwrap();
        assert_eq!(more.matches(" B").count(), 1);
        assert!(more.contains("100019 B"));
    }

    #[test]
    fn bars_of_any_number_stay_inside() {
        draw(&[], 1, &show).unwrap();
        draw(&[0, 0], 1, &show).unwrap();
        draw(&[u64::MAX; 3], 1, &show).unwrap();
        let many: Vec<u64> = (0..5000).collect();
        let many = draw(&many, 1, &show).unwrap();
        let right = many
            .split(" x=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().parse::<i32>().unwrap())
            .max();
        assert!(right.is_some_and(|right| right <= WIDTH), "{right:?}");
    }
}
