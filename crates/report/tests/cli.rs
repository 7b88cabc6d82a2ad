// SPDX-License-Identifier: GPL-2.0
//! `vvp-report` as its user meets it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/synthetic.jsonl");

/// An empty directory for a test.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn report(results: &Path, out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vvp-report"))
        .arg(results)
        .arg("--out")
        .arg(out)
        .output()
        .unwrap()
}

/// The one line that is said about a file that is of no use.
fn error(results: &Path, out: &Path) -> String {
    let output = report(results, out);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn all_files_are_written() {
    let out = directory("all_files").join("new");
    let output = report(Path::new(EXAMPLE), &out);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("- Switchover: "), "{text}");
    assert!(text.contains("\nswitchover "), "{text}");

    let json = fs::read(out.join("results.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["environment"]["repetitions"], 3);
    let page = fs::read_to_string(out.join("performance.rst")).unwrap();
    let pictures = page.lines().filter_map(|l| l.strip_prefix(".. figure:: "));
    let pictures: Vec<&str> = pictures.collect();
    assert_eq!(pictures.len(), 3);
    for picture in pictures {
        assert!(out.join(picture).exists(), "{picture}");
    }
}

#[test]
fn errors_name_the_place_and_what_to_do() {
    let directory = directory("errors");
    let missing = error(&directory.join("missing.jsonl"), &directory);
    assert!(missing.contains("missing.jsonl: give a file"), "{missing}");

    let example = fs::read_to_string(EXAMPLE).unwrap();
    let file = directory.join("file.jsonl");
    fs::write(&file, example.replacen("\"unit\"", "\"united\"", 1)).unwrap();
    let wrong = error(&file, &directory);
    assert!(wrong.contains("file.jsonl: line 2: "), "{wrong}");
    assert!(wrong.contains("united") && wrong.contains("correct it"));

    fs::write(&file, example.lines().next().unwrap()).unwrap();
    let empty = error(&file, &directory);
    assert!(empty.contains("no series"), "{empty}");

    let out = error(Path::new(EXAMPLE), &file);
    assert!(out.contains("choose another --out"), "{out}");
}
