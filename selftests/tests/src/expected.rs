// SPDX-License-Identifier: GPL-2.0
//! Tests that cannot run everywhere, though the machine is made for them.

use vvp_harness::ktap::ExpectedSkip;
use vvp_harness::vfio::Access;

/// What may be skipped on the bench's machine, with its functions reached by `access`.
pub fn skips(access: Access) -> Vec<ExpectedSkip> {
    match access {
        Access::Cdev => vec![
            ExpectedSkip {
                title: "without_iommufd.",
                reason: "this kernel has iommufd",
                because: "it is for the kernels that have none",
            },
            ExpectedSkip {
                title: "lifetimes.",
                reason: "lockdep reports virtio_pci",
                because: "it holds no lock when it removes VFs, and is not what is tested",
            },
            ExpectedSkip {
                title: "",
                reason: "this kernel loses dirty bits of the IOMMU",
                because: "the driver does not read them on Linux 7.2",
            },
        ],
        Access::Group => ["this kernel has no iommufd", "this system has no "]
            .map(|reason| ExpectedSkip {
                title: "",
                reason,
                because: "a kernel without iommufd is tried as it is, with the drivers it has",
            })
            .to_vec(),
    }
}
