// SPDX-License-Identifier: GPL-2.0
//! What the standard leaves to the device, or says with SHOULD only, and the bench
//! does the other way on request. See Documentation/bench.rst.

use serde::Serialize;

/// How a device differs from the one that the bench is by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Choices {
    /// DEV_PARTS_SET verifies PCI_COMMON_CFG parts and does not apply them.
    pub verify_common_cfg: bool,
    /// DEV_PARTS_GET gives with selected parts those that must precede them.
    pub get_predecessors: bool,
    /// A ring keeps its positions, whatever is set, as long as it is the same ring.
    pub private_ring_positions: bool,
    /// No queue repeats its notification when a device with new parts resumes.
    pub quiet_resume: bool,
    /// The switch knows an address from frames only, not from the function that has it.
    pub no_mac_learning: bool,
}
