// SPDX-License-Identifier: GPL-2.0
//! Writes manual pages and shell completions of `vfmig` into a directory.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};
use clap_complete::{Shell, generate_to};
use vfmig::cli::Options;

/// Writes manual pages and shell completions of vfmig.
#[derive(Parser)]
struct Arguments {
    /// Where they go; made if it is missing
    outdir: PathBuf,
}

fn main() -> Result<()> {
    let out = Arguments::parse().outdir;
    fs::create_dir_all(&out).with_context(|| format!("{}: choose another", out.display()))?;
    clap_mangen::generate_to(Options::command(), &out).context("writing manual pages")?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Options::command(), "vfmig", &out)
            .with_context(|| format!("writing completions for {shell}"))?;
    }
    Ok(())
}
