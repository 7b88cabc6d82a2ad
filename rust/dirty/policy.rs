// SPDX-License-Identifier: GPL-2.0

//! What the administrator wants of a device's DMA logging.

use crate::{
    abi,
    logic::dma_log::Policy,
    sysfs::Setting, //
};
use kernel::{
    fmt,
    prelude::*,
    str::BStr,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// The policy of one device, from its next opening on: that of module parameter
/// `dma_logging`, until it is set in sysfs.
pub(crate) struct DevicePolicy(Atomic<u32>);

impl DevicePolicy {
    /// The policy of a device that is being bound.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new() -> Result<Arc<Self>> {
        // SAFETY: The function reads a variable that does not change once the module is loaded.
        let number = unsafe { abi::vvp_dma_logging() };
        Ok(Arc::new(Self(Atomic::new(number)), GFP_KERNEL)?)
    }

    /// The policy now.
    pub(crate) fn policy(&self) -> Policy {
        // Both who store have the number of a policy: the names in parameter.c are those of `Policy`.
        Policy::from_number(self.0.load(Relaxed) as usize).unwrap_or(Policy::Off)
    }
}

impl Setting for DevicePolicy {
    const NAME: &'static CStr = c"dma_logging";

    fn get(&self) -> impl fmt::Display {
        self.policy().name()
    }

    fn set(&self, text: &BStr) -> Result {
        let policy = Policy::from_name(text).ok_or(EINVAL)?;
        self.0.store(policy.number() as u32, Relaxed);
        Ok(())
    }
}
