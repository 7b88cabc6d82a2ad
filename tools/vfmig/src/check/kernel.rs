// SPDX-License-Identifier: GPL-2.0
//! How the kernel was built, and whether it is locked down.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;

use flate2::read::GzDecoder;

use super::Finding;
use crate::host::Host;

/// More than any configuration has.
const LONGEST: u64 = 4 << 20;

/// Options of which one is needed, what lacks without, and what to do.
const NEEDED: [(&[&str], &str); 5] = [
    (&["VFIO_PCI_CORE"], "build the kernel with CONFIG_VFIO_PCI"),
    (
        &["VFIO_DEVICE_CDEV", "VFIO_GROUP"],
        "build the kernel with CONFIG_VFIO_DEVICE_CDEV",
    ),
    (
        &["VIRTIO_PCI"],
        "build the kernel with CONFIG_VIRTIO_PCI, which drives the physical function",
    ),
    (
        &["AMD_IOMMU", "INTEL_IOMMU", "ARM_SMMU_V3"],
        "build the kernel with the IOMMU driver of this machine",
    ),
    (
        &["RUST", "VIRTIO_VFIO_PCI"],
        "build the kernel with CONFIG_RUST, which virtio_vfio_pci_rs needs",
    ),
];

/// Options without which something is missing.
const BETTER: [(&str, &str); 4] = [
    (
        "IOMMUFD",
        "without CONFIG_IOMMUFD the IOMMU's dirty bits cannot be used",
    ),
    (
        "IOMMUFD_DRIVER",
        "without CONFIG_IOMMUFD_DRIVER there are no dirty bitmaps",
    ),
    (
        "VFIO_DEVICE_CDEV",
        "without CONFIG_VFIO_DEVICE_CDEV VMMs cannot use iommufd",
    ),
    (
        "VFIO_DEBUGFS",
        "without CONFIG_VFIO_DEBUGFS states cannot be seen from outside",
    ),
];

pub fn findings(host: &Host) -> Vec<Finding> {
    let release = host
        .text("/proc/sys/kernel/osrelease")
        .unwrap_or_else(|| "unknown".to_owned());
    let mut findings = match Config::find(host, &release) {
        Some(config) => config.findings(&release),
        None => vec![Finding::unknown(
            "kernel options",
            format!("no configuration of {release}"),
            "modprobe configs, or put it at /boot/config-RELEASE",
        )],
    };
    findings.push(lockdown(host));
    findings
}

struct Config {
    source: String,
    options: BTreeMap<String, String>,
}

impl Config {
    fn find(host: &Host, release: &str) -> Option<Self> {
        let compressed = "/proc/config.gz".to_owned();
        let plain = [
            format!("/boot/config-{release}"),
            format!("/lib/modules/{release}/config"),
        ];
        let unpacked = File::open(host.path(&compressed)).ok().and_then(|file| {
            let mut text = String::new();
            GzDecoder::new(file)
                .take(LONGEST)
                .read_to_string(&mut text)
                .ok()?;
            Some((compressed, text))
        });
        let (source, text) = unpacked.or_else(|| {
            plain.into_iter().find_map(|path| {
                let text = fs::read_to_string(host.path(&path)).ok()?;
                Some((path, text))
            })
        })?;
        Some(Self {
            source,
            options: parse(&text),
        })
    }

    fn has(&self, option: &str) -> bool {
        self.options
            .get(option)
            .is_some_and(|value| value == "y" || value == "m")
    }

    fn findings(&self, release: &str) -> Vec<Finding> {
        let mut findings = vec![Finding::ok(
            "kernel",
            format!("{release}, options from {}", self.source),
        )];
        for (any, remedy) in NEEDED {
            let name = any.join(" or ");
            let there: Vec<&str> = any.iter().copied().filter(|o| self.has(o)).collect();
            findings.push(if there.is_empty() {
                Finding::failed("kernel option", format!("{name} is off"), remedy)
            } else {
                Finding::ok("kernel option", there.join(", "))
            });
        }
        for (option, without) in BETTER {
            findings.push(if self.has(option) {
                Finding::ok("kernel option", option)
            } else {
                Finding::warning("kernel option", format!("{option} is off"), without)
            });
        }
        findings
    }
}

fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn lockdown(host: &Host) -> Finding {
    let modes = host.text("/sys/kernel/security/lockdown");
    let mode = modes.as_deref().and_then(|modes| {
        let (_, rest) = modes.split_once('[')?;
        rest.split_once(']').map(|(mode, _)| mode)
    });
    match mode {
        None | Some("none") => Finding::ok("lockdown", "none"),
        Some(mode) => Finding::warning(
            "lockdown",
            mode,
            "only signed modules can be loaded: sign the module, or turn Secure Boot off",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::check::Status;

    const GOOD: &str = "CONFIG_VFIO_PCI_CORE=m\nCONFIG_VFIO_GROUP=y\nCONFIG_VIRTIO_PCI=y\n\
        CONFIG_AMD_IOMMU=y\nCONFIG_RUST=y\n# CONFIG_IOMMUFD is not set\nCONFIG_LSM=\"a,b\"\n";

    fn status(findings: &[Finding], text: &str) -> Status {
        let finding = findings.iter().find(|finding| finding.found.contains(text));
        finding
            .unwrap_or_else(|| panic!("{text}: {findings:?}"))
            .status
    }

    #[test]
    fn configuration_from_proc() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("proc")).unwrap();
        let file = File::create(root.path().join("proc/config.gz")).unwrap();
        let mut packed = GzEncoder::new(file, Compression::fast());
        packed.write_all(GOOD.as_bytes()).unwrap();
        packed.finish().unwrap();
        let findings = findings(&Host::below(root.path()));
        assert_eq!(status(&findings, "VFIO_PCI_CORE"), Status::Ok);
        assert_eq!(status(&findings, "IOMMUFD is off"), Status::Warning);
        assert!(!findings.iter().any(|f| f.status == Status::Failed));
    }

    #[test]
    fn configuration_from_boot() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        fs::create_dir(root.path().join("boot")).unwrap();
        fs::write(root.path().join("proc/sys/kernel/osrelease"), "7.3.4\n").unwrap();
        let without = GOOD.replace("CONFIG_RUST", "CONFIG_DUST");
        fs::write(root.path().join("boot/config-7.3.4"), without).unwrap();
        let findings = findings(&Host::below(root.path()));
        assert_eq!(
            status(&findings, "RUST or VIRTIO_VFIO_PCI is off"),
            Status::Failed
        );
    }

    #[test]
    fn lockdown_modes() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("sys/kernel/security");
        fs::create_dir_all(&directory).unwrap();
        let host = Host::below(root.path());
        for (text, expected) in [
            ("[none] integrity confidentiality", Status::Ok),
            ("none [integrity] confidentiality", Status::Warning),
        ] {
            fs::write(directory.join("lockdown"), text).unwrap();
            assert_eq!(lockdown(&host).status, expected);
        }
    }
}
