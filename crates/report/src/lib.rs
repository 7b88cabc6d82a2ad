// SPDX-License-Identifier: GPL-2.0
//! From the benchmark's measurements to what people read.
//!
//! Who measures describes the machine by [`Environment`], every measurement by
//! [`Series`], and writes them with [`Writer`]. [`read`] takes them back, [`Results`]
//! are their statistics, and [`page`], [`plot`], [`summary`] and [`overview`] show
//! those.

mod dimension;
mod environment;
mod figures;
mod input;
mod output;
pub mod overview;
pub mod page;
pub mod plot;
mod point;
mod quantity;
mod ratio;
mod results;
pub mod rst;
mod series;
mod statistics;
pub mod summary;
pub mod table;
#[cfg(test)]
mod testing;
mod writer;

pub use environment::Environment;
pub use input::{Input, InputError, read};
pub use output::write_all;
pub use point::Point;
pub use quantity::quantity;
pub use ratio::{Comparison, Ratio};
pub use results::{Figure, Measured, Results};
pub use series::{Series, Subject};
pub use statistics::Summary;
pub use writer::Writer;
