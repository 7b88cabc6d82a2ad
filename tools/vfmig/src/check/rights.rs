// SPDX-License-Identifier: GPL-2.0
//! What this user may do.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::{AccessFlags, access};
use report::quantity;

use super::Finding;
use crate::host::Host;

/// Number of the capability to lock memory without limit.
const CAP_IPC_LOCK: u32 = 14;

pub fn findings(host: &Host) -> Vec<Finding> {
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft);
    vec![
        devices(host),
        memory(limit, has_capability(host, CAP_IPC_LOCK)),
    ]
}

/// Iommufd, or the container for groups.
fn devices(host: &Host) -> Finding {
    let what = "access";
    let paths = ["/dev/iommu", "/dev/vfio/vfio"];
    let there: Vec<&str> = paths
        .into_iter()
        .filter(|path| host.path(path).exists())
        .collect();
    let usable: Vec<&str> = there
        .iter()
        .copied()
        .filter(|path| access(&host.path(path), AccessFlags::R_OK | AccessFlags::W_OK).is_ok())
        .collect();
    match (there.is_empty(), usable.is_empty()) {
        (true, _) => Finding::failed(
            what,
            "neither /dev/iommu nor /dev/vfio/vfio",
            "modprobe iommufd, or vfio_iommu_type1",
        ),
        (false, true) => Finding::failed(
            what,
            format!("no right to {}", there.join(", ")),
            "be root, or give this user the files there and in /dev/vfio",
        ),
        (false, false) => Finding::ok(what, usable.join(", ")),
    }
}

fn memory(limit: u64, unlimited: bool) -> Finding {
    let what = "locked memory";
    if unlimited {
        return Finding::ok(what, "no limit (CAP_IPC_LOCK)");
    }
    if limit == RLIM_INFINITY {
        return Finding::ok(what, "no limit");
    }
    Finding::warning(
        what,
        format!("{} at most", quantity(limit as f64, "B")),
        "raise it to the memory of the guest: ulimit -l, or LimitMEMLOCK= of the service",
    )
}

fn has_capability(host: &Host, number: u32) -> bool {
    let status = host.text("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    effective.is_some_and(|mask| mask >> number & 1 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::check::Status;

    #[test]
    fn limits_of_memory() {
        assert_eq!(memory(8 << 20, false).status, Status::Warning);
        assert_eq!(memory(8 << 20, true).status, Status::Ok);
        assert_eq!(memory(RLIM_INFINITY, false).status, Status::Ok);
    }

    #[test]
    fn capabilities_of_this_process() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("proc/self");
        fs::create_dir_all(&directory).unwrap();
        let host = Host::below(root.path());
        assert!(!has_capability(&host, CAP_IPC_LOCK));
        let status = "Name:\tx\nCapEff:\t0000000000004000\n";
        fs::write(directory.join("status"), status).unwrap();
        assert!(has_capability(&host, CAP_IPC_LOCK));
        assert!(!has_capability(&host, 13));
    }
}
