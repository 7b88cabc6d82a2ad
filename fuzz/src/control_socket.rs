// SPDX-License-Identifier: GPL-2.0
//! Whatever a client of the control socket says, there is an answer: lines of bytes.

use std::sync::mpsc;

use serde_json::Value;
use vfio_bench::assembly::Assembly;
use vfio_bench::control::Control;
use vfio_bench::virtio::machine::{Config, Machine};

const LINES: usize = 16;
/// Larger numbers make slow tests, and are nothing else for the code.
const LARGE: u64 = 1 << 20;

thread_local! {
    static CONTROL: Control = control();
}

fn control() -> Control {
    // Nobody listens: a shutdown must not need that.
    let (ending, _) = mpsc::channel();
    let bench = Assembly::new(
        2,
        1,
        0,
        |ports| Machine::new(Config::default(), ports).map_err(|error| error.to_string()),
        ending.clone(),
    );
    let bench = bench.expect("a bench");
    Control::new(&bench, ending)
}

pub fn run(data: &[u8]) {
    CONTROL.with(|control| {
        for line in data.split(|&byte| byte == b'\n').take(LINES) {
            if !is_slow(line) {
                answer(control, line);
            }
        }
        for line in [
            &br#"{"cmd":"clear-faults"}"#[..],
            br#"{"cmd":"remove","function":"pf","gone":false}"#,
            br#"{"cmd":"remove","function":"vf1","gone":false}"#,
            br#"{"cmd":"remove","function":"vf2","gone":false}"#,
            br#"{"cmd":"ballast","function":"pf","bytes":0,"part_size":1}"#,
            br#"{"cmd":"ballast","function":"vf1","bytes":0,"part_size":1}"#,
            br#"{"cmd":"ballast","function":"vf2","bytes":0,"part_size":1}"#,
        ] {
            assert!(answer(control, line), "{}", String::from_utf8_lossy(line));
        }
    });
}

/// Answers; true if with success.
fn answer(control: &Control, line: &[u8]) -> bool {
    match control.answer(line) {
        Ok(answer) => {
            let text = serde_json::to_string(&answer).expect("JSON");
            assert!(
                text.starts_with('{') && !text.contains('\n'),
                "an answer is a line"
            );
            true
        }
        Err(reason) => {
            assert!(!reason.is_empty());
            false
        }
    }
}

fn is_slow(line: &[u8]) -> bool {
    let Ok(request) = serde_json::from_slice::<Value>(line) else {
        return false;
    };
    let number = |name: &str| request.get(name).and_then(Value::as_u64).unwrap_or(0);
    number("bytes") > LARGE
}
