// SPDX-License-Identifier: GPL-2.0
//! The stages that tests are run in: their names, and which of them a run has.

use clap::ValueEnum;

/// A part of the tests that can be run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Stage {
    /// Unit tests of all userspace crates and of the logic shared with the module.
    Unit,
    /// The bench against wire constants written independently of it, the properties of
    /// the logic shared with the module, programs as their users meet them, and what
    /// kernels the scripts refuse.
    Conformance,
    /// Everything that parses, fuzzed for a fixed number of executions.
    Fuzz,
    /// The documentation: built without a warning, and naming only what there is.
    Docs,
    /// The module and the C driver in a virtual machine.
    L1,
    /// Migration on a device that has as little as a device may have.
    Modest,
    /// Migration on a device that has much of everything.
    Wide,
    /// Migration on a device that decides otherwise where the standard lets it.
    Other,
    /// Contexts of 64 MiB, without indirect descriptors.
    Large,
    /// Sources and targets that differ in features, queues, vectors and parts.
    Unlike,
    /// The module on a PF without admin virtqueue.
    NoAdmin,
    /// The sample driver, on devices of QEMU's own.
    Sample,
    /// Transitional VFs, with legacy drivers.
    Transitional,
    /// The module and the C driver on block functions.
    Blk,
    /// Anything in any order, at random, with clients that are killed, allocations that fail,
    /// a device that misbehaves, and functions that go away.
    Torture,
    /// The kernel's own VFIO selftests, on the module.
    KernelSelftests,
    /// The conformance suite, on this driver.
    ConformanceSuite,
    /// The module on a distribution's kernel, as it is.
    Stock,
    /// Live migration of a guest.
    Migration,
    /// The same with a guest that uses the legacy interface of transitional VFs.
    LegacyGuest,
    /// The same with a type1 container, where no dirty bits are.
    Type1,
    /// The same with DMA logging of the device: QEMU asks it for dirty pages, not iommufd.
    DmaLogging,
    /// The same with iommufd on an IOMMU that has no dirty bits.
    NoDirtyBits,
    /// The same with neither: QEMU takes all memory as dirty by itself.
    Untracked,
    /// The same with a type1 container on a distribution's kernel, which has no other.
    StockMigration,
    /// The first on a device that has much of everything.
    L2Wide,
    /// Live migration of a guest with a file system on a block function.
    L2Blk,
    /// A guest on a VF of QEMU's own, which cannot be migrated.
    Plain,
    /// The first with an IOMMU that loses dirty bits: the check must notice.
    NegativeControl,
    /// Live migration of a guest that has an IOMMU, of which the device has all memory.
    VirtualIommu,
    /// The same with an IOMMU of the host that loses dirty bits.
    VirtualIommuControl,
    /// All that can be tested of a transitional function.
    TransitionalAll,
    /// All that can be tested of a block function.
    BlkAll,
    /// A guest that moves to another function, back, and there again.
    ThereAndBack,
    /// A migration that is cancelled during pre-copy, and a second try.
    CancelAndRetry,
    /// A migration to a file, and out of it when the source is gone.
    L2File,
    /// A guest that is reset during pre-copy, and migrated when it is up again.
    Reset,
    /// A migration, and another guest on the function that was left.
    NextGuest,
    /// A guest whose driver takes the function on the target only.
    DriverLater,
    /// A guest with two functions.
    TwoFunctions,
    /// A migration in which the target says when the source may stop the guest.
    SwitchoverAck,
    /// A migration over several connections.
    Multifd,
    /// A guest whose driver takes features that the bench's devices do not offer by default.
    Features,
    /// A migration that the device fails, and a second try.
    FaultAndRetry,
    /// A guest on another host, over the network: QEMU by itself.
    TwoHosts,
    /// The same by libvirt, as it is in the distribution.
    Libvirt,
    /// Functions that are created and bound as the service at boot does it.
    Functions,
    /// Debian packages: built, installed in a clean root, upgraded, removed.
    Packages,
    /// The modules that were built for arm64, which nobody runs.
    Arm64,
    /// Our driver on a kernel that looks for faults of its own: KASAN, lockdep, kmemleak.
    Debug,
}

/// A kernel that tests run on, with the module that was built for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The project's, which is what most stages are about.
    TestKernel,
    /// A distribution's, as it is.
    StockKernel,
    /// The project's, with everything that looks for faults.
    DebugKernel,
}

/// How many of the stages a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Some of each kind, within five minutes.
    Quick,
    /// Those that fit into the time that one waits for a change to be judged.
    Usual,
    /// All there are.
    All,
}

impl Stage {
    /// The stages of a run.
    pub fn selection(extent: Extent) -> Vec<Self> {
        Self::value_variants()
            .iter()
            .copied()
            .filter(|stage| match extent {
                Extent::Quick => stage.is_quick(),
                Extent::Usual => !stage.is_long(),
                Extent::All => true,
            })
            .collect()
    }

    /// What `--stage` takes, reports and results say.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_string())
            .unwrap_or_default()
    }

    /// What must be there for it: kernels, each with its module.
    pub fn hosts(self) -> &'static [Host] {
        match self {
            Stage::Unit
            | Stage::Conformance
            | Stage::Fuzz
            | Stage::Docs
            | Stage::Packages
            | Stage::Arm64 => &[],
            Stage::Stock | Stage::Functions => &[Host::StockKernel],
            // The guest's kernel is not the host's.
            Stage::StockMigration => &[Host::StockKernel, Host::TestKernel],
            Stage::Debug => &[Host::DebugKernel],
            _ => &[Host::TestKernel],
        }
    }

    /// One of the few that touch every layer within minutes.
    fn is_quick(self) -> bool {
        matches!(
            self,
            Stage::Unit
                | Stage::Conformance
                | Stage::Docs
                | Stage::Wide
                | Stage::NoAdmin
                | Stage::Sample
                | Stage::Migration
        )
    }

    /// Only `make check-all` runs it; a shorter stage of its kind is in `make check`.
    fn is_long(self) -> bool {
        matches!(
            self,
            Stage::TransitionalAll
                | Stage::BlkAll
                | Stage::ThereAndBack
                | Stage::L2File
                | Stage::Reset
                | Stage::NextGuest
                | Stage::DriverLater
                | Stage::TwoFunctions
                | Stage::SwitchoverAck
                | Stage::Multifd
                | Stage::Features
                | Stage::FaultAndRetry
                | Stage::TwoHosts
                | Stage::Libvirt
                | Stage::Functions
                | Stage::Packages
                | Stage::Arm64
                | Stage::Debug
        )
    }
}
