// SPDX-License-Identifier: GPL-2.0

//! Module parameters, as this driver's migration reads them.

use crate::module_parameters;

/// Least time between two readings of a device's context in pre-copy, in
/// milliseconds.
pub(super) fn precopy_interval_ms() -> u64 {
    u64::from(module_parameters::precopy_interval_ms.value())
}

/// Whether records after the first carry only the parts that changed.
pub(super) fn precopy_delta() -> bool {
    module_parameters::precopy_delta.value()
}
