// SPDX-License-Identifier: GPL-2.0
//! Whether one function can be migrated.

use std::fs;

use anyhow::Result;
use vvp_harness::pci::{Address, Function};
use vvp_harness::vfio::{Access, Device};

use super::Finding;
use crate::access::{self, Opened};
use crate::cli::Opening;
use crate::host::{Host, names};
use crate::usage::Use;

/// Vendor of virtio functions.
const VIRTIO: u16 = 0x1af4;
/// Feature bits that the physical function must have.
const SR_IOV: usize = 37;
const ADMIN_VQ: usize = 41;

pub fn findings(host: &Host, address: &Address, opening: Opening) -> Result<Vec<Finding>> {
    let function = access::find(address)?;
    let (vendor, _) = function.ids()?;
    let mut findings = vec![group(&function)];
    if vendor == VIRTIO {
        findings.extend(physical(&function));
    }
    findings.extend(driver(host, &function, opening));
    Ok(findings)
}

/// The group must be usable.
fn group(function: &Function) -> Finding {
    let what = "IOMMU group";
    let Ok(number) = function.iommu_group() else {
        return Finding::failed(
            what,
            format!("{} is in none", function.address()),
            "turn the IOMMU on in the firmware and on the kernel's command line",
        );
    };
    let members = names(&function.path().join("iommu_group/devices"));
    let others: Vec<String> = members
        .into_iter()
        .filter(|name| *name != function.address().to_string())
        .filter(|name| stands_in_the_way(name))
        .collect();
    if others.is_empty() {
        Finding::ok(what, number.to_string())
    } else {
        Finding::failed(
            what,
            format!("{number} has {} with other drivers", others.join(", ")),
            "unbind these, or move the function to a slot with ACS",
        )
    }
}

/// A function in the same group that VFIO cannot share it with.
fn stands_in_the_way(name: &str) -> bool {
    let Ok(other) = name
        .parse()
        .and_then(|address: Address| Function::open(&address))
    else {
        return false;
    };
    match other.driver().as_deref() {
        None | Some("pcieport" | "vfio-pci" | "pci-stub") => false,
        Some(_) => !access::is_vfio(&other),
    }
}

/// The physical function must have the commands, and a driver that gives them.
fn physical(function: &Function) -> Vec<Finding> {
    let what = "physical function";
    let Some(pf) = function.physfn() else {
        return vec![Finding::failed(
            what,
            format!("{} is no virtual function", function.address()),
            "name one: only virtual functions can be migrated",
        )];
    };
    let address = pf.address();
    let driver = pf.driver();
    let mut findings = vec![match driver.as_deref() {
        Some("virtio-pci") => Finding::ok(what, format!("{address} with virtio-pci")),
        other => Finding::failed(
            what,
            format!("{address} with {}", other.unwrap_or("no driver")),
            format!("bind virtio-pci to it: vfmig bind {address} --driver virtio-pci"),
        ),
    }];
    let features = names(&pf.path())
        .into_iter()
        .filter(|name| name.starts_with("virtio"))
        .find_map(|name| fs::read_to_string(pf.path().join(name).join("features")).ok());
    let Some(features) = features else {
        findings.push(Finding::unknown(
            "admin queue",
            "no features to be read",
            "bind virtio-pci to the physical function",
        ));
        return findings;
    };
    findings.push(
        match [(SR_IOV, "SR_IOV"), (ADMIN_VQ, "ADMIN_VQ")]
            .into_iter()
            .find(|(bit, _)| !has_feature(&features, *bit))
        {
            None => Finding::ok("admin queue", "negotiated"),
            Some((bit, name)) => Finding::failed(
                "admin queue",
                format!("the feature {name} ({bit}) is not negotiated"),
                "use a device and firmware with an admin virtqueue",
            ),
        },
    );
    findings.push(Finding::unknown(
        "admin queue size",
        "the kernel does not tell",
        "see if its log has 'context of up to', which says that the queue is too small",
    ));
    findings
}

/// Is the bit set in sysfs's string of zeroes and ones, lowest bit first?
fn has_feature(features: &str, bit: usize) -> bool {
    features.as_bytes().get(bit) == Some(&b'1')
}

/// The function itself, asked if nobody uses it.
fn driver(host: &Host, function: &Function, opening: Opening) -> Vec<Finding> {
    let address = function.address();
    let bound = function.driver();
    if !access::is_vfio(function) {
        return vec![Finding::failed(
            "VFIO driver",
            format!("{address} has {}", bound.as_deref().unwrap_or("no driver")),
            format!("vfmig bind {address}"),
        )];
    }
    let mut findings = vec![Finding::ok("VFIO driver", bound.unwrap_or_default())];
    if let Some(used) = Use::by_vfio(host, function) {
        findings.push(Finding::unknown(
            "migration",
            used.refusal(function).to_string(),
            "and ask again",
        ));
        return findings;
    }
    match Opened::open(address, opening) {
        Ok(opened) => {
            findings.push(migration(&opened));
            findings.push(dirty(&opened.device, opened.access));
        }
        Err(error) => findings.push(Finding::failed(
            "migration",
            "it cannot be opened",
            format!("{error:#}"),
        )),
    }
    findings
}

fn migration(opened: &Opened) -> Finding {
    let what = "migration";
    match opened.device.migration_flags() {
        Ok(flags) => Finding::ok(what, flags.names().join(", ")),
        Err(errno) => Finding::failed(
            what,
            format!("not offered ({errno})"),
            "the kernel log says why: dmesg | grep 'no live migration'",
        ),
    }
}

fn dirty(device: &Device, access: Access) -> Finding {
    let what = "dirty pages";
    let logging = device.has_dma_log().unwrap_or(false);
    match (access, device.iommu_tracks_dirty()) {
        (Access::Cdev, Ok(true)) => Finding::ok(what, "told by the IOMMU, through iommufd"),
        (Access::Cdev, Ok(false)) if logging => Finding::warning(
            what,
            "the IOMMU has no dirty bits, the driver's DMA logging reports all pages",
            "expect a downtime that sends all memory",
        ),
        (Access::Cdev, Ok(false)) => Finding::warning(
            what,
            "nobody tells them",
            "VMMs send all memory with the guest stopped: use an IOMMU with dirty bits",
        ),
        (Access::Cdev, Err(error)) => Finding::unknown(
            what,
            format!("{error:#}"),
            "use a kernel with IOMMU_GET_HW_INFO",
        ),
        (Access::Group, _) => Finding::warning(
            what,
            if logging {
                "with a type1 container only the driver's DMA logging tells them"
            } else {
                "with a type1 container nobody tells them"
            },
            "use iommufd, if the kernel has it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_begin_with_bit_zero() {
        let features = format!("{}1{}\n", "0".repeat(41), "0".repeat(22));
        assert!(has_feature(&features, ADMIN_VQ));
        assert!(!has_feature(&features, SR_IOV));
        assert!(!has_feature("", 0));
    }
}
