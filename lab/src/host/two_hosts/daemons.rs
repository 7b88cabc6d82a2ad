// SPDX-License-Identifier: GPL-2.0
//! libvirt's daemons on a host that has nothing of libvirt's yet, and no systemd.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vvp_harness::kmod;

use super::ground::Role;
use super::virsh;
use crate::host::patience::say;
use crate::host::prepare::command;

/// libvirt's own places, which are each host's.
const PLACES: [&str; 3] = ["/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt"];
/// What libvirt has found out about QEMU. Both hosts have the same, and another one finds
/// it there the next time: finding it out takes minutes on an emulated host.
const CACHE: [&str; 2] = ["/products/libvirt", "/var/cache/libvirt"];

/// No user and no systemd but the first process; nothing but what the guest needs.
const QEMU_CONF: &str = "user = \"root\"
group = \"root\"
security_driver = \"none\"
cgroup_controllers = []
namespaces = []
remember_owner = 0
";

/// The network of these hosts is theirs alone.
const LIBVIRTD_CONF: &str = "listen_tls = 0
listen_tcp = 1
auth_tcp = \"none\"
auth_unix_ro = \"none\"
auth_unix_rw = \"none\"
log_outputs = \"3:file:/var/log/libvirt/libvirtd.log\"
";

/// Starts them, and waits until libvirt knows QEMU.
pub fn start(role: Role) -> Result<()> {
    install_modules()?;
    for place in PLACES {
        own(Path::new(place))?;
    }
    for place in CACHE {
        fs::create_dir_all(place).with_context(|| format!("creating {place}"))?;
    }
    command("mount", &["--bind", CACHE[0], CACHE[1]])?;
    // libvirt refuses to migrate a guest to the host it is on, and tells hosts by this.
    let host = role.address().octets()[3];
    let uuid = format!("host_uuid = \"77777777-7777-4777-8777-7777777777{host:02x}\"\n");
    for (name, text) in [
        ("qemu.conf", QEMU_CONF.to_string()),
        ("libvirtd.conf", format!("{LIBVIRTD_CONF}{uuid}")),
    ] {
        let path = Path::new("/etc/libvirt").join(name);
        fs::write(&path, text).with_context(|| format!("writing {path:?}"))?;
    }
    name_hosts()?;
    say("starting libvirt's daemons");
    command("virtlogd", &["--daemon"])?;
    command("libvirtd", &["--daemon", "--listen"])?;
    say("waiting until libvirt knows QEMU");
    virsh::run(&["version"]).map(drop)
}

/// Puts our module, and what it stands on, where libvirt looks for a driver: into the
/// kernel's list of aliases. The test kernel is not installed otherwise.
fn install_modules() -> Result<()> {
    let release = "/proc/sys/kernel/osrelease";
    let release = fs::read_to_string(release).with_context(|| format!("reading {release}"))?;
    own(Path::new("/lib/modules"))?;
    let dir = PathBuf::from("/lib/modules").join(release.trim());
    fs::create_dir_all(&dir).with_context(|| format!("creating {dir:?}"))?;
    for name in ["irqbypass", "iommufd", "vfio", "vfio_pci_core", kmod::OURS] {
        let file = kmod::source(name).with_context(|| format!("no module {name}"))?;
        let to = dir.join(file.file_name().unwrap_or_default());
        fs::copy(&file, &to).with_context(|| format!("copying {file:?}"))?;
    }
    command("depmod", &[])
}

/// Gives a directory to this host alone.
fn own(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("creating {dir:?}"))?;
    let dir = dir.display().to_string();
    command("mount", &["-t", "tmpfs", "tmpfs", &dir])
}

/// Has each host find the other by its name.
fn name_hosts() -> Result<()> {
    let mut text = "127.0.0.1 localhost\n".to_string();
    for role in [Role::Source, Role::Target] {
        text += &format!("{} {}\n", role.address(), role.name());
    }
    let own = "/run/hosts";
    fs::write(own, text).with_context(|| format!("writing {own}"))?;
    command("mount", &["--bind", own, "/etc/hosts"])
}
