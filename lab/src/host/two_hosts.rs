// SPDX-License-Identifier: GPL-2.0
//! A guest that is migrated from one host to another, by libvirt or by QEMU alone.
//!
//! The hosts are two virtual machines with a bench each; `vvp_run` makes them. The guest's
//! peer is on the source's physical function, and is reached from the target over the link
//! between the benches.

mod alone;
mod course;
mod daemons;
mod domain;
mod far;
mod ground;
mod libvirt;
mod relay;
mod verdict;
mod virsh;

use std::path::PathBuf;

use clap::ValueEnum;

use super::common::Common;
use super::report::Work;

pub use course::source;
pub use far::target;
pub use verdict::verdicts;

/// Who starts the guest and has it migrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Manager {
    /// libvirt, which binds the function, too.
    Libvirt,
    /// Nobody: QEMU is told by QMP, on both hosts.
    Qemu,
}

impl Manager {
    /// What its tests are called.
    pub fn fixture(self) -> &'static str {
        match self {
            Self::Libvirt => "libvirt",
            Self::Qemu => "two_hosts",
        }
    }
}

/// What both hosts have to be told.
#[derive(Clone, Debug)]
pub struct Options {
    pub manager: Manager,
    /// A directory that both hosts see.
    pub shared: PathBuf,
    pub common: Common,
}

/// The facts. What was not reached stays empty.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What the course was stopped by, if it was.
    pub error: Option<String>,
    /// How libvirt treated the function.
    pub libvirt: libvirt::Binding,
    /// How the migration ended: `Ok`, or what was said against it.
    pub migrated: Option<Result<(), String>>,
    /// The function on the target while the guest uses it there.
    pub target: Option<far::Device>,
    /// What the guest did, and what came of it.
    pub work: Work,
    /// The guest has powered off when told to, and is gone from the target.
    pub ended: Option<()>,
    /// The driver of the function on the target after that.
    pub left_on_target: Option<String>,
    /// Lines of the guest's kernel log that report a fault.
    pub alarms: Vec<String>,
    /// Those that are known to come from the emulated processor.
    pub oddities: Vec<String>,
    /// What is worth knowing of the migration, a line each.
    pub figures: String,
}
