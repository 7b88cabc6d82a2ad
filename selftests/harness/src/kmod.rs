// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading kernel modules.
//!
//! In the bench's virtual machine nothing is installed: modules come from the
//! kernel's build tree (`VVP_KERNEL`) and from where ours was built
//! (`VVP_MODULE`). On a real host, and for a distribution's kernel, `modprobe` knows
//! better.

use std::ffi::CString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::kmod::{DeleteModuleFlags, ModuleInitFlags, delete_module, finit_module};

use crate::pci;

/// Our module's name, which is also its driver's.
pub const OURS: &str = "virtio_vfio_pci_rs";
/// The in-tree C driver's module and driver name.
pub const REFERENCE: &str = "virtio_vfio_pci";

/// The sample driver's module and driver name.
pub const SAMPLE: &str = "edu_vfio_pci_rs";

const IOMMUFD: &str = "iommufd";

/// Modules that a variant driver needs, in load order, and where a build tree has them.
const STACK: [(&str, &str); 5] = [
    ("irqbypass", "virt/lib/irqbypass.ko"),
    (IOMMUFD, "drivers/iommu/iommufd/iommufd.ko"),
    ("vfio", "drivers/vfio/vfio.ko"),
    ("vfio_iommu_type1", "drivers/vfio/vfio_iommu_type1.ko"),
    ("vfio_pci_core", "drivers/vfio/pci/vfio-pci-core.ko"),
];

/// Modules beyond the stack.
const OTHERS: [(&str, &str); 4] = [
    ("vfio_pci", "drivers/vfio/pci/vfio-pci.ko"),
    (REFERENCE, "drivers/vfio/pci/virtio/virtio-vfio-pci.ko"),
    ("kvm", "arch/x86/kvm/kvm.ko"),
    ("kvm_amd", "arch/x86/kvm/kvm-amd.ko"),
];

/// Is `name` loaded, or built in with parameters?
pub fn loaded(name: &str) -> bool {
    Path::new("/sys/module").join(name).exists()
}

/// Where `name` comes from: a file, or nowhere but `modprobe`.
pub fn source(name: &str) -> Option<PathBuf> {
    if name == OURS {
        return std::env::var_os("VVP_MODULE").map(PathBuf::from);
    }
    if name == SAMPLE {
        let ours = PathBuf::from(std::env::var_os("VVP_MODULE")?);
        return Some(ours.with_file_name(SAMPLE).with_extension("ko"));
    }
    let tree = PathBuf::from(std::env::var_os("VVP_KERNEL")?);
    let (_, file) = STACK
        .iter()
        .chain(&OTHERS)
        .find(|(known, _)| *known == name)?;
    let file = tree.join(file);
    file.exists().then_some(file)
}

/// Loads `name` if it is not loaded. `parameters` are as on insmod's command line.
pub fn load(name: &str, parameters: &str) -> Result<()> {
    if loaded(name) {
        return Ok(());
    }
    match source(name) {
        Some(file) => load_file(&file, parameters),
        None => modprobe(name, parameters),
    }
}

/// Loads the module in `file`.
pub fn load_file(file: &Path, parameters: &str) -> Result<()> {
    let module = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    let parameters = CString::new(parameters).context("module parameters")?;
    match finit_module(&module, &parameters, ModuleInitFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno).with_context(|| format!("loading {}", file.display())),
    }
}

fn modprobe(name: &str, parameters: &str) -> Result<()> {
    let output = Command::new("modprobe")
        .arg(name)
        .args(parameters.split_whitespace())
        .output()
        .context("running modprobe")?;
    ensure!(
        output.status.success(),
        "modprobe {name}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Unloads `name`; the error is the kernel's own.
pub fn unload(name: &str) -> Result<(), Errno> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    delete_module(&name, DeleteModuleFlags::O_NONBLOCK)
}

/// Loads what every VFIO PCI driver needs and lets userspace own devices
/// without interrupt remapping, which the bench's machine lacks.
pub fn load_vfio_stack(allow_unsafe_interrupts: bool) -> Result<()> {
    load(IOMMUFD, "")?;
    load_container_stack(allow_unsafe_interrupts)
}

/// The same for who reaches devices by a container, and can do without iommufd.
pub fn load_container_stack(allow_unsafe_interrupts: bool) -> Result<()> {
    // What is loaded may use it.
    let iommufd = load(IOMMUFD, "").is_ok();
    for (name, _) in STACK {
        if name != IOMMUFD {
            load(name, "")?;
        }
    }
    if allow_unsafe_interrupts {
        let mut owners = vec!["vfio_iommu_type1"];
        if iommufd {
            owners.push(IOMMUFD);
        }
        for module in owners {
            let parameter = PathBuf::from(format!(
                "/sys/module/{module}/parameters/allow_unsafe_interrupts"
            ));
            pci::write(&parameter, "Y")?;
        }
    }
    Ok(())
}

/// How many users `name` has, from its `refcnt`.
pub fn users(name: &str) -> Result<i32> {
    let path = Path::new("/sys/module").join(name).join("refcnt");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    text.trim().parse().context("module use count")
}

/// The `alias=` entries of a module file's `.modinfo`.
pub fn aliases(file: &Path) -> Result<Vec<String>> {
    let found = info(file, "alias")?;
    if found.is_empty() {
        bail!("{} has no alias", file.display());
    }
    Ok(found)
}

/// Values of `key` in a module file's `.modinfo`.
pub fn info(file: &Path, key: &str) -> Result<Vec<String>> {
    let image = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(modinfo(&image, key))
}

/// Values of `key` among the NUL-separated `key=value` strings of a module image.
fn modinfo(image: &[u8], key: &str) -> Vec<String> {
    let prefix = format!("{key}=");
    image
        .split(|byte| *byte == 0)
        .filter_map(|entry| entry.strip_prefix(prefix.as_bytes()))
        .filter_map(|value| std::str::from_utf8(value).ok())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modinfo_takes_whole_entries_only() {
        let image = b"\x7fELF\0license=GPL\0alias=a:b\0notalias=c\0alias=d\0\xff\xfealias\0";
        assert_eq!(modinfo(image, "alias"), ["a:b", "d"]);
    }
}
