// SPDX-License-Identifier: GPL-2.0
//! `vfmig diff`: which device parts two streams leave different.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::cli;
use crate::exit::{Exit, Failure};
use crate::file;
use crate::output::{self, hex};
use crate::stream::{self, Contents, Difference, Kind, Part};

/// How two streams compare.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Device parts, or bytes if a stream is of another kind.
    compared: &'static str,
    /// Whether they come to the same.
    pub equal: bool,
    differences: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(rename = "type")]
    kind: u16,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<String>,
    selector_bytes: String,
    how: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    second: Option<Value>,
}

#[derive(Debug, Serialize)]
struct Value {
    length: u32,
    meaning: String,
    sha256: String,
}

/// Runs the command.
pub fn run(arguments: &cli::Diff, json: bool) -> Result<Exit> {
    let first = contents(&arguments.first)?;
    let second = contents(&arguments.second)?;
    let comparison = compare(&first, &second);
    if json {
        output::json(&comparison)?;
    } else {
        output::text(&comparison.text())?;
    }
    Ok(if comparison.equal { Exit::Ok } else { Exit::No })
}

fn contents(path: &Path) -> Result<Contents> {
    match Contents::of(file::open(path)?)? {
        Contents::Faulty(fault) => Err(Failure::new(
            Exit::Failed,
            format!(
                "{}: {} at offset {}: save it again, or see vfmig inspect",
                path.display(),
                fault.reason,
                fault.offset
            ),
        )
        .into()),
        contents => Ok(contents),
    }
}

/// Compares what two streams come to; neither is faulty.
pub fn compare(first: &Contents, second: &Contents) -> Comparison {
    match (first, second) {
        (
            Contents::Parts { device_type, parts },
            Contents::Parts {
                device_type: other_type,
                parts: others,
            },
        ) => {
            let device_type = device_type.or(*other_type);
            let differences = Difference::between(parts, others);
            Comparison {
                compared: "device parts",
                equal: differences.is_empty(),
                differences: differences
                    .iter()
                    .map(|difference| shown(difference, device_type))
                    .collect(),
            }
        }
        (
            Contents::Opaque { bytes, digest },
            Contents::Opaque {
                bytes: others,
                digest: other,
            },
        ) => Comparison {
            compared: "bytes",
            equal: (bytes, digest) == (others, other),
            differences: Vec::new(),
        },
        _ => Comparison {
            compared: "kind of stream",
            equal: false,
            differences: Vec::new(),
        },
    }
}

fn shown(difference: &Difference<'_>, device_type: Option<u16>) -> Shown {
    let (kind, selector) = difference.key;
    let value = |part: Option<&Part>| {
        part.map(|part| Value {
            length: part.header.length,
            meaning: stream::meaning(part, device_type),
            sha256: hex(&part.digest),
        })
    };
    Shown {
        kind,
        name: stream::part_name(kind),
        selector: stream::selector(kind, &selector),
        selector_bytes: hex(&selector),
        how: difference.kind,
        first_byte: difference.first_byte(),
        first: value(difference.first),
        second: value(difference.second),
    }
}

impl Comparison {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for shown in &self.differences {
            let selector = shown.selector.as_deref().unwrap_or_default();
            let _ = writeln!(text, "{}", format!("{} {selector}", shown.name).trim_end());
            for (sign, value) in [('-', &shown.first), ('+', &shown.second)] {
                if let Some(value) = value {
                    let _ = writeln!(text, "  {sign} {} bytes  {}", value.length, value.meaning);
                }
            }
        }
        let _ = match (self.equal, self.compared) {
            (true, what) => writeln!(text, "equal ({what} compared)"),
            (false, "device parts") => match self.differences.len() {
                1 => writeln!(text, "1 device part differs"),
                number => writeln!(text, "{number} device parts differ"),
            },
            (false, what) => writeln!(text, "different {what}"),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::stream::testing::{data, part, stream};

    #[test]
    fn text_names_what_differs() {
        let of = |status| {
            let stream = data(&[part(0x103, 0, &[status]), part(0x104, 2, &[0; 32])]);
            Contents::of(Cursor::new(stream)).unwrap()
        };
        let comparison = compare(&of(0), &of(15));
        assert!(!comparison.equal);
        assert_eq!(
            comparison.text(),
            "DEVICE_STATUS\n  - 1 bytes  0x0\n  + 1 bytes  0xf ACKNOWLEDGE DRIVER DRIVER_OK FEATURES_OK\n1 device part differs\n"
        );
        assert!(compare(&of(1), &of(1)).equal);
    }

    #[test]
    fn other_kinds() {
        let of = |bytes: &[u8]| Contents::of(Cursor::new(bytes.to_vec())).unwrap();
        assert!(compare(&of(b"EDU1abcdefghijkl"), &of(b"EDU1abcdefghijkl")).equal);
        assert!(!compare(&of(b"EDU1abcdefghijkl"), &of(b"EDU1")).equal);
        let comparison = compare(&of(b"EDU1"), &of(&stream()));
        assert_eq!(comparison.text(), "different kind of stream\n");
    }
}
