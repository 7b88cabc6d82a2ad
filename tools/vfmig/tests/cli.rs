// SPDX-License-Identifier: GPL-2.0
//! Exit statuses, errors and what needs no device.

mod common;

use std::fs;

use common::{Scratch, run};

const TIMELINE: &str = r#"{
    "format": "vfmig-timeline", "version": 1,
    "source": {"function": "0000:01:00.1", "driver": "a"},
    "target": {"function": "0000:01:00.2", "driver": null},
    "access": "cdev", "pre_copy": true,
    "phases": [{"name": "STOP_COPY", "side": "source", "start_us": 10, "end_us": 20}],
    "rounds": [{"start_us": 1, "end_us": 2, "initial_bytes": 3, "dirty_bytes": 0,
                "reinit": false, "bytes": 3}],
    "bytes": 3, "stop_copy_bytes": 0, "total_us": 30, "stopped_us": 15
}"#;

/// The one line that is said.
fn error(arguments: &[&str], status: i32) -> String {
    let (code, out, err) = run(arguments);
    assert_eq!((code, out.as_str()), (status, ""), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    err
}

#[test]
fn wrong_command_lines() {
    for arguments in [
        &["frobnicate"][..],
        &["info"],
        &["info", "01:00.0"],
        &["save", "0000:01:00.1"],
        &["migrate", "0000:01:00.1", "0000:01:00.2", "--rounds", "0"],
        &["check", "--access", "magic"],
    ] {
        let (code, out, _) = run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
    }
}

#[test]
fn errors_are_one_line_and_name_the_fix() {
    let missing = error(&["inspect", "/nonexistent/x"], 1);
    assert!(
        missing.contains("give a file that can be read"),
        "{missing}"
    );
    for command in ["info", "bind", "unbind"] {
        let nobody = error(&[command, "ffff:ff:1f.7"], 1);
        assert!(nobody.contains("vfmig list"), "{nobody}");
    }
    let same = error(&["migrate", "0000:01:00.1", "0000:01:00.1"], 1);
    assert!(same.contains("name two functions"), "{same}");
}

#[test]
fn a_save_that_fails_leaves_no_file() {
    let scratch = Scratch::new();
    let old = scratch.file("stream", b"old");
    error(&["save", "ffff:ff:1f.7", &old], 1);
    assert_eq!(scratch.names(), ["stream"]);
    assert_eq!(fs::read(&old).unwrap(), b"old");
    let nowhere = error(&["save", "ffff:ff:1f.7", "/nonexistent/x/stream"], 1);
    assert!(nowhere.contains("choose another directory"), "{nowhere}");
}

#[test]
fn list_and_check_answer_anywhere() {
    // Not every machine has PCI functions.
    if std::path::Path::new("/sys/bus/pci/devices").exists() {
        let (code, out, _) = run(&["list", "--json", "--all"]);
        assert_eq!(code, 0);
        assert!(serde_json::from_str::<Vec<serde_json::Value>>(&out).is_ok());
        assert_eq!(run(&["list"]).0, 0);
    }
    let (code, out, err) = run(&["check", "--json"]);
    assert!(code == 0 || code == 3, "{code}: {err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["ready"], code == 0);
    for finding in report["findings"].as_array().unwrap() {
        if finding["status"] == "failed" {
            assert!(finding["remedy"].is_string(), "{finding}");
        }
    }
}

#[test]
fn a_timeline_becomes_a_page() {
    let scratch = Scratch::new();
    let timeline = scratch.file("timeline.json", TIMELINE.as_bytes());
    let page = scratch.path("page.html");
    let (code, out, err) = run(&["report", &timeline, "-o", page.to_str().unwrap()]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("Bytes of each pre-copy round"));
    assert_eq!(scratch.names(), ["page.html", "timeline.json"]);

    let other = scratch.file("other.json", b"{}");
    let text = error(&["report", &other, "-o", "/tmp/unused.html"], 1);
    assert!(text.contains("other.json"), "{text}");
}

#[test]
fn manual_pages_and_completions() {
    let scratch = Scratch::new();
    let out = scratch.path("docs");
    let mut command = assert_cmd::Command::cargo_bin("vfmig-docs").unwrap();
    command.arg(&out).assert().success();
    for name in [
        "vfmig.1",
        "vfmig-migrate.1",
        "vfmig.bash",
        "_vfmig",
        "vfmig.fish",
    ] {
        let text = fs::read_to_string(out.join(name)).unwrap();
        assert!(text.contains("vfmig"), "{name}");
    }
    let page = fs::read_to_string(out.join("vfmig.1")).unwrap();
    assert!(page.contains("Exit status"));
}
