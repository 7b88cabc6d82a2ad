// SPDX-License-Identifier: GPL-2.0
//! Where the measurements were taken.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The machine, what ran on it, and when.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Environment {
    pub date: String,
    /// The project's revision.
    pub revision: String,
    pub kernel: String,
    pub qemu: String,
    pub cpu: String,
    /// Values in a series, as a rule.
    pub repetitions: u64,
    /// Whatever else a reader should know, by name.
    #[serde(flatten)]
    pub other: BTreeMap<String, String>,
}

impl Environment {
    /// All of it, by name, in the order to show it.
    pub fn rows(&self) -> Vec<(String, String)> {
        let known = [
            ("date", self.date.clone()),
            ("revision", self.revision.clone()),
            ("kernel", self.kernel.clone()),
            ("QEMU", self.qemu.clone()),
            ("CPU", self.cpu.clone()),
            ("repetitions", self.repetitions.to_string()),
        ];
        let known = known
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let other = self
            .other
            .iter()
            .map(|(name, value)| (name.replace(['_', '-'], " "), value.clone()));
        known.chain(other).collect()
    }
}
