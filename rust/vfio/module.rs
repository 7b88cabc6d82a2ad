// SPDX-License-Identifier: GPL-2.0

//! Modules that are a variant driver and nothing else.

use super::{
    driver::Driver,
    pci_driver::PciDriver, //
};
use kernel::{
    prelude::*,
    ModuleMetadata, //
};

/// A module that registers driver `D`, under its own name, as long as it is loaded:
/// the `type` of `module!`.
#[pin_data]
pub(crate) struct Module<D: Driver> {
    #[pin]
    driver: PciDriver<D>,
}

impl<D: Driver> kernel::InPlaceModule for Module<D> {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let name = <crate::LocalModule as ModuleMetadata>::NAME;
        try_pin_init!(Self {
            driver <- PciDriver::new(name, module),
        })
    }
}
