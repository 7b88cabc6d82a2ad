// SPDX-License-Identifier: GPL-2.0
//! Device contexts of a wanted size.

use std::fmt;

use report::Point;

/// Bytes of a part's header.
const HEADER: u64 = 16;

/// How large a context is, and in which parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bytes of the ballast's parts, headers among them. The rest of a context is small.
    pub context: u64,
    /// Bytes of a part's value.
    pub part: u64,
}

impl Size {
    /// A context of so many bytes, in parts of so many.
    pub const fn new(context: u64, part: u64) -> Self {
        Self { context, part }
    }

    /// Number of parts.
    pub fn parts(self) -> u64 {
        (self.context / (self.part + HEADER)).max(1)
    }

    /// Bytes of ballast.
    pub fn ballast(self) -> u64 {
        self.parts() * self.part
    }

    /// Number of parts that are `percent` of all, rounded up.
    pub fn share(self, percent: f64) -> u64 {
        (self.parts() as f64 * percent / 100.0).ceil() as u64
    }

    /// The point of a result about it.
    pub fn point(self, changed: Option<f64>) -> Point {
        Point {
            context: Some(self.context),
            part: Some(self.part),
            changed,
            ..Point::default()
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB in parts of {}", self.context >> 10, self.part)
    }
}
