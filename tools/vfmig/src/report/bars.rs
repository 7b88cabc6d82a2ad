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
/// Widest that a bar is.
const WIDEST: i32 = 60;
/// Bars that have room for words.
const LABELLED: usize = 24;

/// Bars with numbers from 1, as SVG.
pub fn draw(amounts: &[u64], tint: usize, show: &dyn Fn(u64) -> String) -> Result<String> {
    let most = amounts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let count = i32::try_from(amounts.len().max(1))?;
    let step = ((WIDTH - 2 * LEFT) / count).clamp(1, WIDEST + 20);
    let wide = (step * 3 / 4).max(1);
    let floor = HEIGHT - FOOT;
    let mut svg = String::new();
    {
        let root =
            SVGBackend::with_string(&mut svg, (WIDTH as u32, HEIGHT as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        let line = [(LEFT, floor), (WIDTH - LEFT, floor)];
        root.draw(&PathElement::new(line, GRID.stroke_width(1)))?;
        for (index, &amount) in (0..).zip(amounts) {
            let left = LEFT + index * step;
            let high = (amount as f64 / most * f64::from(floor - TOP)).round() as i32;
            let corners = [(left, floor - high), (left + wide, floor)];
            root.draw(&Rectangle::new(corners, colour(tint).filled()))?;
            if amounts.len() <= LABELLED {
                let middle = left + wide / 2;
                let above = (middle, floor - high - 10);
                text(&root, &show(amount), above, LABEL, HPos::Center)?;
                let number = (index + 1).to_string();
                text(
                    &root,
                    &number,
                    (middle, floor + FOOT / 2),
                    LABEL,
                    HPos::Center,
                )?;
            }
        }
        root.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_of_any_number() {
        let show = |amount: u64| format!("{amount} B");
        let few = draw(&[578, 96, 0], 1, &show).unwrap();
        assert!(few.contains("578 B") && few.contains("0 B"));
        draw(&[], 1, &show).unwrap();
        let many: Vec<u64> = (0..5000).collect();
        assert!(!draw(&many, 1, &show).unwrap().contains(" B"));
    }
}
