// SPDX-License-Identifier: GPL-2.0
//! What the value of a part means.

use std::fmt::Write;

use super::features::feature_names;
use super::names::{DEVICE_STATUS, NET_CVQ_CFG, PCI_COMMON_CFG, VQ_CFG, VQ_NOTIFY_CFG};
use super::walk::Part;

/// Bytes of a value of unknown meaning that are shown.
const SHOWN: usize = 32;

const STATUS: [(u8, &str); 6] = [
    (1, "ACKNOWLEDGE"),
    (2, "DRIVER"),
    (4, "DRIVER_OK"),
    (8, "FEATURES_OK"),
    (64, "DEVICE_NEEDS_RESET"),
    (128, "FAILED"),
];

/// The value in words, or its first bytes if they have no known meaning.
pub fn meaning(part: &Part, device_type: Option<u16>) -> String {
    known(part, device_type).unwrap_or_else(|| bytes(part))
}

fn known(part: &Part, device_type: Option<u16>) -> Option<String> {
    let value = &part.preview[..];
    if !part.whole() || value.len() as u64 != part.present {
        return None;
    }
    match part.header.part_type {
        0x100 | 0x101 => Some(features(value, device_type)),
        PCI_COMMON_CFG => Some(format!("{:#x}", number(value)?)),
        DEVICE_STATUS => status(value),
        VQ_CFG => queue(value),
        VQ_NOTIFY_CFG => match value.len() {
            8 => Some(format!(
                "notify_off {} config_data {:#x}",
                number(value.get(..2)?)?,
                number(value.get(2..4)?)?
            )),
            _ => None,
        },
        NET_CVQ_CFG => setting(part.header.selector, value),
        _ => None,
    }
}

fn features(value: &[u8], device_type: Option<u16>) -> String {
    let words: Vec<u64> = value.chunks(8).filter_map(number).collect();
    match feature_names(&words, device_type).join(" ") {
        none if none.is_empty() => "none".to_owned(),
        names => names,
    }
}

fn status(value: &[u8]) -> Option<String> {
    let [status] = *value else { return None };
    let names: Vec<&str> = STATUS
        .iter()
        .filter(|(bit, _)| status & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    Some(match names.join(" ") {
        none if none.is_empty() => format!("{status:#x}"),
        names => format!("{status:#x} {names}"),
    })
}

fn queue(value: &[u8]) -> Option<String> {
    if value.len() != 32 {
        return None;
    }
    let at = |from: usize, length: usize| number(value.get(from..from + length)?);
    let vector = match at(2, 2)? {
        0xffff => "none".to_owned(),
        vector => vector.to_string(),
    };
    Some(format!(
        "size {} vector {vector} enabled {} desc {:#x} driver {:#x} device {:#x}",
        at(0, 2)?,
        at(4, 2)?,
        at(8, 8)?,
        at(16, 8)?,
        at(24, 8)?
    ))
}

fn setting(selector: [u8; 8], value: &[u8]) -> Option<String> {
    match (selector[0], selector[1]) {
        (0, _) if value.len() == 1 => Some(if value == [0] { "off" } else { "on" }.to_owned()),
        (1, 1) if value.len() == 6 => Some(address(value)),
        (2, 0) => {
            let ids: Vec<String> = value
                .chunks(2)
                .filter_map(number)
                .map(|id| id.to_string())
                .collect();
            Some(if ids.is_empty() {
                "none".to_owned()
            } else {
                ids.join(" ")
            })
        }
        (4, 0) if value.len() == 2 => number(value).map(|pairs| format!("{pairs} pairs")),
        _ => None,
    }
}

fn address(value: &[u8]) -> String {
    let octets: Vec<String> = value.iter().map(|octet| format!("{octet:02x}")).collect();
    octets.join(":")
}

/// A little-endian number of up to 8 bytes.
fn number(bytes: &[u8]) -> Option<u64> {
    let mut word = [0; 8];
    word.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(u64::from_le_bytes(word))
}

fn bytes(part: &Part) -> String {
    let shown = part.preview.get(..SHOWN).unwrap_or(&part.preview);
    let mut text = String::new();
    for byte in shown {
        let _ = write!(text, "{byte:02x}");
    }
    if shown.len() as u64 != part.present {
        text += "...";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::testing;
    use crate::stream::{Item, walk};

    fn meanings(parts: &[Vec<u8>]) -> Vec<String> {
        let mut meanings = Vec::new();
        walk(&testing::data(parts)[..], &mut |item| {
            if let Item::Part(part) = item {
                meanings.push(meaning(&part, Some(1)));
            }
            Ok(())
        })
        .unwrap();
        meanings
    }

    #[test]
    fn values_in_words() {
        assert_eq!(
            meanings(&testing::parts()),
            [
                "MAC VERSION_1",
                "MAC VERSION_1",
                "0xf ACKNOWLEDGE DRIVER DRIVER_OK FEATURES_OK",
                "size 256 vector 2 enabled 1 desc 0x0 driver 0x0 device 0x0",
                "02:76:76:70:00:01",
            ]
        );
    }

    #[test]
    fn values_of_other_lengths_are_bytes() {
        let parts = [
            testing::part(0x103, 0, &[1, 2]),
            testing::part(0x104, 0, &[1]),
            testing::part(0x5ff, 0, &[0xab; 33]),
        ];
        let expected = format!("{}...", "ab".repeat(32));
        assert_eq!(meanings(&parts), ["0102", "01", &expected]);
    }
}
