// SPDX-License-Identifier: GPL-2.0
//! Migration streams of virtio functions: what is in them, as far as they are sound.

mod contents;
mod features;
mod meaning;
mod names;
mod walk;

pub use contents::{Contents, Difference, Kind};
pub use features::feature_names;
pub use meaning::meaning;
pub use names::{device_type, part_name, record_name, selector};
pub use walk::{Fault, Item, Part, walk};

#[cfg(test)]
pub(crate) mod testing;
