// SPDX-License-Identifier: GPL-2.0

//! Module parameters and settings in sysfs, as this driver's migration reads
//! them.

use crate::{
    compat::{
        value,
        Flag, //
    },
    module_parameters,
    sysfs::Setting, //
};
use kernel::{
    fmt,
    prelude::*,
    str::{
        kstrtobool_bytes,
        parse_int::ParseInt,
        BStr, //
    },
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// Least time between two readings of a device's context in pre-copy, in
/// milliseconds: what the module parameter says, until it is set in sysfs.
pub(super) struct PrecopyInterval {
    ms: Atomic<u32>,
}

impl PrecopyInterval {
    /// The interval of a device that is being bound.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(super) fn new() -> Result<Arc<Self>> {
        let ms = Atomic::new(value(&module_parameters::precopy_interval_ms));
        Ok(Arc::new(Self { ms }, GFP_KERNEL)?)
    }

    /// The interval now.
    pub(super) fn ms(&self) -> u64 {
        self.ms.load(Relaxed).into()
    }
}

impl Setting for PrecopyInterval {
    const NAME: &'static CStr = c"precopy_interval_ms";

    fn get(&self) -> impl fmt::Display {
        self.ms.load(Relaxed)
    }

    fn set(&self, text: &BStr) -> Result {
        self.ms.store(u32::from_str(text)?, Relaxed);
        Ok(())
    }
}

/// Whether the end of a stream has its checksum: what the module parameter says, until it is
/// set in sysfs.
pub(super) struct StreamChecksum {
    /// 0 or 1.
    wanted: Atomic<u32>,
}

impl StreamChecksum {
    /// The choice for a device that is being bound.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(super) fn new() -> Result<Arc<Self>> {
        let wanted = value(&module_parameters::stream_checksum).is_set();
        let wanted = Atomic::new(wanted.into());
        Ok(Arc::new(Self { wanted }, GFP_KERNEL)?)
    }

    /// The choice for a stream that begins now.
    pub(super) fn wanted(&self) -> bool {
        self.wanted.load(Relaxed) != 0
    }
}

impl Setting for StreamChecksum {
    const NAME: &'static CStr = c"stream_checksum";

    fn get(&self) -> impl fmt::Display {
        self.wanted.load(Relaxed)
    }

    fn set(&self, text: &BStr) -> Result {
        self.wanted.store(kstrtobool_bytes(text)?.into(), Relaxed);
        Ok(())
    }
}

/// Whether records after the first carry only the parts that changed.
pub(super) fn precopy_delta() -> bool {
    value(&module_parameters::precopy_delta).is_set()
}

/// Whether to bind devices of types that nobody has tried.
pub(super) fn any_device_type() -> bool {
    value(&module_parameters::any_device_type).is_set()
}
