// SPDX-License-Identifier: GPL-2.0
//! Files of the project and stages of the tests that pages name must exist.

use std::path::Path;

use clap::ValueEnum;

use crate::stage::Stage;

use super::pages::Page;

/// Directories of this project. What begins otherwise is somebody else's.
const DIRECTORIES: [&str; 13] = [
    ".ci",
    "Documentation",
    "bench",
    "conformance",
    "crates",
    "include",
    "lab",
    "runner",
    "rust",
    "samples",
    "scripts",
    "selftests",
    "tools",
];

/// Paths that look like this project's, and are the kernel's or made by 'make bench'.
const ELSEWHERE: [&str; 9] = [
    "include/uapi/linux",
    "samples/vfio-mdev",
    "tools/testing",
    "rust/kernel",
    "rust/bindings",
    "rust/helpers",
    "rust/Makefile",
    "scripts/sign-file",
    "Documentation/performance",
];

/// What `page` names and is not there, as complaints.
pub fn missing(top: &Path, page: &Page, text: &str) -> Vec<String> {
    let names = quoted(text).filter(|name| is_path(name));
    let names = names.filter(|name| !top.join(name).exists());
    let mut complaints: Vec<String> = names.map(|name| format!("no file {name}")).collect();
    if !page.built {
        let links = links(text).filter(|link| !top.join(link).exists());
        complaints.extend(links.map(|link| format!("link to {link}, which is not there")));
    }
    let stages = stages(text).filter(|stage| Stage::from_str(stage, false).is_err());
    complaints.extend(stages.map(|stage| format!("no stage {stage}")));
    complaints
}

/// What stands in backquotes, of rst or Markdown.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').filter(|piece| !piece.is_empty())
}

/// Whether it is a path of this project and nothing else.
fn is_path(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    name.contains('/')
        && name.chars().all(plain)
        && DIRECTORIES.contains(&name.split('/').next().unwrap_or_default())
        && !ELSEWHERE.iter().any(|path| name.starts_with(path))
}

/// Targets of Markdown links into the tree.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')'));
    let targets = targets.map(|(target, _)| target.split('#').next().unwrap_or_default());
    targets.filter(|target| !target.is_empty() && !target.contains("://"))
}

/// Names behind `--stage`, but for placeholders in capitals.
fn stages(text: &str) -> impl Iterator<Item = &str> {
    let names = text.split("--stage ").skip(1);
    let names = names.map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        &rest[..end.unwrap_or(rest.len())]
    });
    names.filter(|name| name.chars().any(|c| c.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn complaints(text: &str, built: bool) -> Vec<String> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let page = Page {
            path: PathBuf::new(),
            name: "page".to_string(),
            built,
        };
        missing(&top, &page, text)
    }

    #[test]
    fn files_must_exist() {
        let text = "``scripts/lib.sh`` ``rust/logic/`` ``drivers/vfio/x.c`` ``rust/kernel/pci.rs``";
        assert!(complaints(text, true).is_empty());
        assert_eq!(
            complaints("``scripts/nothing.sh``", true),
            ["no file scripts/nothing.sh"]
        );
        assert_eq!(complaints("`rust/nothing.rs`", false).len(), 1);
    }

    #[test]
    fn links_of_markdown_must_lead_somewhere() {
        let text = "[a](Makefile) [b](https://example.org/x) [c](#part) [d](nothing.rst)";
        assert_eq!(
            complaints(text, false),
            ["link to nothing.rst, which is not there"]
        );
    }

    #[test]
    fn stages_must_exist() {
        let text = "``--stage l2-blk``, --stage NAME, --stage nowhere";
        assert_eq!(complaints(text, true), ["no stage nowhere"]);
    }
}
