// SPDX-License-Identifier: GPL-2.0
//! Whether there is an IOMMU that is on.

use super::Finding;
use crate::host::Host;

const REMEDY: &str =
    "turn it on in the firmware, and boot with intel_iommu=on or amd_iommu=on if it stays off";

pub fn findings(host: &Host) -> Vec<Finding> {
    let units = host.names("/sys/class/iommu");
    let groups = host.names("/sys/kernel/iommu_groups");
    vec![
        if units.is_empty() {
            Finding::failed("IOMMU", "none", REMEDY)
        } else {
            Finding::ok("IOMMU", units.join(", "))
        },
        if groups.is_empty() {
            Finding::failed("IOMMU groups", "none", REMEDY)
        } else {
            Finding::ok("IOMMU groups", groups.len().to_string())
        },
    ]
}
