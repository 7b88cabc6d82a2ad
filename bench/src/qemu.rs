// SPDX-License-Identifier: GPL-2.0
//! How QEMU is to be set up for the bench.

use std::path::{Path, PathBuf};

use serde_json::json;

/// The IOMMU's place on the root bus: 00:1e.0.
pub const IOMMU_REQUESTER: u16 = 0x1e << 3;

/// Routing id of function `number` on `bus`, which is behind the root port.
pub fn requester(bus: u8, number: u16) -> u16 {
    u16::from(bus) << 8 | number
}

/// The vfio-user socket of the function called `name`.
pub fn socket(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.sock"))
}

/// The arguments that attach the bench in `dir` to a QEMU, with the root port
/// in `slot` of the root bus. `functions` are the names, the PF's first.
pub fn arguments(dir: &Path, slot: u8, functions: &[String], ivrs: &Path) -> Vec<String> {
    let mut arguments = vec![
        "-device".to_string(),
        format!("pcie-root-port,id=bench-port,bus=pcie.0,addr={slot:#x},chassis=1,slot=1"),
    ];
    for (number, name) in functions.iter().enumerate() {
        let mut device = vfio_user(&socket(dir, name), "bench-port", &format!("0.{number}"));
        if number == 0 {
            device["multifunction"] = true.into();
        }
        arguments.extend(["-device".to_string(), device.to_string()]);
    }
    let iommu = vfio_user(&socket(dir, "iommu"), "pcie.0", "0x1e.0");
    arguments.extend(["-device".to_string(), iommu.to_string()]);
    arguments.extend(["-acpitable".to_string(), format!("file={}", ivrs.display())]);
    arguments
}

fn vfio_user(socket: &Path, bus: &str, address: &str) -> serde_json::Value {
    json!({
        "driver": "vfio-user-pci",
        "socket": {"path": socket, "type": "unix"},
        "bus": bus,
        "addr": address,
    })
}
