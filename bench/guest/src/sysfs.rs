// SPDX-License-Identifier: GPL-2.0
//! Attributes, with errors that name them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The text of an attribute, without its line break.
pub fn read(dir: &Path, name: &str) -> Result<String> {
    let path = dir.join(name);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(text.trim_end().to_owned())
}

/// Sets an attribute.
pub fn write(dir: &Path, name: &str, value: &str) -> Result<()> {
    let path = dir.join(name);
    fs::write(&path, value).with_context(|| format!("writing {value:?} to {}", path.display()))
}

/// The name of what a link in `dir` leads to, if it is there.
pub fn target(dir: &Path, link: &str) -> Option<String> {
    let target = fs::read_link(dir.join(link)).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}
