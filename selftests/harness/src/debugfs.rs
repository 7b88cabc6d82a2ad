// SPDX-License-Identifier: GPL-2.0
//! What our driver, and VFIO itself, show of a device in debugfs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::kmod;
use crate::pci::Function;

const DEBUGFS: &str = "/sys/kernel/debug";

/// The directory of one device.
#[derive(Clone, Debug)]
pub struct Files {
    directory: PathBuf,
}

/// What the stream moved in one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub bytes: u64,
    pub records: u64,
}

/// The admin commands with one opcode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    pub count: u64,
    pub errors: u64,
    pub total_ns: u64,
    pub max_ns: u64,
}

impl Files {
    /// Is debugfs there at all?
    pub fn available() -> bool {
        // Mounted, it is never empty.
        fs::read_dir(DEBUGFS).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Those of `function`, whether they are there or not.
    pub fn of(function: &Function) -> Self {
        Self {
            directory: Path::new(DEBUGFS)
                .join(kmod::OURS)
                .join(function.address().to_string()),
        }
    }

    /// Are they there?
    pub fn exist(&self) -> bool {
        self.directory.exists()
    }

    /// The path of one file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.path(name);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// The migration state.
    pub fn state(&self) -> Result<String> {
        Ok(self.read("state")?.trim_end().to_owned())
    }

    /// The last failure.
    pub fn last_error(&self) -> Result<String> {
        Ok(self.read("last_error")?.trim_end().to_owned())
    }

    /// Bytes and records by phase.
    pub fn stream(&self) -> Result<BTreeMap<String, Moved>> {
        table(&self.read("stream")?, "phase bytes records")?
            .into_iter()
            .map(|(words, numbers)| match numbers[..] {
                [bytes, records] => Ok((words[0].clone(), Moved { bytes, records })),
                _ => anyhow::bail!("row of {words:?}: {numbers:?}"),
            })
            .collect()
    }

    /// Admin commands by opcode.
    pub fn commands(&self) -> Result<BTreeMap<u16, Commands>> {
        let text = self.read("admin_commands")?;
        table(&text, "opcode name count errors total_ns max_ns")?
            .into_iter()
            .map(|(words, numbers)| match numbers[..] {
                [count, errors, total_ns, max_ns] => {
                    let opcode = u16::from_str_radix(words[0].trim_start_matches("0x"), 16)
                        .with_context(|| format!("opcode {}", words[0]))?;
                    let commands = Commands {
                        count,
                        errors,
                        total_ns,
                        max_ns,
                    };
                    Ok((opcode, commands))
                }
                _ => anyhow::bail!("row of {words:?}: {numbers:?}"),
            })
            .collect()
    }
}

/// What VFIO tells of a device that can be migrated, with CONFIG_VFIO_DEBUGFS. Reading it
/// disturbs nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VfioMigration {
    /// The state of the device.
    pub state: String,
    /// What it can, in VFIO's words; older kernels do not tell.
    pub features: Option<Vec<String>>,
}

impl VfioMigration {
    /// Of `function`, if there is any.
    pub fn of(function: &Function) -> Option<Self> {
        let directory = Path::new(DEBUGFS)
            .join("vfio")
            .join(function.address().to_string())
            .join("migration");
        let read = |name| fs::read_to_string(directory.join(name)).ok();
        let words = |text: String| text.split_whitespace().map(str::to_owned).collect();
        Some(Self {
            state: read("state")?.trim_end().to_owned(),
            features: read("features").map(words),
        })
    }
}

/// The rows of a table with this header, each as its words and its numbers.
fn table(text: &str, header: &str) -> Result<Vec<(Vec<String>, Vec<u64>)>> {
    let mut lines = text.lines();
    ensure!(lines.next() == Some(header), "no header '{header}': {text}");
    Ok(lines
        .map(|line| {
            let (numbers, words): (Vec<_>, Vec<_>) = line
                .split_whitespace()
                .partition(|word| word.parse::<u64>().is_ok());
            (
                words.into_iter().map(str::to_owned).collect(),
                numbers.into_iter().flat_map(str::parse).collect(),
            )
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let rows = table("a b c\n0x0f X 1 2\ny 3 4\n", "a b c").unwrap();
        assert_eq!(rows[0], (vec!["0x0f".into(), "X".into()], vec![1, 2]));
        assert_eq!(rows[1], (vec!["y".into()], vec![3, 4]));
        assert!(table("a b\n", "a b c").is_err());
    }
}
