// SPDX-License-Identifier: GPL-2.0
//! Which pages there are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file that people read.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub path: PathBuf,
    /// As Sphinx names it: below `Documentation`, without ending. Others have their
    /// file's name.
    pub name: String,
    /// Whether Sphinx makes a page of it.
    pub built: bool,
}

/// All pages of the project at `top`: rst in `Documentation`, Markdown in the tree's root.
pub fn all(top: &Path) -> Result<Vec<Page>> {
    let documentation = top.join("Documentation");
    let mut pages = Vec::new();
    collect(&documentation, &documentation, &mut pages)?;
    for path in files(top)? {
        if ends(&path, "md") {
            let name = path.file_name().unwrap_or_default();
            pages.push(Page {
                name: name.to_string_lossy().into_owned(),
                built: false,
                path,
            });
        }
    }
    Ok(pages)
}

fn collect(root: &Path, directory: &Path, pages: &mut Vec<Page>) -> Result<()> {
    for path in files(directory)? {
        if path.is_dir() {
            collect(root, &path, pages)?;
        } else if ends(&path, "rst") {
            let name = path.strip_prefix(root)?.with_extension("");
            pages.push(Page {
                name: name.to_string_lossy().into_owned(),
                built: true,
                path,
            });
        }
    }
    Ok(())
}

fn ends(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|end| end == extension)
}

/// What is in a directory, in the order of names.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {directory:?}"))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
