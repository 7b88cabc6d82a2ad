// SPDX-License-Identifier: GPL-2.0
//! What the conductor asks of a VMM, whichever it is.

pub mod qemu;
mod qmp;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use vvp_harness::pci::Function;

use self::qemu::Qemu;
use super::migration::{Migration, Moment};
use super::tracking::{DirtyTracker, Tracking};
use super::virtual_iommu::VirtualIommu;
use super::way::Transfer;

/// The VMM to use.
#[derive(Args, Clone, Debug)]
pub struct Choice {
    /// The VMM that has the guest.
    #[arg(long, value_enum, default_value = "qemu")]
    vmm: Kind,
    /// Its program, if it is another than the one in PATH.
    #[arg(long, value_name = "FILE")]
    vmm_program: Option<PathBuf>,
}

/// The VMMs that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Qemu,
}

impl Choice {
    pub fn program(&self) -> Box<dyn Program> {
        let path = self.vmm_program.clone();
        match self.vmm {
            Kind::Qemu => Box::new(path.map_or_else(Qemu::default, |path| Qemu { path })),
        }
    }
}

/// A VMM that can be started.
pub trait Program {
    /// What it is, and which version.
    fn version(&self) -> Result<String>;

    /// Starts one, called `name`, whose guest owns `vfs`. With `incoming` it waits for a
    /// guest, which another one like it will send.
    fn start(
        &self,
        name: &str,
        image: &Image,
        vfs: &[Function],
        incoming: bool,
    ) -> Result<Box<dyn Vmm>>;
}

/// A running VMM. Dropping it ends it.
///
/// What only some VMMs can do is an error of those that cannot.
pub trait Vmm {
    /// The socket on which the guest is asked what it does.
    fn control(&self) -> &Path;

    /// The file to which the guest's console goes while it is here.
    fn console(&self) -> &Path;

    /// Has it take the guest that will come by `way`.
    fn expect(&mut self, way: &Transfer) -> Result<()>;

    /// Begins to send the guest by `way`.
    fn send(&mut self, way: &Transfer) -> Result<()>;

    /// How the last migration stands.
    fn migration(&mut self) -> Result<Migration>;

    /// The state of the guest here.
    fn run_state(&mut self) -> Result<RunState>;

    /// All that it has reported by itself so far, in the order of time.
    fn moments(&mut self) -> Result<Vec<Moment>>;

    /// Who reports to it which pages a device has written.
    fn dirty_tracker(&self) -> Result<DirtyTracker>;

    /// Fails if it has ended.
    fn check(&mut self) -> Result<()>;

    /// What it printed last, and how it ended, if it has.
    fn last_words(&mut self) -> String;

    /// Has it end, and waits until it has, which must be with success.
    fn quit(self: Box<Self>) -> Result<()>;

    /// Waits until it has ended, which it does when its guest powers off.
    fn ended(self: Box<Self>) -> Result<()>;

    /// How long, in milliseconds, the guest may stand still in migrations from now on.
    fn limit_downtime(&mut self, limit: u64) -> Result<()> {
        bail!("this VMM cannot limit the downtime to {limit} ms")
    }

    /// Has a migration that crawls go on at full speed.
    fn hurry(&mut self) -> Result<()> {
        bail!("this VMM cannot change the speed of a migration")
    }

    /// Cancels the migration that is under way.
    fn cancel(&mut self) -> Result<()> {
        bail!("this VMM cannot cancel a migration")
    }

    /// Resets the guest.
    fn reset(&mut self) -> Result<()> {
        bail!("this VMM cannot reset its guest")
    }

    /// Whether the target has told this source that it may stop the guest.
    fn switchover_acknowledged(&self) -> Result<bool> {
        bail!("this VMM has no such thing as the target's word")
    }

    /// Whether the guest has used its own IOMMU as it was told.
    fn virtual_iommu_used(&self, _kind: VirtualIommu) -> Result<bool> {
        bail!("this VMM gives its guest no IOMMU")
    }

    /// Its reasons why the guest cannot be migrated.
    fn blockers(&mut self) -> Result<Vec<String>> {
        bail!("this VMM gives no reasons why it would not migrate")
    }
}

/// The state of a guest in a VMM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    Running,
    /// It has been sent, and must not run here any more.
    Left,
    /// In the VMM's own word.
    Other(String),
}

impl RunState {
    pub fn name(&self) -> &str {
        match self {
            Self::Running => "running",
            Self::Left => "left",
            Self::Other(name) => name,
        }
    }
}

/// What all machines that a guest is in have in common: they must be the same machine.
#[derive(Clone, Debug)]
pub struct Image {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    /// What the guest's kernel is told beyond the usual.
    pub append: String,
    /// Show the guest functions that no driver of its knows.
    pub disguised: bool,
    /// Let the guest boot again, instead of ending with it.
    pub reboots: bool,
    /// Memory size, in MiB.
    pub memory: u32,
    pub tracking: Tracking,
    /// The guest's own IOMMU, which its devices are behind.
    pub virtual_iommu: Option<VirtualIommu>,
    /// Where logs go.
    pub logs: PathBuf,
    /// Where sockets go: a file system that can hold them.
    pub sockets: PathBuf,
}
