// SPDX-License-Identifier: GPL-2.0
//! Faults injected into administration commands.

use serde_json::json;

use crate::driver::{Command, Driver};
use crate::rig::Rig;
use crate::wire::*;

fn ready(rig: &Rig) -> Driver<'_> {
    let mut pf = Driver::up(rig, 0, 0);
    pf.linux_admin_setup();
    pf
}

#[test]
fn a_status_on_the_nth_command() {
    let rig = Rig::plain(2);
    let mut pf = ready(&rig);
    rig.control(
        json!({"cmd": "inject", "opcode": 0x11, "member": 1, "nth": 2, "count": 2,
        "action": {"status": 11, "qualifier": 7}}),
    );
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    assert_eq!(pf.set_mode(2, STOPPED), S_OK);
    assert_eq!(pf.set_mode(1, 0), (11, 7));
    assert_eq!(rig.state(1)["stopped"], true, "not executed");
    assert_eq!(pf.set_mode(1, 0), (11, 7));
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert_eq!(rig.state(1)["stopped"], false);
}

#[test]
fn silence_and_release() {
    let rig = Rig::plain(2);
    let mut pf = Driver::up(&rig, 0, F_EVENT_IDX);
    pf.linux_admin_setup();
    rig.control(json!({"cmd": "inject", "opcode": 0x11, "action": {"silence": true}}));
    let silent = pf.admin_start(&Command::vf(CMD_MODE_SET, 1, &[STOPPED]), 0);
    assert!(pf.admin_reply(silent).is_none());
    // Others go on, on the same queue.
    assert_eq!(pf.set_mode(2, STOPPED), S_OK);
    assert!(pf.admin_reply(silent).is_none());
    pf.port.take_interrupts();
    rig.control(json!({"cmd": "release"}));
    assert_eq!(pf.admin_reply(silent).expect("released").code, S_OK);
    assert_eq!(pf.port.take_interrupts().len(), 1);
    rig.control(json!({"cmd": "release"}));
    assert!(pf.admin_reply(silent).is_none(), "only once");
}

#[test]
fn a_delayed_command_ends_by_itself_and_blocks_nobody() {
    let rig = Rig::plain(2);
    let mut pf = ready(&rig);
    rig.control(json!({"cmd": "inject", "opcode": 0x11, "member": 1,
        "action": {"delay_ms": 50}}));
    let slow = pf.admin_start(&Command::vf(CMD_MODE_SET, 1, &[STOPPED]), 0);
    let mut quick = 0;
    // Whether the slow one is first depends on the machine; both must end.
    let second = pf.admin_start(&Command::vf(CMD_MODE_SET, 2, &[STOPPED]), 0);
    let queue = pf.r16(ADMIN_QUEUE_INDEX);
    let mut heads = Vec::new();
    while heads.len() < 2 {
        match pf.used(queue) {
            Some((head, _)) => heads.push(head),
            None => {
                quick += 1;
                std::thread::yield_now();
            }
        }
    }
    heads.sort();
    let mut expected = vec![slow.0, second.0];
    expected.sort();
    assert_eq!(heads, expected, "after looking {quick} times");
}

#[test]
fn no_reply_after_the_owner_was_reset() {
    let rig = Rig::plain(1);
    let mut pf = ready(&rig);
    rig.control(json!({"cmd": "inject", "opcode": 0x11, "action": {"silence": true}}));
    let silent = pf.admin_start(&Command::vf(CMD_MODE_SET, 1, &[STOPPED]), 0);
    pf.w8(DEVICE_STATUS, 0);
    rig.dma_pages("pf");
    rig.control(json!({"cmd": "release"}));
    assert!(pf.admin_reply(silent).is_none());
    assert!(rig.dma_pages("pf").is_empty());
    let mut pf = ready(&rig);
    assert_eq!(pf.set_mode(1, 0), S_OK);
}

#[test]
fn sizes_that_lie() {
    let rig = Rig::plain(1);
    let mut pf = ready(&rig);
    assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
    let inject = |opcode: u16, size: u32| {
        rig.control(json!({"cmd": "inject", "opcode": opcode,
            "action": {"result_size": size}}))
    };
    inject(CMD_METADATA_GET, u32::MAX);
    let size = pf.admin(&Command::metadata(1, 0, METADATA_SIZE), 8);
    assert_eq!(size.result, [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let whole = rig.parts(1);
    inject(CMD_PARTS_GET, 5);
    assert_eq!(pf.admin(&Command::get_all(1, 0), 4096).result, whole[..5]);
    inject(CMD_PARTS_GET, whole.len() as u32 + 3);
    let long = pf.admin(&Command::get_all(1, 0), 4096).result;
    assert_eq!(long, [whole.clone(), vec![0; 3]].concat());
    assert_eq!(pf.admin(&Command::get_all(1, 0), 4096).result, whole);
}

#[test]
fn results_that_are_nonsense() {
    let rig = Rig::plain(1);
    let mut pf = ready(&rig);
    assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
    let whole = rig.parts(1);
    rig.control(json!({"cmd": "inject", "opcode": CMD_PARTS_GET,
        "action": {"result_fill": 0x5a}}));
    let reply = pf.admin(&Command::get_all(1, 0), 4096);
    assert_eq!((reply.code, reply.result), (S_OK, vec![0x5a; whole.len()]));
    assert_eq!(pf.admin(&Command::get_all(1, 0), 4096).result, whole);
}

#[test]
fn faults_can_be_taken_back() {
    let rig = Rig::plain(1);
    let mut pf = ready(&rig);
    let inject = json!({"cmd": "inject", "opcode": 0x11, "action": {"silence": true}});
    rig.control(inject);
    rig.control(json!({"cmd": "clear-faults"}));
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
}

#[test]
fn requests_that_make_no_sense() {
    let rig = Rig::plain(1);
    for request in [
        json!({"cmd": "inject", "opcode": 1}),
        json!({"cmd": "inject", "action": {"silence": true}}),
        json!({"cmd": "inject", "opcode": 1, "action": {"silence": false}}),
        json!({"cmd": "inject", "opcode": 1, "action": {"delay_ms": 1_u64 << 40}}),
        json!({"cmd": "inject", "opcode": 1, "action": {"status": 1}}),
        json!({"cmd": "inject", "opcode": 1, "action": {"explode": true}}),
        json!({"cmd": "inject", "opcode": 1, "nth": 0, "action": {"silence": true}}),
        json!({"cmd": "inject", "opcode": 1, "action": {"result_size": 1 << 30}}),
        json!({"cmd": "inject", "opcode": 1, "action": {"result_fill": 256}}),
        json!({"cmd": "parts"}),
        json!({"cmd": "parts", "function": "vf2"}),
        json!({"cmd": "dma-writes", "function": "iommu"}),
    ] {
        assert!(!rig.control_fails(request).contains('\n'));
    }
    rig.control_fails(json!({"cmd": "dirty-bits", "enabled": true}));
    rig.control_fails(json!("ping"));
}
