// SPDX-License-Identifier: GPL-2.0
//! The scenarios that are part of this program.

use anyhow::Result;

use super::Scenario;

/// A file of `lab/scenarios/`, by its name.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../scenarios/", $name, ".toml")))),*]
    };
}

const FILES: [(&str, &str); 18] = files![
    "once",
    "block",
    "legacy-guest",
    "negative-control",
    "virtual-iommu",
    "virtual-iommu-control",
    "virtual-iommu-translating",
    "there-and-back",
    "cancel-and-retry",
    "fault-and-retry",
    "file",
    "reset",
    "next-guest",
    "driver-later",
    "two-functions",
    "switchover-ack",
    "multifd",
    "features",
];

/// All of them.
pub fn all() -> Result<Vec<Scenario>> {
    FILES
        .iter()
        .map(|(name, text)| Scenario::parse(text, &format!("{name}.toml")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_called_like_its_file() {
        let names: Vec<_> = all().unwrap().into_iter().map(|s| s.name).collect();
        assert_eq!(names, FILES.map(|(name, _)| name));
    }
}
