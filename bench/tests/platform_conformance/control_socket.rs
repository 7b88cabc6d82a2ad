// SPDX-License-Identifier: GPL-2.0
//! The control socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};
use vfio_bench::assembly::Ending;

use crate::guest::Guest;

struct ControlClient(BufReader<UnixStream>);

impl ControlClient {
    fn connect(path: &Path) -> Self {
        Self(BufReader::new(
            UnixStream::connect(path).expect("connection"),
        ))
    }

    fn ask(&mut self, request: &str) -> Value {
        let mut line = request.to_string();
        line.push('\n');
        self.0
            .get_mut()
            .write_all(line.as_bytes())
            .expect("request");
        self.answer()
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("answer");
        serde_json::from_str(&line).expect("JSON")
    }
}

fn connected() -> (Guest, ControlClient) {
    let guest = Guest::new(1);
    let path = guest.dir.path().join("control.sock");
    guest.control.clone().listen(&path).expect("control socket");
    let client = ControlClient::connect(&path);
    (guest, client)
}

#[test]
fn ping() {
    let (_guest, mut client) = connected();
    assert_eq!(client.ask(r#"{"cmd":"ping"}"#), json!({"ok": true}));
}

#[test]
fn hello() {
    let (_guest, mut client) = connected();
    let hello = client.ask(r#"{"cmd":"hello"}"#);
    assert_eq!(hello["ok"], true);
    assert_eq!(hello["program"], "vfio-bench");
    assert_eq!(hello["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(hello["protocol"], json!({"major": 1, "minor": 0}));
}

#[test]
fn the_client_of_the_protocol_crate() {
    let (guest, _) = connected();
    let path = guest.dir.path().join("control.sock");
    let mut client = vfio_bench_protocol::Client::connect(&path).expect("client");
    client.ping().expect("ping");
    client.dirty_bits(false).expect("dirty-bits");
    assert!(
        !guest.state()["iommu"]["dirty_bits"]
            .as_bool()
            .expect("a switch")
    );
    let refused = client.release().expect_err("nothing for these devices");
    assert!(
        refused
            .to_string()
            .starts_with("the bench refused {\"cmd\":\"release\"}: ")
    );
    client.shutdown().expect("shutdown");
    assert_eq!(guest.endings.recv(), Ok(Ending::Shutdown));
}

#[test]
fn several_clients_at_once() {
    let (guest, mut first) = connected();
    let mut second = ControlClient::connect(&guest.dir.path().join("control.sock"));
    for _ in 0..3 {
        assert_eq!(second.ask(r#"{"cmd":"ping"}"#)["ok"], true);
        assert_eq!(first.ask(r#"{"cmd":"ping"}"#)["ok"], true);
    }
}

#[test]
fn state_has_devices_and_iommu() {
    let (_guest, mut client) = connected();
    let state = client.ask(r#"{"cmd":"state"}"#);
    assert_eq!(state["ok"], true);
    assert_eq!(state["num_vfs"], 0, "what the devices say");
    let expected = json!({
        "enabled": false,
        "faults": 0,
        "walks": 0,
        "iotlb_hits": 0,
        "dirty_bits_set": 0,
        "dirty_bits": true,
        "outside": 0,
        "commands": {},
    });
    assert_eq!(state["iommu"], expected);
}

#[test]
fn requests_that_make_no_sense_are_refused_with_one_line() {
    let (_guest, mut client) = connected();
    for request in [
        "nonsense",
        "",
        "[]",
        "{}",
        r#"{"cmd":1}"#,
        r#"{"cmd":"dance"}"#,
        r#"{"cmd":"ping","louder":true}"#,
        "{\"cmd\":\"ping\"",
        "\0\u{7f}\u{fffd}",
        r#"{"cmd":"dirty-bits"}"#,
        r#"{"cmd":"dirty-bits","enabled":"no"}"#,
    ] {
        let answer = client.ask(request);
        assert_eq!(answer["ok"], false, "{request}");
        let error = answer["error"].as_str().expect("a reason");
        assert!(
            !error.is_empty() && !error.contains('\n'),
            "{request}: {error:?}"
        );
    }
    assert_eq!(
        client.ask(r#"{"cmd":"ping"}"#)["ok"],
        true,
        "and life goes on"
    );
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let (_guest, mut client) = connected();
    client
        .0
        .get_mut()
        .write_all(b"\xff\xfe\x00{\n")
        .expect("request");
    assert_eq!(client.answer()["ok"], false);
    assert_eq!(client.ask(r#"{"cmd":"ping"}"#)["ok"], true);
}

#[test]
fn endless_requests_are_cut_off() {
    let (_guest, mut client) = connected();
    let mut line = vec![b' '; 64 << 10];
    line.push(b'\n');
    client.0.get_mut().write_all(&line).expect("request");
    let answer = client.answer();
    assert_eq!(answer["ok"], false);
}

#[test]
fn shutdown_ends_the_bench() {
    let (guest, mut client) = connected();
    assert!(guest.endings.try_recv().is_err());
    assert_eq!(client.ask(r#"{"cmd":"shutdown"}"#)["ok"], true);
    assert_eq!(guest.endings.recv(), Ok(Ending::Shutdown));
}
