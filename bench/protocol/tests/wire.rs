// SPDX-License-Identifier: GPL-2.0
//! What goes over the wire is what Documentation/bench.rst says.

use serde_json::{Value, from_value, json, to_value};
use vfio_bench_protocol::{Action, Injection, Request};

/// That this is how the request is written, and read.
fn is_written(request: Request, text: Value) {
    assert_eq!(to_value(&request).unwrap(), text);
    assert_eq!(from_value::<Request>(text).unwrap(), request);
}

fn refused(text: Value) -> String {
    let error = from_value::<Request>(text.clone()).expect_err(&text.to_string());
    let error = error.to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn requests() {
    let function = || "vf1".to_owned();
    is_written(Request::Hello {}, json!({"cmd": "hello"}));
    is_written(Request::State {}, json!({"cmd": "state"}));
    is_written(Request::ClearFaults {}, json!({"cmd": "clear-faults"}));
    is_written(
        Request::DmaWrites {
            function: function(),
            clear: true,
        },
        json!({"cmd": "dma-writes", "function": "vf1", "clear": true}),
    );
    is_written(
        Request::Ballast {
            function: function(),
            bytes: 1000,
            part_size: 64,
        },
        json!({"cmd": "ballast", "function": "vf1", "bytes": 1000, "part_size": 64}),
    );
    is_written(
        Request::Link {
            function: function(),
            up: false,
        },
        json!({"cmd": "link", "function": "vf1", "up": false}),
    );
    is_written(
        Request::ResizeDisk { bytes: 512 },
        json!({"cmd": "resize-disk", "bytes": 512}),
    );
    is_written(
        Request::NeedReset {
            function: function(),
        },
        json!({"cmd": "need-reset", "function": "vf1"}),
    );
    is_written(
        Request::Remove {
            function: function(),
            gone: true,
        },
        json!({"cmd": "remove", "function": "vf1", "gone": true}),
    );
    is_written(
        Request::PokeExtra {
            function: function(),
            position: 3,
            value: 255,
        },
        json!({"cmd": "poke-extra", "function": "vf1", "position": 3, "value": 255}),
    );
}

#[test]
fn actions() {
    for (action, text) in [
        (
            Action::Status {
                status: 22,
                qualifier: 3,
            },
            json!({"status": 22, "qualifier": 3}),
        ),
        (Action::DelayMs(500), json!({"delay_ms": 500})),
        (Action::LateMs(700), json!({"late_ms": 700})),
        (Action::Silence, json!({"silence": true})),
        (Action::ResultSize(5), json!({"result_size": 5})),
        (Action::Withhold(6), json!({"written": 6})),
        (Action::ResultFill(7), json!({"result_fill": 7})),
    ] {
        let injection = Injection {
            opcode: 16,
            member: Some(1),
            nth: 2,
            count: 3,
            action,
        };
        is_written(
            Request::Inject(injection),
            json!({"cmd": "inject", "opcode": 16, "member": 1, "nth": 2, "count": 3, "action": text}),
        );
    }
}

#[test]
fn what_is_left_out_has_a_default() {
    let read = |text| from_value::<Request>(text).unwrap();
    let action = Action::Silence;
    assert_eq!(
        read(json!({"cmd": "inject", "opcode": 16, "action": {"silence": true}})),
        Request::Inject(Injection {
            opcode: 16,
            member: None,
            nth: 1,
            count: 1,
            action
        })
    );
    assert_eq!(
        read(json!({"cmd": "dma-writes", "function": "pf"})),
        Request::DmaWrites {
            function: "pf".to_owned(),
            clear: false
        }
    );
}

#[test]
fn what_is_unknown_is_refused() {
    assert!(refused(json!({"cmd": "dance"})).contains("dance"));
    assert!(refused(json!({"cmd": "ping", "louder": true})).contains("louder"));
    assert!(refused(json!({"cmd": "parts", "function": "vf1", "number": 1})).contains("number"));
    let inject = |action| json!({"cmd": "inject", "opcode": 16, "action": action});
    refused(json!({"cmd": "inject", "opcode": 16, "member_id": 1, "action": {"silence": true}}));
    refused(inject(json!({"silence": false})));
    refused(inject(json!({"status": 1})));
    refused(inject(json!({"explode": true})));
    refused(inject(json!({"delay_ms": 1, "result_fill": 2})));
    refused(inject(json!({"delay_ms": -1})));
}

#[test]
fn what_is_missing_or_no_request_is_refused() {
    for text in [
        json!(null),
        json!([]),
        json!("ping"),
        json!({}),
        json!({"cmd": 1}),
        json!({"cmd": "parts"}),
        json!({"cmd": "parts", "function": 1}),
        json!({"cmd": "dirty-bits", "enabled": "no"}),
        json!({"cmd": "inject", "opcode": 65536, "action": {"silence": true}}),
    ] {
        refused(text);
    }
}

#[test]
fn an_unknown_action_is_refused_with_those_that_there_are() {
    let request = r#"{"cmd":"inject","opcode":16,"action":{"status":5000}}"#;
    let error = serde_json::from_str::<Request>(request).unwrap_err();
    assert!(error.to_string().contains(r#""qualifier":N"#), "{error}");
}
