// SPDX-License-Identifier: GPL-2.0
//! Who uses a function, so that it is not taken away from them.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;
use vvp_harness::pci::Function;

use crate::exit::{Exit, Failure};
use crate::host::{Host, names};

/// How a function is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// A process has its VFIO device; taking it away would wait for that.
    Vfio(String),
    /// It has virtual functions.
    VirtualFunctions(u32),
    /// Something that can be put up with: what, and what to do.
    Kernel(String),
}

impl Use {
    /// Of `function`, by whatever finds it first.
    pub fn of(host: &Host, function: &Function) -> Option<Self> {
        vfio(host, function)
            .or_else(|| {
                let count = function.numvfs().unwrap_or(0);
                (count > 0).then_some(Self::VirtualFunctions(count))
            })
            .or_else(|| interface(host, function))
            .or_else(|| disk(host, function))
    }

    /// Only a user of VFIO.
    pub fn by_vfio(host: &Host, function: &Function) -> Option<Self> {
        vfio(host, function)
    }

    /// May it be ignored if the user says so?
    pub fn may_be_forced(&self) -> bool {
        matches!(self, Self::Kernel(_))
    }

    /// The refusal, which names the fix.
    pub fn refusal(&self, function: &Function) -> Failure {
        let address = function.address();
        let text = match self {
            Self::Vfio(who) => {
                format!("{address} is in use by {who}: end that first")
            }
            Self::VirtualFunctions(count) => format!(
                "{address} has {count} virtual functions: write 0 to its sriov_numvfs first"
            ),
            Self::Kernel(what) => format!("{address}: {what}, or add --force"),
        };
        Failure::new(Exit::Busy, text)
    }
}

fn vfio(host: &Host, function: &Function) -> Option<Use> {
    let group = function.vfio_group().ok();
    let paths: Vec<_> = group
        .iter()
        .cloned()
        .chain(function.vfio_cdev().ok())
        .collect();
    if !function.path().join("vfio-dev").exists() {
        return None;
    }
    let holders = holders(host, &paths);
    if !holders.is_empty() {
        return Some(Use::Vfio(holders.join(", ")));
    }
    // A group has one user at a time, also if its device was opened otherwise.
    match OpenOptions::new().read(true).write(true).open(group?) {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            Some(Use::Vfio("another process".to_owned()))
        }
        _ => None,
    }
}

/// Processes that have one of `paths` open, as far as this user can tell.
fn holders<P: AsRef<Path>>(host: &Host, paths: &[P]) -> Vec<String> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for pid in host.names("/proc") {
        if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let directory = host.path("/proc").join(&pid);
        let descriptors = directory.join("fd");
        let holds = names(&descriptors).iter().any(|fd| {
            fs::read_link(descriptors.join(fd))
                .is_ok_and(|target| paths.iter().any(|path| path.as_ref() == target))
        });
        if holds {
            let name = fs::read_to_string(directory.join("comm")).unwrap_or_default();
            found.push(format!("{} (process {pid})", name.trim()));
        }
    }
    found
}

fn interface(host: &Host, function: &Function) -> Option<Use> {
    let up = function.netdevs().into_iter().find(|name| {
        host.text(&format!("/sys/class/net/{name}/flags"))
            .and_then(|flags| u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok())
            // IFF_UP
            .is_some_and(|flags| flags & 1 != 0)
    })?;
    Some(Use::Kernel(format!(
        "its interface {up} is up: ip link set {up} down"
    )))
}

fn disk(host: &Host, function: &Function) -> Option<Use> {
    let busy = function.disks().into_iter().find(|name| {
        let mut exclusively = OpenOptions::new();
        exclusively.read(true).custom_flags(libc::O_EXCL);
        let opened = exclusively.open(host.path("/dev").join(name));
        opened.is_err_and(|error: io::Error| error.raw_os_error() == Some(libc::EBUSY))
    })?;
    Some(Use::Kernel(format!(
        "its disk {busy} is mounted or otherwise in use: unmount it"
    )))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn processes_with_the_device_open() {
        let root = tempfile::tempdir().unwrap();
        for (pid, target) in [("17", "/dev/vfio/devices/vfio3"), ("18", "/dev/null")] {
            let fd = root.path().join("proc").join(pid).join("fd");
            fs::create_dir_all(&fd).unwrap();
            symlink(target, fd.join("5")).unwrap();
            fs::write(fd.with_file_name("comm"), "vmm\n").unwrap();
        }
        let host = Host::below(root.path());
        let found = holders(&host, &["/dev/vfio/7", "/dev/vfio/devices/vfio3"]);
        assert_eq!(found, ["vmm (process 17)"]);
        assert!(holders(&host, &["/dev/vfio/8"]).is_empty());
    }
}
