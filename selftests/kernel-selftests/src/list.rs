// SPDX-License-Identifier: GPL-2.0
//! Which programs there are: the list that the kernel's makefiles install.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::program::Program;

/// The list's file.
const LIST: &str = "kselftest-list.txt";
/// The collection of the VFIO selftests, which is also their directory.
const COLLECTION: &str = "vfio";

/// All programs of the collection, in the list's order.
pub fn programs(installed: &Path) -> Result<Vec<Program>> {
    let path = installed.join(LIST);
    let text = fs::read_to_string(&path).with_context(|| {
        format!("reading {path:?} (build it with 'scripts/kernel-selftests.sh build')")
    })?;
    let names = names(&text);
    ensure!(
        !names.is_empty(),
        "{path:?} names no program of '{COLLECTION}'"
    );
    let directory = installed.join(COLLECTION);
    Ok(names
        .into_iter()
        .map(|name| Program::new(&directory, COLLECTION, name))
        .collect())
}

/// The names behind `vfio:`.
fn names(list: &str) -> Vec<&str> {
    list.lines()
        .filter_map(|line| line.strip_prefix(COLLECTION)?.strip_prefix(':'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_collection() {
        let list = "iommu:iommufd\nvfio:vfio_pci_device_test\nvfio-user:x\nvfio:b\n";
        assert_eq!(names(list), ["vfio_pci_device_test", "b"]);
    }

    #[test]
    fn a_missing_list_says_how_to_make_it() {
        let error = programs(Path::new("/nonexistent")).unwrap_err();
        assert!(error.to_string().contains("kernel-selftests.sh build"));
    }
}
