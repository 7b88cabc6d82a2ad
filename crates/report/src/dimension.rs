// SPDX-License-Identifier: GPL-2.0
//! The fields of a point as columns of a table and words of a sentence.

use crate::Point;
use crate::quantity::quantity;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    Transport,
    Part,
    Functions,
    Delay,
    Note,
    Context,
    Changed,
}

use Dimension::{Changed, Context, Delay, Functions, Note, Part, Transport};

impl Dimension {
    pub const ALL: [Self; 7] = [Transport, Part, Functions, Delay, Note, Context, Changed];

    /// Those that tell one grid of contexts and shares that changed from another.
    pub const OF_GRIDS: [Self; 5] = [Transport, Part, Functions, Delay, Note];

    /// The heading of its column.
    pub fn heading(self) -> &'static str {
        match self {
            Transport => "transport",
            Part => "part",
            Functions => "functions",
            Delay => "delay",
            Note => "note",
            Context => "context",
            Changed => "changed",
        }
    }

    /// A point's cell in its column, empty if it does not apply.
    pub fn cell(self, point: &Point) -> String {
        let cell = match self {
            Transport => point.transport.clone(),
            Part => point.part.map(bytes),
            Functions => point.functions.map(|count| count.to_string()),
            Delay => point.delay_ms.map(|ms| format!("{ms} ms")),
            Note => point.note.clone(),
            Context => point.context.map(bytes),
            Changed => Some(share(point.changed)),
        };
        cell.unwrap_or_default()
    }

    /// A point's words in a list, if it applies.
    pub fn words(self, point: &Point) -> Option<String> {
        match self {
            Transport => point.transport.as_ref().map(|name| format!("by {name}")),
            Part => point.part.map(|size| format!("parts of {}", bytes(size))),
            Functions => point.functions.map(|count| match count {
                1 => "1 function".into(),
                _ => format!("{count} functions"),
            }),
            Delay => point.delay_ms.map(|ms| format!("a delay of {ms} ms")),
            Note => point.note.clone(),
            Context => point
                .context
                .map(|size| format!("a context of {}", bytes(size))),
            Changed => Some(match point.changed {
                None => "no pre-copy".into(),
                changed => format!("{} changed", share(changed)),
            }),
        }
    }

    /// Whether it tells any of `points` from another.
    pub fn varies<'a>(self, points: impl IntoIterator<Item = &'a Point>) -> bool {
        let mut cells = points.into_iter().map(|point| self.cell(point));
        let first = cells.next();
        cells.any(|cell| Some(cell) != first)
    }
}

/// Those that tell `points` apart.
pub fn varying<'a>(points: impl IntoIterator<Item = &'a Point> + Clone) -> Vec<Dimension> {
    let mut dimensions = Dimension::ALL.to_vec();
    dimensions.retain(|dimension| dimension.varies(points.clone()));
    dimensions
}

/// What a point is in the given dimensions, in a few words.
pub fn describe(point: &Point, dimensions: &[Dimension]) -> String {
    let words = dimensions.iter().filter_map(|d| d.words(point));
    words.collect::<Vec<_>>().join(", ")
}

/// A share that changed, or that nothing was read beforehand.
pub fn share(changed: Option<f64>) -> String {
    match changed {
        Some(percent) => format!("{percent} %"),
        None => "no pre-copy".into(),
    }
}

pub fn bytes(count: u64) -> String {
    quantity(count as f64, "B")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(context: u64, changed: Option<f64>) -> Point {
        Point {
            context: Some(context),
            changed,
            transport: Some("pipe".into()),
            ..Point::default()
        }
    }

    #[test]
    fn what_is_the_same_everywhere_does_not_vary() {
        let points = [point(1024, None), point(1024, Some(0.5))];
        assert_eq!(varying(&points), [Changed]);
        assert_eq!(varying(&points[..1]), []);
        assert_eq!(varying(&points[..0]), []);
    }

    #[test]
    fn points_are_described() {
        let words = describe(&point(1 << 20, Some(0.5)), &Dimension::ALL);
        assert_eq!(words, "by pipe, a context of 1 MiB, 0.5 % changed");
        assert_eq!(describe(&Point::default(), &[Part, Changed]), "no pre-copy");
        assert_eq!(Part.cell(&Point::default()), "");
    }
}
