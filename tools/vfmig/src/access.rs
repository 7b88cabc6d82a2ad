// SPDX-License-Identifier: GPL-2.0
//! Opening a function's VFIO device, by either way, with errors that name the fix.

use std::io::ErrorKind;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use vvp_harness::pci::{Address, Function};
use vvp_harness::vfio::{Access, Device, Flags, Space};

use crate::cli::{AccessChoice, Opening};
use crate::host::Host;
use crate::usage::Use;

/// An open device and the function it is of.
pub struct Opened {
    /// The function.
    pub function: Function,
    /// Its device.
    pub device: Device,
    /// How it was opened.
    pub access: Access,
}

impl Opened {
    /// Opens the device of the function at `address`.
    pub fn open(address: &Address, opening: Opening) -> Result<Self> {
        let function = find(address)?;
        if !is_vfio(&function) {
            bail!(
                "{address} has {}: vfmig bind {address}",
                match function.driver() {
                    Some(driver) => format!("the driver {driver}, which is none of VFIO's"),
                    None => "no driver".to_owned(),
                }
            );
        }
        if let Some(used) = Use::by_vfio(&Host::here(), &function) {
            return Err(used.refusal(&function).into());
        }
        let access = choose(&function, opening.access);
        let device = Space::new(access)
            .and_then(|space| Device::open(&function, &Arc::new(space)))
            .map_err(|error| {
                let hint = hint(&error, access);
                let text = format!("opening {address} by {access}: {error:#}{hint}");
                anyhow::Error::msg(text)
            })?;
        Ok(Self {
            function,
            device,
            access,
        })
    }

    /// Which optional parts of the migration protocol it has; fails if it has none at all.
    pub fn migration(&self) -> Result<Flags> {
        let address = self.function.address();
        let flags = match self.device.migration_flags() {
            Ok(flags) if flags.has(Flags::STOP_COPY) => return Ok(flags),
            Ok(flags) => flags,
            Err(Errno::ENOTTY) => bail!(
                "{address} cannot be migrated with the driver {}: vfmig check {address}",
                self.function.driver().unwrap_or_default()
            ),
            Err(errno) => return Err(errno).with_context(|| format!("asking {address}")),
        };
        bail!("{address} offers no STOP_COPY (flags {:#x})", flags.0)
    }
}

/// The function at `address`.
pub fn find(address: &Address) -> Result<Function> {
    Function::open(address).with_context(|| format!("{address}: vfmig list shows what there is"))
}

/// Does a VFIO driver have it?
pub fn is_vfio(function: &Function) -> bool {
    function.path().join("vfio-dev").exists()
}

/// The way that was chosen, or the one that there is.
pub fn choose(function: &Function, choice: AccessChoice) -> Access {
    match choice {
        AccessChoice::Cdev => Access::Cdev,
        AccessChoice::Group => Access::Group,
        AccessChoice::Auto => {
            let cdev = function.vfio_cdev().is_ok_and(|path| path.exists());
            if cdev && std::path::Path::new("/dev/iommu").exists() {
                Access::Cdev
            } else {
                Access::Group
            }
        }
    }
}

/// What to do about an error of opening, if that is known.
fn hint(error: &anyhow::Error, access: Access) -> &'static str {
    let cause = error.root_cause();
    let errno = cause.downcast_ref::<Errno>().copied().or_else(|| {
        let error = cause.downcast_ref::<std::io::Error>()?;
        error.raw_os_error().map(Errno::from_raw)
    });
    let kind = cause
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind);
    match (errno, access) {
        (_, Access::Cdev) if kind == Some(ErrorKind::NotFound) => {
            " (modprobe iommufd, or try --access group)"
        }
        (_, Access::Group) if kind == Some(ErrorKind::NotFound) => {
            " (modprobe vfio_iommu_type1, or try --access cdev)"
        }
        (Some(Errno::EACCES), _) => " (be root, or own the files in /dev/vfio and /dev/iommu)",
        (Some(Errno::EPERM), Access::Cdev) => {
            " (without interrupt remapping: write Y to /sys/module/iommufd/parameters/allow_unsafe_interrupts)"
        }
        (Some(Errno::EPERM), Access::Group) => {
            " (without interrupt remapping: write Y to /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts)"
        }
        (Some(Errno::ENOMEM), _) => " (raise the limit of locked memory: ulimit -l)",
        (Some(Errno::ENODEV), Access::Group) => " (modprobe vfio_iommu_type1)",
        (Some(Errno::EBUSY), _) => " (end who uses it)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_hints() {
        let missing = std::fs::File::open("/nonexistent/x").context("opening /dev/iommu");
        let missing = missing.unwrap_err();
        assert!(hint(&missing, Access::Cdev).contains("modprobe iommufd"));
        let denied = Err::<(), _>(Errno::EPERM).context("attaching").unwrap_err();
        assert!(hint(&denied, Access::Group).contains("vfio_iommu_type1/parameters"));
        assert_eq!(hint(&anyhow::anyhow!("x"), Access::Group), "");
    }
}
