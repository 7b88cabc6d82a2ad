// SPDX-License-Identifier: GPL-2.0
//! What every program here has to be told, whatever it does with the guest.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use vvp_harness::pci::Address;

/// The function, the guest, and where to write.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The physical function.
    #[arg(long, value_name = "ADDRESS", default_value = "0000:01:00.0")]
    pub pf: Address,
    /// Build directory of the guest's kernel.
    #[arg(long, env = "VVP_KERNEL", value_name = "DIR")]
    pub kernel: Option<PathBuf>,
    /// The guest's initial file system.
    #[arg(long, env = "VVP_L2_INITRD", value_name = "FILE", default_value_os_t = initrd())]
    pub initrd: PathBuf,
    /// Guest memory, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 160)]
    pub memory: u32,
    /// Directory for logs.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub logs: PathBuf,
}

impl Common {
    /// The guest's kernel, as VMMs take it.
    pub fn kernel_image(&self) -> Result<PathBuf> {
        let build = self.kernel.as_ref();
        let build = build.context("the guest has no kernel: give --kernel or VVP_KERNEL")?;
        Ok(build.join("arch/x86/boot/bzImage"))
    }
}

/// Where the build leaves the guest's initial file system: beside the programs' directory.
fn initrd() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.parent()?.join("l2/initrd.gz")))
        .unwrap_or_else(|| PathBuf::from("l2/initrd.gz"))
}
