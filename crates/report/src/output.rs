// SPDX-License-Identifier: GPL-2.0
//! The files of a report.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::{Results, page, plot};

/// Writes results.json, the plots and performance.rst into the directory `out`, which is
/// made if it is missing.
pub fn write_all(results: &Results, out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("{}: choose another --out", out.display()))?;
    let json = serde_json::to_string_pretty(results)? + "\n";
    write(out, "results.json", &json)?;
    let plots = plot::plots(results)?;
    for plot in &plots {
        write(out, plot.file, &plot.svg)?;
    }
    write(out, "performance.rst", &page::page(results, &plots))
}

fn write(out: &Path, name: &str, text: &str) -> Result<()> {
    let file = out.join(name);
    fs::write(&file, text).with_context(|| format!("{}: choose another --out", file.display()))
}
