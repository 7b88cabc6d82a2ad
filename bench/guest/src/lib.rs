// SPDX-License-Identifier: GPL-2.0
//! What is to be done inside a virtual machine that has a `vfio-bench` attached.
//!
//! - [`pf`]: finding the bench's physical function, and its VFs;
//! - [`place`]: telling QEMU where a VF's registers are;
//! - [`bind`]: giving functions to a driver;
//! - [`interrupts`]: doing without interrupt remapping.

pub mod bind;
pub mod interrupts;
pub mod pf;
pub mod place;
mod sysfs;
