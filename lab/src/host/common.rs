// SPDX-License-Identifier: GPL-2.0
//! What every program here has to be told, whatever it does with the guest.

use std::path::PathBuf;

use clap::Args;
use vvp_harness::pci::Address;
use vvp_run::paths;

/// The function, the guest, and where to write.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The physical function.
    #[arg(long, value_name = "ADDRESS", default_value = "0000:01:00.0")]
    pub pf: Address,
    /// Build directory of the guest's kernel.
    #[arg(long, env = "VVP_KERNEL", value_name = "DIR")]
    pub kernel: PathBuf,
    /// The guest's initial file system.
    #[arg(long, env = "VVP_L2_INITRD", value_name = "FILE", default_value_os_t = paths::l2_initrd())]
    pub initrd: PathBuf,
    /// Guest memory, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 160)]
    pub memory: u32,
    /// Directory for logs.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub logs: PathBuf,
}

impl Common {
    /// The guest's kernel, as QEMU takes it.
    pub fn kernel_image(&self) -> PathBuf {
        self.kernel.join("arch/x86/boot/bzImage")
    }
}
