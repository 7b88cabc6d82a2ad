// SPDX-License-Identifier: GPL-2.0
//! Where things are inside the toolroot.

use std::path::{Path, PathBuf};

/// The project's tree.
pub const SOURCE: &str = "/src";
/// First process of L1.
pub const L1_INIT: &str = "/src/runner/l1/init";
/// Where runs have their directories.
pub const RUNS: &str = "/cache/run";
/// Where results of tests are kept.
pub const RESULTS: &str = "/products/results";

/// Where cargo leaves the programs: beside this one.
pub fn programs() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|own| own.parent().map(Path::to_path_buf))
        .unwrap_or_else(|| PathBuf::from("/products/target/debug"))
}

/// Where cargo leaves everything: above the programs.
pub fn target() -> PathBuf {
    let programs = programs();
    programs.parent().unwrap_or(&programs).to_path_buf()
}

/// The L2 guest's initial file system, unless `VVP_L2_INITRD` names another.
pub fn l2_initrd() -> PathBuf {
    target().join("l2/initrd.gz")
}

/// A program of this workspace.
pub fn program(name: &str) -> PathBuf {
    programs().join(name)
}

/// The name outside the toolroot of a path in it, for people.
pub fn outside(path: &Path) -> PathBuf {
    let places = [
        ("/products", "VVP_OUTSIDE_PRODUCTS"),
        ("/cache", "VVP_OUTSIDE_CACHE"),
    ];
    places
        .iter()
        .find_map(|(place, variable)| {
            let below = path.strip_prefix(place).ok()?;
            Some(PathBuf::from(std::env::var_os(variable)?).join(below))
        })
        .unwrap_or_else(|| path.to_path_buf())
}
