// SPDX-License-Identifier: GPL-2.0
//! `inspect` and `diff` as their user meets them. The streams are written down here
//! independently of the program, by Documentation/stream.rst.

mod common;

use common::wire::{data, part};
use common::{Scratch, run};

/// A network function's, as the in-tree driver writes it.
fn plain(status: u8) -> Vec<u8> {
    data(&[
        part(0x101, 0, &0x1_0000_0020u64.to_le_bytes()),
        part(0x103, 0, &[status]),
    ])
}

#[test]
fn a_sound_stream_is_described() {
    let scratch = Scratch::new();
    let file = scratch.file("stream", &plain(15));
    let (code, out, err) = run(&["inspect", &file]);
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines,
        [
            "record 0 at 0: device data, 41 bytes",
            "  DRV_FEATURES     8 bytes  bit 5 VERSION_1",
            "  DEVICE_STATUS    1 bytes  0xf ACKNOWLEDGE DRIVER DRIVER_OK FEATURES_OK",
            "57 bytes in 1 record, sound",
        ]
    );
}

#[test]
fn json_has_the_same() {
    let scratch = Scratch::new();
    let file = scratch.file("stream", &plain(15));
    let (code, out, _) = run(&["--json", "inspect", &file]);
    assert_eq!(code, 0);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["bytes"], 57);
    let parts = &report["records"][0]["parts"];
    assert_eq!(parts[0]["name"], "DRV_FEATURES");
    assert_eq!(parts[1]["type"], 0x103);
    assert_eq!(report["fault"], serde_json::Value::Null);
}

#[test]
fn a_cut_stream_is_described_up_to_there() {
    let scratch = Scratch::new();
    let whole = [plain(15), plain(15)].concat();
    let file = scratch.file("stream", &whole[..100]);
    let (code, out, _) = run(&["inspect", &file]);
    assert_eq!(code, 3);
    assert!(out.contains("record 1 at 57: device data"), "{out}");
    assert!(
        out.ends_with("FAULT at offset 97 in record 1: ends inside a device part header: 3 of 16 bytes are there\n"),
        "{out}"
    );
}

#[test]
fn hostile_sizes_cost_nothing() {
    let scratch = Scratch::new();
    // A record of 2^64 - 1 bytes, and in it a part of 4 GiB - 1.
    let mut bytes = vec![0xff; 8];
    bytes.extend([0; 8]);
    let mut header = part(0x104, 0, &[]);
    header[12..16].fill(0xff);
    bytes.extend(header);
    let file = scratch.file("stream", &bytes);
    let (code, out, err) = run(&["inspect", &file]);
    assert_eq!((code, err.as_str()), (3, ""));
    assert!(out.contains("4294967295 bytes (0 are there)"), "{out}");
    let (code, _, err) = run(&["diff", &file, &file]);
    // It has not one whole record: bytes are compared.
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn standard_input_is_a_file_like_others() {
    let mut command = assert_cmd::Command::cargo_bin("vfmig").unwrap();
    let output = command
        .args(["inspect", "-"])
        .write_stdin(plain(1))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn differences_and_their_exit_status() {
    let scratch = Scratch::new();
    let first = scratch.file("first", &plain(15));
    let same = scratch.file("same", &[plain(0), plain(15)].concat());
    let other = scratch.file("other", &plain(0));
    let (code, out, _) = run(&["diff", &first, &same]);
    assert_eq!((code, out.as_str()), (0, "equal (device parts compared)\n"));
    let (code, out, _) = run(&["diff", &first, &other]);
    assert_eq!(code, 3);
    assert!(out.contains("DEVICE_STATUS"), "{out}");
    assert!(out.ends_with("1 device part differs\n"), "{out}");
    let (code, out, _) = run(&["diff", "--json", &first, &other]);
    assert_eq!(code, 3);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["equal"], false);
    assert_eq!(report["differences"][0]["how"], "changed");
}

#[test]
fn a_faulty_stream_is_not_compared() {
    let scratch = Scratch::new();
    let good = scratch.file("good", &plain(15));
    let cut = scratch.file("cut", &[plain(15), vec![1]].concat());
    let (code, out, err) = run(&["diff", &good, &cut]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.contains("at offset 57"), "{err}");
}

#[test]
fn streams_of_other_drivers_are_compared_by_byte() {
    let scratch = Scratch::new();
    let first = scratch.file("first", b"EDU1 registers and more");
    let other = scratch.file("other", b"EDU1 registers and less");
    assert_eq!(run(&["diff", &first, &first]).0, 0);
    let (code, out, _) = run(&["diff", &first, &other]);
    assert_eq!((code, out.as_str()), (3, "different bytes\n"));
}
