// SPDX-License-Identifier: GPL-2.0
//! What vfmig says of files that anybody may have written. One byte says which reader, and
//! two where the second stream begins, if there are to be two; the rest is the file.

use logic::load::TargetDevice;

use crate::bytes::Bytes;

pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 3 {
        0 => inspect(usize::from(bytes.u8()), bytes.rest()),
        1 => {
            let split = usize::from(bytes.u16());
            diff(bytes.take(split), bytes.rest());
        }
        _ => {
            if let Ok(text) = std::str::from_utf8(bytes.rest()) {
                if let Ok(page) = vfmig::readers::report(text) {
                    assert!(page.contains("<svg") && !page.contains("<script>alert"));
                }
            }
        }
    }
}

fn inspect(most: usize, stream: &[u8]) {
    let said = vfmig::readers::inspect(stream, most);
    let (json, text, sound) = said.expect("there is something to say of all bytes");
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
    assert_eq!(text.contains("FAULT"), !sound);
    let type_of_device = u16::from_le_bytes(match stream {
        [
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            a,
            b,
            ..,
        ] => [*a, *b],
        _ => [0; 2],
    });
    // What a device would take that is like the stream's and takes as much as there is.
    let loads = [0, type_of_device].iter().any(|&device_type| {
        crate::loading::load_into(
            TargetDevice {
                limit: u64::MAX,
                device_type,
                crc32c: logic::crc32c,
            },
            stream,
            || usize::MAX,
        )
        .end
        .is_ok()
    });
    assert_eq!(sound, loads, "{text}");
}

fn diff(first: &[u8], second: &[u8]) {
    let there = vfmig::readers::diff(first, second).expect("an answer");
    let back = vfmig::readers::diff(second, first).expect("an answer");
    assert_eq!(
        there.as_ref().map(|found| found.0),
        back.map(|found| found.0)
    );
    if first == second {
        assert!(there.is_none_or(|(equal, _)| equal));
    }
}
