// SPDX-License-Identifier: GPL-2.0
//! What is tested, and with what.

use std::path::PathBuf;

use crate::kernel::Kernel;

/// What the stages need to know.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The kernel under test, which guests run, too.
    pub kernel: Kernel,
    /// The module under test.
    pub module: PathBuf,
    /// Where the kernel's own selftests are installed.
    pub kernel_selftests: PathBuf,
    /// A distribution's kernel.
    pub stock_kernel: Kernel,
    /// The module, built for that one.
    pub stock_module: PathBuf,
    /// A kernel that looks for its own faults.
    pub debug_kernel: Kernel,
    /// The module, built for that one.
    pub debug_module: PathBuf,
}

impl Setup {
    /// The same with the distribution's kernel in L1.
    pub fn on_stock_kernel(&self) -> Self {
        Self {
            kernel: self.stock_kernel.clone(),
            module: self.stock_module.clone(),
            ..self.clone()
        }
    }

    /// The same with the kernel that looks for faults in L1.
    pub fn on_debug_kernel(&self) -> Self {
        Self {
            kernel: self.debug_kernel.clone(),
            module: self.debug_module.clone(),
            ..self.clone()
        }
    }

    /// What every job in L1 is told of it, but for the kernel, which [`l1`] tells.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("VVP_MODULE", &self.module),
            ("VVP_KERNEL_SELFTESTS", &self.kernel_selftests),
        ]
        .map(|(name, path)| (name.to_string(), path.display().to_string()))
        .to_vec()
    }
}
