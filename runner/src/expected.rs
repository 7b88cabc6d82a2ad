// SPDX-License-Identifier: GPL-2.0
//! Tests that may be skipped, each with the reason why it cannot run in that stage.
//! Everything that tests need is there, so that any other skip is a failure.

use crate::stage::Stage;

/// Stage, beginning of the test's name, and why it is not run there.
const SKIPS: &[(Stage, &str, &str)] = &[
    (
        Stage::KernelSelftests,
        "vfio.",
        "selftests/kernel-selftests/src/expected.rs has the list of these, and judges it",
    ),
    (
        Stage::ConformanceSuite,
        "",
        "conformance/known has lists of these, which the suite compares",
    ),
    (
        Stage::L1,
        "",
        "Linux 7.2 loses dirty bits; selftests/tests/src/expected.rs judges each reason",
    ),
    (
        Stage::Debug,
        "lifetimes.",
        "lockdep reports virtio_pci, whose PF would be unbound",
    ),
    (Stage::Stock, "module.rs_cdev.", NO_IOMMUFD),
    (Stage::Stock, "round_trip.rs_to_rs_cdev.", NO_IOMMUFD),
];

const NO_IOMMUFD: &str = "that kernel has no iommufd";

/// Whether `test` may be skipped in `stage`.
pub fn may_skip(stage: Stage, test: &str) -> bool {
    SKIPS
        .iter()
        .any(|(of, name, _)| *of == stage && test.starts_with(name))
}
