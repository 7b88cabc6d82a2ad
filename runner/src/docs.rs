// SPDX-License-Identifier: GPL-2.0
//! The documentation: each page is built without a warning, its tables are whole, and the
//! files, stages and settings that it names exist. One test a page.

mod mentions;
mod pages;
mod settings;
mod sphinx;
mod tables;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::count::Counts;
use crate::native;
use crate::paths;
use crate::progress::Progress;
use crate::proof;
use crate::rundir::RunDir;

use pages::Page;

/// The page with the table of all settings.
const SETTINGS_PAGE: &str = "administration";

/// Tests the documentation of the project at `top`, with files of its own in `parent`.
pub fn check(
    top: &Path,
    parent: &Path,
    limit: Duration,
    progress: &mut Progress,
) -> Result<Counts> {
    let mut dir = RunDir::create(parent)?;
    let (html, warnings, log) = (dir.file("html"), dir.file("warnings"), dir.file("log"));
    let sphinx = native::run(
        "sphinx-build",
        Command::new("sphinx-build")
            .args(["-b", "html", "--no-color", "-W", "--keep-going", "-w"])
            .arg(&warnings)
            .arg("-d")
            .arg(dir.file("doctrees"))
            .arg(top.join("Documentation"))
            .arg(&html),
        &log,
        limit,
        progress,
    )?;
    let told = fs::read_to_string(&warnings).unwrap_or_default();
    let told = sphinx::warnings(&told);
    let mut counts = Counts::default();
    for page in pages::all(top)? {
        let complaints = complaints(top, &html, &page, &told)?;
        count(&mut counts, &page.name, complaints);
    }
    let elsewhere = told.iter().filter(|warning| warning.page.is_none());
    for warning in elsewhere {
        counts.fail("docs.sphinx", &warning.text);
    }
    match sphinx {
        None => counts.fail(
            "docs.sphinx",
            format!("not finished within {} s", limit.as_secs()),
        ),
        Some(status) if !status.success() && counts.failed.is_empty() => {
            counts.fail("docs.sphinx", status.to_string());
        }
        Some(_) => {}
    }
    if !counts.failed.is_empty() {
        dir.keep();
        eprintln!("    log: {}", paths::outside(&log).display());
    }
    Ok(counts)
}

/// What is wrong with `page`.
fn complaints(
    top: &Path,
    html: &Path,
    page: &Page,
    told: &[sphinx::Warning],
) -> Result<Vec<String>> {
    let text =
        fs::read_to_string(&page.path).with_context(|| format!("cannot read {:?}", page.path))?;
    let mut complaints = mentions::missing(top, page, &text);
    if page.built {
        complaints.extend(tables::split_cells(&text));
        let of_page = |warning: &&sphinx::Warning| warning.page.as_deref() == Some(&*page.name);
        complaints.extend(told.iter().filter(of_page).map(|w| w.text.clone()));
        if !html.join(format!("{}.html", page.name)).is_file() {
            complaints.push("Sphinx made no page of it".to_string());
        }
    }
    if page.name == proof::PAGE && text != proof::page(top)? {
        complaints.push("not what its records say: 'make proof' makes it anew".to_string());
    }
    if page.name == SETTINGS_PAGE {
        complaints.extend(settings::missing(top, &text)?);
    }
    Ok(complaints)
}

/// A page has passed, or has failed for the first of its complaints.
fn count(counts: &mut Counts, page: &str, complaints: Vec<String>) {
    match complaints.as_slice() {
        [] => counts.pass(format!("docs.{page}")),
        [only] => counts.fail(format!("docs.{page}"), only),
        [first, others @ ..] => counts.fail(
            format!("docs.{page}"),
            format!("{first} (and {} more)", others.len()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_one_test() {
        let mut counts = Counts::default();
        count(&mut counts, "good", Vec::new());
        count(&mut counts, "bad", vec!["a".into(), "b".into(), "c".into()]);
        assert_eq!(counts.to_string(), "1 passed, 1 failed, 0 skipped");
        assert_eq!(counts.failed[0].to_string(), "docs.bad: a (and 2 more)");
    }
}
