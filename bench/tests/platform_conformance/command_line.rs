// SPDX-License-Identifier: GPL-2.0
//! The process: its options, what it refuses, what it leaves in its directory.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use vfio_bench::iommu::registers::FEATURES;

use serde_json::{Value, json};

use tempfile::TempDir;

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vfio-bench"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    bench(arguments).output().expect("the program runs")
}

/// Asserts that the arguments are refused as impossible, in one line with `word`.
fn refuses(arguments: &[&str], word: &str) {
    let output = run(arguments);
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    assert!(text.contains(word), "{arguments:?}: {text}");
    assert!(output.stdout.is_empty());
}

#[test]
fn impossible_options_are_refused() {
    let dir = TempDir::new().expect("a fresh directory");
    let path = dir.path().to_str().expect("text");
    for (option, values) in [
        ("--vfs", &["0", "8", "-1", "many"][..]),
        ("--queue-pairs", &["0", "9"]),
        ("--device", &["fridge"]),
        ("--pci-slot", &["0", "30"]),
        ("--bus", &["0", "256"]),
        ("--mtu", &["0", "67", "65536"]),
        ("--differ", &["vf1", "vf1:queue-size=3"]),
        ("--extra-parts", &["-1", "268435457", "99999999999", "x"]),
        ("--extra-part-size", &["-1", "0", "1048577", "x"]),
    ] {
        for value in values {
            refuses(&["--dir", path, &format!("{option}={value}")], option);
        }
    }
    refuses(
        &["--dir", path, "--transitional", "--no-admin-vq"],
        "--transitional",
    );
    let too_many = ["--extra-parts=8388610", "--extra-part-size=2"];
    refuses(
        &["--dir", path, too_many[0], too_many[1]],
        "--extra-part-size 2",
    );
    refuses(&["--dir", path, "--dance"], "--dance");
    refuses(&["--dir", path, "--host-socket"], "--host-socket");
    refuses(&[], "--dir");
    assert_eq!(std::fs::read_dir(dir.path()).expect("directory").count(), 0);
}

#[test]
fn options_of_the_other_device_type_are_refused() {
    let dir = TempDir::new().expect("a fresh directory");
    let path = dir.path().to_str().expect("text");
    for (device, option) in [
        ("blk", "--queue-pairs=1"),
        ("blk", "--transitional"),
        ("blk", "--no-mrg-rxbuf"),
        ("blk", "--no-mac-learning"),
        ("blk", "--host-socket=host.sock"),
        ("blk", "--link=listen:link.sock"),
        ("blk", "--mac-block=1"),
        ("net", "--blk-queues=1"),
        ("net", "--disk-size=512"),
        ("net", "--disk-image=disk"),
    ] {
        let name = option.split('=').next().expect("a name");
        refuses(&["--dir", path, "--device", device, option], name);
    }
    for option in [
        "--blk-queues=0",
        "--blk-queues=9",
        "--disk-size=0",
        "--disk-size=700",
        "--disk-size=2199023255552",
    ] {
        let name = option.split('=').next().expect("a name");
        refuses(&["--dir", path, "--device", "blk", option], name);
    }
    let both = ["--disk-size=512", "--disk-image=disk"];
    refuses(
        &["--dir", path, "--device", "blk", both[0], both[1]],
        "--disk-image",
    );
}

#[test]
fn a_disk_image_is_taken_if_it_can_be_one() {
    let dir = TempDir::new().expect("a fresh directory");
    let image = dir.path().join("image");
    let image_text = image.to_str().expect("text");
    let arguments = ["--device", "blk", "--disk-image", image_text];
    let path = ["--dir", dir.path().to_str().expect("text")];
    let missing = run(&[&path[..], &arguments[..]].concat());
    assert_eq!(missing.status.code(), Some(1));
    std::fs::write(&image, [0; 513]).expect("image");
    let odd = run(&[&path[..], &arguments[..]].concat());
    assert_eq!(odd.status.code(), Some(1));
    assert_eq!(std::fs::read(&image).expect("image").len(), 513);
    std::fs::write(&image, [0; 1024]).expect("image");
    let child = start(dir.path(), &arguments);
    shut_down(dir.path(), child);
}

#[test]
fn impossible_directories_are_refused() {
    let dir = TempDir::new().expect("a fresh directory");
    let missing = dir.path().join("missing");
    refuses(
        &["--dir", missing.to_str().expect("text")],
        "not a directory",
    );
    let long = dir.path().join("x".repeat(100));
    std::fs::create_dir(&long).expect("directory");
    refuses(&["--dir", long.to_str().expect("text")], "too long");
    let comma = dir.path().join("a,b");
    std::fs::create_dir(&comma).expect("directory");
    refuses(&["--dir", comma.to_str().expect("text")], "comma");
}

#[test]
fn impossible_host_sockets_are_refused() {
    let dir = TempDir::new().expect("a fresh directory");
    let path = dir.path().to_str().expect("text");
    let file = dir.path().join("notes");
    std::fs::write(&file, "precious").expect("file");
    let file = file.to_str().expect("text");
    refuses(&["--dir", path, "--host-socket", file], "not a socket");
    assert_eq!(std::fs::read_to_string(file).expect("file"), "precious");
    let long = format!("{path}/{}", "x".repeat(108));
    refuses(&["--dir", path, "--host-socket", &long], "too long");
}

#[test]
fn impossible_links_are_refused() {
    let dir = TempDir::new().expect("directory");
    let path = dir.path().to_str().expect("text");
    let file = dir.path().join("notes");
    std::fs::write(&file, "precious").expect("file");
    let file = file.to_str().expect("text");
    for (place, reason) in [
        (file.to_string(), "listen:PATH or connect:PATH"),
        ("listen:".to_string(), "listen:PATH or connect:PATH"),
        (format!("listen:{file}"), "not a socket"),
        (format!("connect:{file}"), "not a socket"),
        (format!("listen:{path}/{}", "x".repeat(108)), "too long"),
    ] {
        refuses(&["--dir", path, "--link", &place], reason);
    }
    assert_eq!(std::fs::read_to_string(file).expect("file"), "precious");
}

#[test]
fn files_in_the_way_are_left_alone() {
    let dir = TempDir::new().expect("a fresh directory");
    std::fs::write(dir.path().join("pf.sock"), "precious").expect("file");
    let output = run(&["--dir", dir.path().to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(text.contains("pf.sock"), "{text}");
    let kept = std::fs::read_to_string(dir.path().join("pf.sock")).expect("file");
    assert_eq!(kept, "precious");
}

#[test]
fn help_is_no_error() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("text");
    for option in [
        "--dir",
        "--vfs",
        "--queue-pairs",
        "--no-admin-vq",
        "--extra-parts",
        "--extra-part-size",
        "--device",
        "--disk-size",
    ] {
        assert!(text.contains(option), "{option}");
    }
}

/// Starts the bench and waits until it is ready.
fn start(dir: &Path, more: &[&str]) -> Child {
    let mut arguments = vec!["--dir", dir.to_str().expect("text")];
    arguments.extend(more);
    let mut child = bench(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("output");
    assert_eq!(line, "ready\n");
    child
}

fn shut_down(dir: &Path, mut child: Child) {
    let mut control = UnixStream::connect(dir.join("control.sock")).expect("control socket");
    control
        .write_all(b"{\"cmd\":\"shutdown\"}\n")
        .expect("request");
    assert_eq!(child.wait().expect("exit").code(), Some(0));
}

/// Asks the bench for something.
fn ask(control: &mut BufReader<UnixStream>, request: &Value) -> Value {
    let line = format!("{request}\n");
    control
        .get_mut()
        .write_all(line.as_bytes())
        .expect("request");
    let mut answer = String::new();
    control.read_line(&mut answer).expect("answer");
    serde_json::from_str(&answer).expect("JSON")
}

/// Lengths of the parts of ballast that VF 1 has.
fn ballast(control: &mut BufReader<UnixStream>) -> Vec<u32> {
    let answer = ask(control, &json!({"cmd": "parts", "function": "vf1"}));
    let hex = answer["parts"].as_str().expect("hexadecimal digits");
    let mut rest: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("digits"))
        .collect();
    let mut lengths = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[12..16].try_into().expect("four bytes"));
        if rest[..2] == [0xff, 0x05] {
            lengths.push(length);
        }
        rest.drain(..16 + length as usize);
    }
    lengths
}

#[test]
fn ballast_is_as_asked_for() {
    for (options, lengths) in [
        (&[][..], vec![]),
        (&["--extra-parts=5000"], vec![4096, 904]),
        (
            &["--extra-parts=100", "--extra-part-size=40"],
            vec![40, 40, 20],
        ),
        (
            &["--extra-parts=2097152", "--extra-part-size=1048576"],
            vec![1 << 20; 2],
        ),
    ] {
        let dir = TempDir::new().expect("a fresh directory");
        let child = start(dir.path(), &[&["--vfs=1"], options].concat());
        let socket = UnixStream::connect(dir.path().join("control.sock"));
        let mut control = BufReader::new(socket.expect("control socket"));
        assert_eq!(ballast(&mut control), lengths, "{options:?}");
        let resize = |bytes, part_size| json!({"cmd": "ballast", "function": "vf1", "bytes": bytes, "part_size": part_size});
        assert_eq!(ask(&mut control, &resize(7, 3))["ok"], true);
        assert_eq!(ballast(&mut control), [3, 3, 1]);
        let touch = |parts| json!({"cmd": "touch-ballast", "function": "vf1", "parts": parts});
        assert_eq!(ask(&mut control, &touch(3))["ok"], true);
        for impossible in [resize(7, 0), resize(-1, 3), touch(4), touch(-1)] {
            let answer = ask(&mut control, &impossible);
            assert_eq!(answer["ok"], false, "{impossible}");
            let error = answer["error"].as_str().expect("a reason");
            assert!(!error.is_empty() && !error.contains('\n'), "{error:?}");
        }
        assert_eq!(ballast(&mut control), [3, 3, 1]);
        drop(control);
        shut_down(dir.path(), child);
    }
}

fn sockets(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("directory");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("text")
        })
        .filter(|name| name.ends_with(".sock"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_ready_bench_listens_and_says_how_to_reach_it() {
    let dir = TempDir::new().expect("a fresh directory");
    let child = start(dir.path(), &["--vfs", "2", "--pci-slot", "6"]);
    let expected = [
        "control.sock",
        "iommu.sock",
        "pf.sock",
        "vf1.sock",
        "vf2.sock",
    ];
    assert_eq!(sockets(dir.path()), expected);

    let text = std::fs::read_to_string(dir.path().join("qemu.args")).expect("qemu.args");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "-device");
    assert!(lines[1].starts_with("pcie-root-port,") && lines[1].contains("addr=0x6"));
    let devices: Vec<Value> = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let addresses: Vec<&str> = devices
        .iter()
        .map(|device| device["addr"].as_str().expect("address"))
        .collect();
    assert_eq!(addresses, ["0.0", "0.1", "0.2", "0x1e.0"]);
    assert_eq!(devices[0]["multifunction"], true);
    for device in &devices {
        assert_eq!(device["driver"], "vfio-user-pci");
        let socket = device["socket"]["path"].as_str().expect("path");
        assert!(Path::new(socket).exists(), "{socket}");
    }
    let ivrs = dir.path().join("ivrs.bin");
    let table = format!("file={}", ivrs.display());
    assert_eq!(lines[lines.len() - 2..], ["-acpitable", &table]);
    assert_eq!(
        std::fs::read(ivrs).expect("ivrs.bin"),
        vfio_bench::assembly::ivrs(1, FEATURES)
    );

    shut_down(dir.path(), child);
    assert!(sockets(dir.path()).is_empty(), "none is left behind");
}

#[test]
fn a_crashed_bench_leaves_nothing_in_the_way() {
    let dir = TempDir::new().expect("a fresh directory");
    let mut child = start(dir.path(), &[]);
    child.kill().expect("kill");
    child.wait().expect("exit");
    assert!(!sockets(dir.path()).is_empty());
    let child = start(dir.path(), &[]);
    shut_down(dir.path(), child);
}

/// A program that answers as a QEMU does.
fn qemu(name: &str) -> String {
    format!("{}/tests/qemu/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_qemu_that_does_not_do_is_refused() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().to_str().expect("text");
    refuses(
        &["--dir", path, "--qemu", &qemu("old")],
        "QEMU 10.0; 10.1 or later is needed",
    );
    refuses(
        &["--dir", path, "--qemu", &qemu("without")],
        "QEMU 11.0, built without the device vfio-user-pci",
    );
    refuses(&["--dir", path, "--qemu", "true"], "no version of QEMU");
    refuses(
        &["--dir", path, "--qemu", "/nonexistent/qemu"],
        "/nonexistent/qemu: ",
    );
    assert!(!dir.path().join("qemu.args").exists(), "nothing was begun");
}

#[test]
fn a_qemu_that_does_is_taken() {
    let dir = tempfile::tempdir().expect("directory");
    let child = start(dir.path(), &["--qemu", &qemu("fits")]);
    shut_down(dir.path(), child);
}

#[test]
fn the_manual_page_and_the_version() {
    let page = run(&["--man"]);
    let text = String::from_utf8(page.stdout).expect("text");
    assert!(page.status.success());
    assert!(text.contains(".TH vfio-bench 1"), "{text}");
    // Roff has its own minus.
    assert!(text.contains(r"\-\-no\-dirty\-tracking"), "{text}");
    let version = String::from_utf8(run(&["--version"]).stdout).expect("text");
    assert_eq!(
        version,
        format!("vfio-bench {}\n", env!("CARGO_PKG_VERSION"))
    );
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().to_str().expect("text");
    refuses(&["--dir", path, "--man"], "--man");
}
