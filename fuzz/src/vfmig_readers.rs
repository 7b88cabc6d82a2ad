// SPDX-License-Identifier: GPL-2.0
//! What vfmig says of files that anybody may have written. One byte says which reader, and
//! two where the second stream begins, if there are to be two; the rest is the file.

use logic::identity::Identity;
use logic::load::TargetDevice;
use logic::record::{FLAG_OPTIONAL, HEADER_LEN, Header, TAG_IDENTITY};

use crate::bytes::Bytes;
use crate::loading::load_into;

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
                    assert!(page.starts_with("<!DOCTYPE html>") && !page.contains("<script>"));
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
    // A device like the stream's, that takes as much as there is.
    let target = TargetDevice {
        limit: u64::MAX,
        device_type: device_type(stream).unwrap_or(0),
        crc32c: logic::crc32c,
    };
    let loaded = load_into(target, stream, || usize::MAX);
    assert_eq!(sound, loaded.end.is_ok(), "{text}");
}

/// What the identity says that a stream begins with.
fn device_type(stream: &[u8]) -> Option<u16> {
    let (header, content) = stream.split_first_chunk::<HEADER_LEN>()?;
    let header = Header::decode(header);
    let content = content.get(..usize::try_from(header.size).ok()?)?;
    let is_identity = (header.tag, header.flags) == (TAG_IDENTITY, FLAG_OPTIONAL);
    let identity = Identity::decode(content).ok()?.filter(|_| is_identity)?;
    Some(identity.device_type)
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
