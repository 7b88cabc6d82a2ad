// SPDX-License-Identifier: GPL-2.0
//! `vvp-run matrix`: the page of the documentation that says what works with what, made
//! of the records that runs of the tests have left. It claims nothing without a run.

mod claim;
mod evidence;
mod page;
mod record;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use evidence::Evidence;

/// Makes the page `out` of all records in `directories`, each of which is a record or has
/// records.
pub fn run(directories: &[PathBuf], out: &Path) -> Result<()> {
    let records = record::read_all(directories)?;
    let page = page::page(&Evidence::new(records));
    fs::write(out, page).with_context(|| format!("cannot write {out:?}: choose another --out"))
}
