// SPDX-License-Identifier: GPL-2.0
//! libvirt's shell. What it is asked and says is in the log, for the documentation and
//! for whoever looks for a fault.

use std::process::Command;

use anyhow::{Context, Result, anyhow};

use super::ground::Role;

/// libvirt on the target, from the source.
pub fn far() -> String {
    format!("qemu+tcp://{}/system", Role::Target.address())
}

/// Runs a command, which must succeed, and returns what it printed. The error is what
/// libvirt says.
pub fn run(arguments: &[&str]) -> Result<String> {
    println!("# $ virsh {}", arguments.join(" "));
    let output = Command::new("virsh")
        .args(arguments)
        .output()
        .context("running virsh")?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_string();
    let error = String::from_utf8_lossy(&output.stderr).trim().to_string();
    for line in said.lines().chain(error.lines()) {
        println!("# {line}");
    }
    if output.status.success() {
        Ok(said)
    } else {
        let error = error.lines().collect::<Vec<_>>().join(" | ");
        Err(anyhow!("virsh {}: {error}", arguments.join(" ")))
    }
}
