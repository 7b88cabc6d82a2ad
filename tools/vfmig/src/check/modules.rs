// SPDX-License-Identifier: GPL-2.0
//! Whether the modules are there that VFIO consists of.

use std::fs;

use vvp_harness::kmod::{OURS, REFERENCE};

use super::Finding;
use crate::host::Host;

pub fn findings(host: &Host) -> Vec<Finding> {
    let known = Known::of(host);
    let one = |name: &str| module(host, &known, &[name], &format!("modprobe {name}"));
    vec![
        one("vfio_pci_core"),
        module(
            host,
            &known,
            &["iommufd", "vfio_iommu_type1"],
            "modprobe iommufd",
        ),
        driver(host),
    ]
}

/// One of `names` is needed.
fn module(host: &Host, known: &Known, names: &[&str], remedy: &str) -> Finding {
    let there: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| host.has_module(name) || known.built_in(name))
        .collect();
    let what = "module";
    if !there.is_empty() {
        return Finding::ok(what, there.join(", "));
    }
    let found = format!("{} not loaded", names.join(" or "));
    if names.iter().any(|name| known.loadable(name)) {
        Finding::warning(what, found, remedy)
    } else {
        Finding::failed(
            what,
            format!("{found}, and not installed"),
            format!("install it for this kernel, then {remedy}"),
        )
    }
}

fn driver(host: &Host) -> Finding {
    let there: Vec<&str> = [OURS, REFERENCE]
        .into_iter()
        .filter(|name| host.has_module(name))
        .collect();
    if there.is_empty() {
        Finding::failed(
            "driver",
            format!("neither {OURS} nor {REFERENCE}"),
            format!("insmod {OURS}.ko"),
        )
    } else {
        Finding::ok("driver", there.join(", "))
    }
}

/// What is installed for the running kernel.
struct Known {
    built_in: Vec<String>,
    loadable: Vec<String>,
}

impl Known {
    fn of(host: &Host) -> Self {
        let release = host.text("/proc/sys/kernel/osrelease").unwrap_or_default();
        let list = |name: &str| -> Vec<String> {
            let path = host.path(&format!("/lib/modules/{release}/{name}"));
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines().filter_map(module_name).collect()
        };
        Self {
            built_in: list("modules.builtin"),
            loadable: list("modules.dep"),
        }
    }

    fn built_in(&self, name: &str) -> bool {
        self.built_in.iter().any(|known| known == name)
    }

    fn loadable(&self, name: &str) -> bool {
        self.loadable.iter().any(|known| known == name)
    }
}

/// The module that a line like `kernel/drivers/vfio/pci/vfio-pci-core.ko.xz: ...` is about.
fn module_name(line: &str) -> Option<String> {
    let path = line.split(':').next()?;
    let file = path.rsplit('/').next()?;
    let (name, _) = file.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Status;

    #[test]
    fn loaded_installed_or_neither() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::below(root.path());
        let installed = root.path().join("lib/modules/7.3.4");
        fs::create_dir_all(&installed).unwrap();
        fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        fs::write(root.path().join("proc/sys/kernel/osrelease"), "7.3.4\n").unwrap();
        let lines = "kernel/drivers/vfio/pci/vfio-pci-core.ko.xz: kernel/drivers/vfio/vfio.ko.xz\n";
        fs::write(installed.join("modules.dep"), lines).unwrap();
        let statuses = || -> Vec<Status> { findings(&host).iter().map(|f| f.status).collect() };
        assert_eq!(
            statuses(),
            [Status::Warning, Status::Failed, Status::Failed]
        );
        for name in ["vfio_pci_core", "vfio_iommu_type1", OURS] {
            fs::create_dir_all(root.path().join("sys/module").join(name)).unwrap();
        }
        assert_eq!(statuses(), [Status::Ok; 3]);
    }
}
