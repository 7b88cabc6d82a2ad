// SPDX-License-Identifier: GPL-2.0
//! `vfmig report`: a recorded migration as a page for a browser.

mod bars;
mod gantt;
mod page;

pub use page::page;

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

use crate::cli;
use crate::exit::Exit;
use crate::file;
use crate::output;
use crate::timeline::Timeline;

/// Runs the command.
pub fn run(arguments: &cli::Report, json: bool) -> Result<Exit> {
    let shown = arguments.timeline.display();
    let text = fs::read_to_string(&arguments.timeline)
        .with_context(|| format!("{shown}: give a file of vfmig migrate --record"))?;
    let timeline = Timeline::parse(&text).with_context(|| shown.to_string())?;
    file::write(&arguments.output, &page(&timeline)?)?;
    if json {
        let output = arguments.output.display().to_string();
        output::json(&json!({ "output": output }))?;
    }
    Ok(Exit::Ok)
}
