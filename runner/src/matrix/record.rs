// SPDX-License-Identifier: GPL-2.0
//! Records of runs, as [`results`](crate::results) has left them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Deserializer};

/// A file that makes a directory a record.
const FILE: &str = "run.json";

/// What a run says of itself, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Record {
    pub revision: String,
    pub date: String,
    /// Empty if the run had none.
    #[serde(default, deserialize_with = "or_empty")]
    pub kernel: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub stock_kernel: String,
    pub arch: String,
    pub qemu: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub module_sha256: String,
    pub stages: Vec<Outcome>,
}

/// How a stage ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Outcome {
    pub name: String,
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
    #[serde(default)]
    pub reported: u64,
}

fn or_empty<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

/// All records of `directories`, the oldest first.
pub fn read_all(directories: &[PathBuf]) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for directory in directories {
        for file in files(directory)? {
            records.push(read(&file)?);
        }
    }
    ensure!(
        !records.is_empty(),
        "no record of a run in {directories:?}: 'make check' leaves one"
    );
    records.sort_by(|one, other| one.date.cmp(&other.date));
    Ok(records)
}

fn read(file: &Path) -> Result<Record> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file:?}"))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{file:?} is no record of this version: remove its directory"))
}

/// The files of the records that `directory` is or has.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let own = directory.join(FILE);
    if own.exists() {
        return Ok(vec![own]);
    }
    let entries = fs::read_dir(directory)
        .with_context(|| format!("cannot read {directory:?}: 'make check' makes it"))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry?.path().join(FILE);
        if file.exists() {
            files.push(file);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"revision": "abc", "kernel": "7.3.4",
        "stock_kernel": "7.3.4+deb13-amd64", "arch": "x86_64", "qemu": "QEMU 11",
        "module_sha256": "00", "stock_module_sha256": "11", "date": "DATE", "complete": false,
        "stages": [{"name": "l1", "passed": 3, "failed": 0, "skipped": 0, "reported": 1,
                    "seconds": 9}]}"#;

    #[test]
    fn records_are_found_and_sorted() {
        let temporary = tempfile::tempdir().unwrap();
        let top = temporary.path().to_path_buf();
        for (name, date) in [
            ("b", "2026-01-02"),
            ("a", "2026-01-03"),
            ("c/d", "2026-01-01"),
        ] {
            let dir = top.join(name);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join(FILE), RECORD.replace("DATE", date)).unwrap();
        }
        let found = read_all(&[top.clone(), top.join("c/d")]).unwrap();
        let dates: Vec<&str> = found.iter().map(|record| record.date.as_str()).collect();
        assert_eq!(dates, ["2026-01-01", "2026-01-02", "2026-01-03"]);
        assert_eq!(found[0].stages[0].reported, 1);
        let bare = RECORD.replace(
            r#""stock_kernel": "7.3.4+deb13-amd64""#,
            r#""stock_kernel": null"#,
        );
        fs::write(top.join("a").join(FILE), bare).unwrap();
        assert_eq!(read_all(&[top.join("a")]).unwrap()[0].stock_kernel, "");
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        let temporary = tempfile::tempdir().unwrap();
        let top = temporary.path().to_path_buf();
        let error = read_all(std::slice::from_ref(&top))
            .unwrap_err()
            .to_string();
        assert!(error.contains("'make check' leaves one"), "{error}");
        fs::write(top.join(FILE), "{}").unwrap();
        let error = read_all(std::slice::from_ref(&top))
            .unwrap_err()
            .to_string();
        assert!(error.contains("remove its directory"), "{error}");
        drop(temporary);
        assert!(read_all(&[top]).is_err());
    }
}
