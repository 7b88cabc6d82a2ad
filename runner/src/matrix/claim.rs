// SPDX-License-Identifier: GPL-2.0
//! What a stage of the tests shows when it passes, in the words of those who want to know
//! whether their combination works.

use crate::stage::Stage;

/// Which of a run's two kernels a claim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The one that was built with the options of the test kernel.
    TestKernel,
    /// A distribution's, as it is.
    StockKernel,
}

/// A row of the matrix.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Without it there is no claim.
    pub stage: Stage,
    pub host: Host,
    pub architecture: &'static str,
    pub iommu: &'static str,
    pub container: &'static str,
    pub vmm: &'static str,
    pub what: &'static str,
    /// What is said if it has passed.
    pub success: &'static str,
}

const AMD: &str = "AMD-Vi with dirty bits";
const NO_DIRTY_BITS: &str = "AMD-Vi without dirty bits";
const VTD: &str = "VT-d of QEMU";
const IOMMUFD: &str = "iommufd";
const TYPE1: &str = "type1";
const BOTH: &str = "iommufd, type1";
const QEMU: &str = "QEMU";
/// The tests use VFIO themselves.
const NONE: &str = "none";

/// On the test kernel.
const fn claim(
    stage: Stage,
    iommu: &'static str,
    container: &'static str,
    vmm: &'static str,
    what: &'static str,
) -> Claim {
    Claim {
        stage,
        host: Host::TestKernel,
        architecture: "x86-64",
        iommu,
        container,
        vmm,
        what,
        success: "works",
    }
}

/// On a distribution's kernel.
const fn stock(
    stage: Stage,
    iommu: &'static str,
    container: &'static str,
    vmm: &'static str,
    what: &'static str,
) -> Claim {
    Claim {
        host: Host::StockKernel,
        ..claim(stage, iommu, container, vmm, what)
    }
}

/// A guest that is migrated with exact dirty pages.
const fn guest(stage: Stage, what: &'static str) -> Claim {
    claim(stage, AMD, IOMMUFD, QEMU, what)
}

/// All that the page says, in its order.
pub const CLAIMS: &[Claim] = &[
    claim(
        Stage::L1,
        AMD,
        BOTH,
        NONE,
        "virtio-net: passthrough, migration, streams from and to the in-tree driver",
    ),
    claim(
        Stage::Blk,
        AMD,
        BOTH,
        NONE,
        "virtio-blk: passthrough and migration",
    ),
    claim(
        Stage::Transitional,
        AMD,
        BOTH,
        NONE,
        "transitional virtio-net, with legacy and modern drivers",
    ),
    claim(
        Stage::BlkAll,
        AMD,
        BOTH,
        NONE,
        "virtio-blk: everything but what needs a network",
    ),
    claim(
        Stage::TransitionalAll,
        AMD,
        BOTH,
        NONE,
        "transitional virtio-net: everything",
    ),
    claim(
        Stage::Modest,
        AMD,
        BOTH,
        NONE,
        "a device with one resource object and a small admin queue",
    ),
    claim(
        Stage::Debug,
        AMD,
        BOTH,
        NONE,
        "this driver's tests with KASAN, lockdep and kmemleak, which report nothing",
    ),
    claim(
        Stage::Wide,
        AMD,
        BOTH,
        NONE,
        "a device with many queues, functions and device parts",
    ),
    claim(
        Stage::Other,
        AMD,
        BOTH,
        NONE,
        "a device that decides otherwise where the standard lets it",
    ),
    claim(Stage::Large, AMD, IOMMUFD, NONE, "device state of 64 MiB"),
    claim(
        Stage::Unlike,
        AMD,
        IOMMUFD,
        NONE,
        "a target that is unlike the source, and refuses its stream",
    ),
    claim(
        Stage::NoAdmin,
        AMD,
        BOTH,
        NONE,
        "PF without device parts commands: plain passthrough",
    ),
    claim(
        Stage::Torture,
        AMD,
        BOTH,
        NONE,
        "anything in any order, with clients that are killed and functions that go away",
    ),
    claim(
        Stage::KernelSelftests,
        AMD,
        BOTH,
        NONE,
        "the kernel's own VFIO selftests",
    ),
    claim(
        Stage::ConformanceSuite,
        AMD,
        IOMMUFD,
        NONE,
        "the conformance suite of VFIO migration",
    ),
    claim(
        Stage::Sample,
        VTD,
        BOTH,
        NONE,
        "the sample driver, which shares the generic half of this one",
    ),
    claim(
        Stage::Plain,
        VTD,
        IOMMUFD,
        QEMU,
        "QEMU's own VF, plain passthrough",
    ),
    guest(
        Stage::Migration,
        "live migration, dirty pages from the IOMMU",
    ),
    guest(
        Stage::DmaLogging,
        "live migration, dirty pages from the driver's DMA logging",
    ),
    claim(
        Stage::NoDirtyBits,
        NO_DIRTY_BITS,
        IOMMUFD,
        QEMU,
        "live migration, all memory dirty in each pass",
    ),
    claim(
        Stage::Type1,
        AMD,
        TYPE1,
        QEMU,
        "live migration, all memory dirty in each pass",
    ),
    claim(
        Stage::Untracked,
        AMD,
        TYPE1,
        QEMU,
        "live migration without dirty tracking (enable-migration=on)",
    ),
    guest(
        Stage::L2Wide,
        "live migration, many queues, functions and device parts",
    ),
    guest(
        Stage::LegacyGuest,
        "live migration, legacy driver on a transitional VF",
    ),
    guest(
        Stage::L2Blk,
        "live migration, file system on a virtio-blk VF",
    ),
    guest(
        Stage::VirtualIommu,
        "live migration, virtual IOMMU whose device has all memory",
    ),
    guest(Stage::TwoFunctions, "live migration, guest with two VFs"),
    guest(
        Stage::ThereAndBack,
        "live migration there, back, and there again",
    ),
    guest(
        Stage::CancelAndRetry,
        "live migration that is cancelled, and a second one",
    ),
    guest(
        Stage::Features,
        "live migration, features beyond those of the bench by default",
    ),
    guest(
        Stage::FaultAndRetry,
        "live migration that a device makes fail, and a second one",
    ),
    guest(Stage::L2File, "migration to a file, and from it"),
    guest(
        Stage::Reset,
        "live migration, guest is reset during pre-copy",
    ),
    guest(Stage::NextGuest, "another guest on the VF that was left"),
    guest(
        Stage::DriverLater,
        "live migration, guest's driver begins on the target",
    ),
    claim(
        Stage::TwoHosts,
        AMD,
        TYPE1,
        QEMU,
        "live migration from one host to another",
    ),
    claim(
        Stage::Libvirt,
        AMD,
        TYPE1,
        "libvirt, QEMU",
        "live migration from one host to another, VF bound by libvirt",
    ),
    guest(Stage::SwitchoverAck, "live migration with switchover-ack"),
    guest(Stage::Multifd, "live migration with multifd"),
    Claim {
        architecture: "arm64",
        success: "built, not run",
        ..claim(
            Stage::Arm64,
            NONE,
            NONE,
            NONE,
            "the module and the sample driver",
        )
    },
    stock(
        Stage::Stock,
        AMD,
        TYPE1,
        NONE,
        "virtio-net: passthrough, migration without DMA logging",
    ),
    stock(
        Stage::StockMigration,
        AMD,
        TYPE1,
        QEMU,
        "live migration without dirty tracking (enable-migration=on)",
    ),
    stock(
        Stage::Functions,
        VTD,
        NONE,
        NONE,
        "functions created and bound at boot by the service",
    ),
];

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    /// Stages that say nothing of a kernel, a device or a VMM.
    const OF_THE_TREE: [Stage; 5] = [
        Stage::Unit,
        Stage::Conformance,
        Stage::Fuzz,
        Stage::Docs,
        Stage::Packages,
    ];
    /// Stages that test the tests.
    const OF_THE_TESTS: [Stage; 2] = [Stage::NegativeControl, Stage::VirtualIommuControl];

    #[test]
    fn each_stage_is_one_claim_or_none() {
        for stage in Stage::value_variants() {
            let none = OF_THE_TREE.contains(stage) || OF_THE_TESTS.contains(stage);
            let claims = CLAIMS.iter().filter(|claim| claim.stage == *stage);
            assert_eq!(claims.count(), usize::from(!none), "{}", stage.name());
        }
    }
}
