// SPDX-License-Identifier: GPL-2.0
//! What a fuzzer would take long to find by itself: whole streams, parts as a device has
//! them, words of the protocols. `cargo run --example seeds` writes them.

use crate::bytes::Bytes;
use crate::driver::Driver;
use crate::machines;
use crate::streams::Stream;
use crate::wire::{CTRL_VLAN, CTRL_VLAN_ADD};

const CONTROL: &[&str] = &[
    r#"{"cmd":"ping"}"#,
    r#"{"cmd":"state"}"#,
    r#"{"cmd":"dirty-bits","enabled":false}"#,
    r#"{"cmd":"shutdown"}"#,
    r#"{"cmd":"parts","function":"vf1"}"#,
    r#"{"cmd":"inject","opcode":15,"member":1,"nth":2,"count":3,"action":{"status":22,"qualifier":3}}"#,
    r#"{"cmd":"inject","opcode":14,"action":{"delay_ms":10}}"#,
    r#"{"cmd":"inject","opcode":16,"action":{"silence":true}}"#,
    r#"{"cmd":"inject","opcode":15,"action":{"result_size":17}}"#,
    r#"{"cmd":"inject","opcode":15,"action":{"written":17}}"#,
    r#"{"cmd":"inject","opcode":15,"action":{"result_fill":255}}"#,
    r#"{"cmd":"release"}"#,
    r#"{"cmd":"clear-faults"}"#,
    r#"{"cmd":"dma-writes","function":"pf","clear":true}"#,
    "{\"cmd\":\"ballast\",\"function\":\"vf1\",\"bytes\":4096,\"part_size\":16}\n{\"cmd\":\"touch-ballast\",\"function\":\"vf1\",\"parts\":3}\n{\"cmd\":\"poke-extra\",\"function\":\"vf1\",\"position\":1,\"value\":2}",
    r#"{"cmd":"slow-disk","delay_ms":1}"#,
    r#"{"cmd":"hello"}"#,
    r#"{"cmd":"link","function":"vf1","up":false}"#,
    r#"{"cmd":"announce","function":"vf1"}"#,
    r#"{"cmd":"resize-disk","bytes":1024}"#,
    r#"{"cmd":"need-reset","function":"vf1"}"#,
    r#"{"cmd":"remove","function":"vf1","gone":true}"#,
];

const TIMELINE: &str = r#"{"format":"vfmig-timeline","version":1,"source":{"function":"0000:01:00.1","driver":"vfio-pci"},"target":{"function":"0000:01:00.2","driver":null},"access":"cdev","pre_copy":true,"phases":[{"name":"RESUMING","side":"target","start_us":0,"end_us":300},{"name":"pre-copy","side":"both","start_us":900,"end_us":90000}],"rounds":[{"start_us":1000,"end_us":1900,"initial_bytes":0,"dirty_bytes":578,"reinit":false,"bytes":578,"dirty_pages":64}],"bytes":706,"stop_copy_bytes":32,"total_us":95000,"stopped_us":4000}"#;

/// Inputs of the target of this name.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "stream_loader" => streams().iter().map(|s| with(&[1, 2], s)).collect(),
        "device_parts" => contexts()
            .iter()
            .map(|parts| with(&[1, 2], &parts[1]))
            .collect(),
        "parts_delta" => contexts()
            .iter()
            .map(|[old, new]| {
                let [a, b] = (old.len() as u16).to_le_bytes();
                with(&[8, a, b], &[&old[..], new].concat())
            })
            .collect(),
        "control_socket" => CONTROL
            .iter()
            .map(|line| line.as_bytes().to_vec())
            .collect(),
        "vfmig_readers" => {
            let streams = streams();
            let inspected = streams.iter().map(|stream| with(&[0, 9], stream));
            let compared = streams.windows(2).map(|pair| {
                let [a, b] = (pair[0].len() as u16).to_le_bytes();
                with(&[1, a, b], &pair.concat())
            });
            let timeline = [with(&[2], TIMELINE.as_bytes())];
            inspected.chain(compared).chain(timeline).collect()
        }
        "admin_commands" => admin(),
        "vfio_user" => vfio_user(),
        _ => Vec::new(),
    }
}

fn with(choices: &[u8], rest: &[u8]) -> Vec<u8> {
    [choices, rest].concat()
}

/// Parts of a function of each kind, before and after something happened.
fn contexts() -> Vec<[Vec<u8>; 2]> {
    let mut contexts = Vec::new();
    for choice in 0..3 {
        machines::with(choice, |rig| {
            let old = rig.parts(1);
            let mut vf = Driver::up(rig, 1, 0);
            if choice != 2 {
                vf.control(CTRL_VLAN, CTRL_VLAN_ADD, &[9, 0]);
            }
            contexts.push([old, rig.parts(1)]);
        });
    }
    contexts
}

/// Streams of all kinds.
fn streams() -> Vec<Vec<u8>> {
    (0..16u8)
        .map(|choice| {
            let bytes: Vec<u8> = (0..60u8)
                .map(|at| choice.wrapping_add(at.wrapping_mul(37)))
                .collect();
            Stream::generate(&mut Bytes::new(&with(&[choice], &bytes))).bytes
        })
        .collect()
}

/// Each command, on an object and on the parts of a VF.
fn admin() -> Vec<Vec<u8>> {
    (0..0x12)
        .map(|opcode| {
            let object = [opcode, 1, 1, 0, 4, 1, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0];
            let parts = [opcode, 1, 2, 0, 4, 2, 0];
            let owner = [opcode, 0, 0, 0, 4, 0, 0];
            with(&[opcode, 7], &[&object[..], &parts, &owner].concat())
        })
        .collect()
}

/// Each command that the server has, at the PF.
fn vfio_user() -> Vec<Vec<u8>> {
    (1..15)
        .map(|command| {
            let message = [command, 0, 0, 1, 3, 0, 1, 1, 4, 1, 1, 4];
            with(&[0, 0], &message.repeat(3))
        })
        .collect()
}
