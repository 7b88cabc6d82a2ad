// SPDX-License-Identifier: GPL-2.0
//! The client against benches of a few lines, well-behaved ones and others.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::*;

const HELLO: &str = r#"{"ok":true,"program":"vfio-bench","version":"9.9.9","protocol":{"major":1,"minor":7},"more":[]}"#;

/// A bench that answers the first question with `hello` and the next ones with `answers`, and
/// ends with what it was asked.
fn bench(hello: &str, answers: &[&str]) -> (OwnedFd, std::thread::JoinHandle<Vec<Value>>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let answers: Vec<String> = [hello]
        .iter()
        .chain(answers)
        .map(|answer| format!("{answer}\n"))
        .collect();
    let asked = std::thread::spawn(move || {
        let mut requests = BufReader::new(theirs.try_clone().unwrap()).lines();
        let mut writer = theirs;
        let mut asked = Vec::new();
        for answer in answers {
            let Some(request) = requests.next() else {
                break;
            };
            asked.push(serde_json::from_str(&request.unwrap()).unwrap());
            // A client that has had enough is gone.
            if writer.write_all(answer.as_bytes()).is_err() {
                break;
            }
        }
        asked
    });
    (ours.into(), asked)
}

fn client(answers: &[&str]) -> Client {
    Client::over(bench(HELLO, answers).0).unwrap()
}

fn stranger(hello: &str) -> String {
    let error = Client::over(bench(hello, &[]).0).expect_err("no bench");
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

#[test]
fn a_bench_of_another_minor_version_is_understood() {
    let (wire, asked) = bench(HELLO, &[r#"{"ok":true}"#]);
    let mut client = Client::over(wire).unwrap();
    client.ping().unwrap();
    let asked = asked.join().unwrap();
    assert_eq!(
        asked,
        [r#"{"cmd":"hello"}"#, r#"{"cmd":"ping"}"#]
            .map(|text| { serde_json::from_str::<Value>(text).unwrap() })
    );
}

#[test]
fn a_bench_of_another_major_version_is_refused() {
    assert_eq!(
        stranger(&HELLO.replace(r#""major":1"#, r#""major":2"#)),
        "the bench speaks version 2.7 of the protocol, this client 1.0"
    );
}

#[test]
fn a_bench_without_versions_is_refused() {
    assert_eq!(
        stranger(r#"{"ok":false,"error":"no command \"hello\""}"#),
        "the bench speaks version 0.0 of the protocol, this client 1.0"
    );
}

#[test]
fn another_program_is_refused() {
    assert_eq!(
        stranger(&HELLO.replace("vfio-bench", "kitchen")),
        "\"kitchen\" is at the other end, not a vfio-bench"
    );
}

#[test]
fn garbage_is_told_from_refusals() {
    for garbage in [
        "",
        "ready",
        "[1]",
        "{}",
        r#"{"ok":1}"#,
        r#"{"ok":true}"#,
        "\u{fffd}",
    ] {
        let text = stranger(garbage);
        assert!(
            text.starts_with("answer of the bench to {\"cmd\":\"hello\"}: "),
            "{text}"
        );
    }
    let mut client = client(&[
        r#"{"ok":true,"parts":"0g"}"#,
        r#"{"ok":true,"parts":"012"}"#,
    ]);
    for _ in 0..2 {
        let error = client.parts("vf1").unwrap_err().to_string();
        assert!(error.contains("not a hexadecimal string"), "{error}");
    }
}

#[test]
fn nobody_at_the_other_end() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    drop(theirs);
    assert!(matches!(Client::over(ours.into()), Err(Error::Closed)));
    let nowhere = Client::connect(Path::new("/nonexistent/control.sock")).unwrap_err();
    assert!(
        nowhere
            .to_string()
            .starts_with("cannot open /nonexistent/control.sock: ")
    );
}

#[test]
fn answers_without_an_end_are_cut_off() {
    let long = "x".repeat(4096);
    let (wire, _) = bench(HELLO, &[&long]);
    let mut client = Client::over_with(wire, 1024).unwrap();
    assert!(matches!(client.ping(), Err(Error::Endless)));
}

#[test]
fn requests_that_are_too_long_are_not_sent() {
    let (wire, asked) = bench(HELLO, &[r#"{"ok":true}"#]);
    let mut client = Client::over(wire).unwrap();
    let name = "v".repeat(MAX_REQUEST);
    assert!(matches!(client.parts(&name), Err(Error::TooLong)));
    client.ping().unwrap();
    assert_eq!(asked.join().unwrap().len(), 2);
}

#[test]
fn what_a_predecessor_left_unread_is_no_answer() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (&theirs).write_all(b"{\"ok\":true,\"par").unwrap();
    let bench = std::thread::spawn(move || {
        let mut requests = BufReader::new(theirs.try_clone().unwrap()).lines();
        assert!(requests.next().unwrap().unwrap().contains("hello"));
        (&theirs)
            .write_all(format!("{HELLO}\n").as_bytes())
            .unwrap();
    });
    Client::over(ours.into()).unwrap();
    bench.join().unwrap();
}

#[test]
fn parts_are_bytes() {
    let mut client = client(&[r#"{"ok":true,"parts":"00Ff10"}"#]);
    assert_eq!(client.parts("vf1").unwrap(), [0, 0xff, 0x10]);
}

#[test]
fn long_answers_arrive_whole() {
    let answer = format!(r#"{{"ok":true,"parts":"{}"}}"#, "ab".repeat(300_000));
    let mut client = client(&[&answer]);
    assert_eq!(client.parts("vf1").unwrap(), vec![0xab; 300_000]);
}

#[test]
fn refusals_carry_the_reason() {
    let mut client = client(&[
        r#"{"ok":false,"error":"no such function"}"#,
        r#"{"ok":false}"#,
    ]);
    for reason in ["no such function", "no reason given"] {
        assert_eq!(
            client.touch_ballast("vf9", 7).unwrap_err().to_string(),
            format!(
                "the bench refused {}: {reason}",
                r#"{"cmd":"touch-ballast","function":"vf9","parts":7}"#
            )
        );
    }
}

#[test]
fn state() {
    let answer = r#"{"ok":true,"functions":[{"name":"vf1","status":15,"features":"0x100000021",
        "stopped":false,"enabled":true,"mac":"52:54:00:00:00:01","queues":[{"index":0,"size":256,
        "enabled":true,"vector":1,"desc":"0x1000","driver":"0x2000","device":"0x3000",
        "next_avail":3,"next_used":2}],"counters":{"tx_frames":7},"of the future":1}],
        "choices":{"verify_common_cfg":true,"quiet_resume":false},
        "iommu":{"enabled":true,"faults":1,"walks":2,"iotlb_hits":3,"dirty_bits_set":4,
        "dirty_bits":true,"outside":0,"commands":{}},
        "admin":{"objects":[{"id":1,"type":0,"member":2}],"commands":{"0x10":5}}}"#
        .replace('\n', "");
    let state = client(&[&answer]).state().unwrap();
    let vf = state.function("vf1").unwrap();
    assert_eq!(
        (vf.features, vf.queues[0].desc, vf.counters.tx_frames),
        (0x1_0000_0021, 0x1000, 7)
    );
    assert!(state.choices.verify_common_cfg);
    assert_eq!(
        (
            state.commands(0x10),
            state.commands(0x11),
            state.all_commands()
        ),
        (5, 0, 5)
    );
    assert!(state.function("vf2").is_err());
}
