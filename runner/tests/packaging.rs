// SPDX-License-Identifier: GPL-2.0
//! What the Debian packaging says of the tree is so. Whether packages install is shown by
//! `scripts/packages-test.sh`, which takes its time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Written while a package is built.
const GENERATED: &str = "debian/generated/";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(top().join(path)).context(path.to_owned())
}

/// What stands between `before` and `after`, the first time.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?
        .1
        .split_once(after)
        .map(|(word, _)| word)
}

/// The files of debian/ whose name ends so.
fn packaging(end: &str) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(top().join("debian"))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(end) {
            texts.push(fs::read_to_string(path)?);
        }
    }
    ensure!(!texts.is_empty(), "no debian/*{end}");
    Ok(texts)
}

fn series() -> Result<Vec<String>> {
    let lines = read("scripts/kernel-series")?;
    let known = lines.lines().filter(|line| !line.starts_with('#'));
    Ok(known.map(str::to_owned).collect())
}

#[test]
fn all_versions_are_one() -> Result<()> {
    let changelog = read("debian/changelog")?;
    let version = between(&changelog, "(", ")").context("no version in debian/changelog")?;
    let dkms = read("dkms.conf")?;
    assert_eq!(between(&dkms, "PACKAGE_VERSION=\"", "\""), Some(version));
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    Ok(())
}

#[test]
fn what_is_packaged_is_there() -> Result<()> {
    for end in [".install", ".docs", ".examples"] {
        for text in packaging(end)? {
            for line in text.lines() {
                let source = line.split_whitespace().next().context("an empty line")?;
                ensure!(
                    source.starts_with(GENERATED) || top().join(source).exists(),
                    "debian/*{end}: no {source}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn sources_of_the_kernel_are_of_a_known_series() -> Result<()> {
    let preferred = series()?.into_iter().next().context("no series")?;
    let control = read("debian/control")?;
    assert_eq!(
        between(&control, "linux-source-", ","),
        Some(preferred.as_str())
    );
    for text in packaging(".triggers")? {
        ensure!(text.contains(&format!("/usr/src/linux-source-{preferred}.tar.xz")));
    }
    Ok(())
}

/// dkms runs these two in the directory of the installed source.
#[test]
fn dkms_restricts_itself() -> Result<()> {
    let dkms = read("dkms.conf")?;
    for name in ["ARCH", "CONFIG", "KERNEL"] {
        ensure!(dkms.contains(&format!("BUILD_EXCLUSIVE_{name}=")), "{name}");
    }
    Ok(())
}
