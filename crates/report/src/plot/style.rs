// SPDX-License-Identifier: GPL-2.0
//! Colours and shapes that are told apart also by who sees few colours.

use plotters::style::{Color, RGBAColor, RGBColor};

/// Of Okabe and Ito, without yellow, which is too pale for lines on white.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

pub const GRID: RGBColor = RGBColor(225, 225, 225);
pub const TEXT: RGBColor = RGBColor(40, 40, 40);

/// Outlines around a dot, in pixels.
const SHAPES: [&[(i32, i32)]; 5] = [
    &[
        (4, 0),
        (3, 3),
        (0, 4),
        (-3, 3),
        (-4, 0),
        (-3, -3),
        (0, -4),
        (3, -3),
    ],
    &[(-4, -4), (4, -4), (4, 4), (-4, 4)],
    &[(0, -5), (5, 4), (-5, 4)],
    &[(0, -6), (6, 0), (0, 6), (-6, 0)],
    &[(0, 5), (5, -4), (-5, -4)],
];

/// The colour of the line with this number.
pub fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// The same for a line that others may be below and above.
pub fn pale(index: usize) -> RGBAColor {
    colour(index).mix(0.35)
}

/// The shape of the dots of the line with this number.
pub fn shape(index: usize) -> &'static [(i32, i32)] {
    SHAPES[index % SHAPES.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lines_differ() {
        let lines: std::collections::HashSet<_> = (0..35)
            .map(|index| (colour(index).0, colour(index).1, shape(index)))
            .collect();
        assert_eq!(lines.len(), 35);
    }
}
