// SPDX-License-Identifier: GPL-2.0
//! `vfmig inspect`: what a stream consists of.

use std::fmt::Write;
use std::io::{self, Read};

use anyhow::Result;
use logic::record::FLAG_OPTIONAL;
use serde::Serialize;

use crate::cli;
use crate::exit::Exit;
use crate::file;
use crate::output::{self, hex};
use crate::stream::{self, Fault, Item, Part};

#[derive(Debug, Serialize)]
struct Report {
    file: String,
    bytes: u64,
    records: Vec<Record>,
    /// Records beyond those that are listed.
    records_left_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<Fault>,
}

#[derive(Debug, Serialize)]
struct Record {
    offset: u64,
    size: u64,
    flags: u32,
    tag: u32,
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Identity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<End>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Shown>,
    /// Parts beyond those that are listed.
    #[serde(skip_serializing_if = "is_zero")]
    parts_left_out: u64,
}

/// What a data record is from.
#[derive(Debug, Serialize)]
struct Identity {
    device_type: String,
    parts: u32,
    features: Vec<String>,
    /// The end of the stream has a checksum.
    checksum: bool,
}

#[derive(Debug, Serialize)]
struct End {
    records: u64,
    crc32c: String,
}

#[derive(Debug, Serialize)]
struct Shown {
    offset: u64,
    #[serde(rename = "type")]
    kind: u16,
    name: String,
    optional: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<String>,
    selector_bytes: String,
    length: u32,
    /// Bytes of the value that are there.
    present: u64,
    meaning: String,
    sha256: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Runs the command.
pub fn run(arguments: &cli::Inspect, json: bool) -> Result<Exit> {
    let input: Box<dyn Read> = if file::is_standard(&arguments.file) {
        Box::new(io::stdin())
    } else {
        Box::new(file::open(&arguments.file)?)
    };
    let report = inspect(
        input,
        &arguments.file.display().to_string(),
        arguments.parts,
    )?;
    if json {
        output::json(&report)?;
    } else {
        output::text(&report.text())?;
    }
    Ok(match &report.fault {
        None => Exit::Ok,
        Some(_) => Exit::No,
    })
}

/// What it says of a stream, as JSON and as text; and whether the stream is sound.
pub fn describe(input: impl Read, most: usize) -> Result<(String, String, bool)> {
    let report = inspect(input, "stream", most)?;
    let sound = report.fault.is_none();
    Ok((serde_json::to_string(&report)?, report.text(), sound))
}

fn inspect(input: impl Read, name: &str, most: usize) -> Result<Report> {
    let mut records: Vec<Record> = Vec::new();
    let (mut left_out, mut listed) = (0, 0);
    let mut device_type = None;
    let walked = stream::walk(input, &mut |item| {
        let full = records.len() > most;
        match (item, records.last_mut()) {
            // Parts and records come out of the same purse: neither fills all memory.
            (Item::Record { .. }, _) if full => left_out += 1,
            (Item::Record { offset, header, .. }, _) => records.push(Record {
                offset,
                size: header.size,
                flags: header.flags,
                tag: header.tag,
                name: stream::record_name(header.tag),
                identity: None,
                end: None,
                parts: Vec::new(),
                parts_left_out: 0,
            }),
            (_, _) if left_out > 0 => {}
            (Item::Identity(Some(identity)), Some(record)) => {
                device_type = Some(identity.device_type);
                record.identity = Some(Identity {
                    device_type: stream::device_type(identity.device_type),
                    parts: identity.parts,
                    features: stream::feature_names(identity.features.words(), device_type),
                    checksum: identity.checksum,
                });
            }
            (Item::End(end), Some(record)) => {
                record.end = Some(End {
                    records: end.records,
                    crc32c: format!("{:#010x}", end.checksum),
                });
            }
            (Item::Part(part), Some(record)) => {
                if listed < most {
                    record.parts.push(shown(&part, device_type));
                    listed += 1;
                } else {
                    record.parts_left_out += 1;
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(Report {
        file: name.to_owned(),
        bytes: walked.bytes,
        records,
        records_left_out: left_out,
        fault: walked.fault,
    })
}

fn shown(part: &Part, device_type: Option<u16>) -> Shown {
    let header = &part.header;
    Shown {
        offset: part.offset,
        kind: header.part_type,
        name: stream::part_name(header.part_type),
        optional: header.flags & 1 != 0,
        selector: stream::selector(header.part_type, &header.selector),
        selector_bytes: hex(&header.selector),
        length: header.length,
        present: part.present,
        meaning: stream::meaning(part, device_type),
        sha256: hex(&part.digest),
    }
}

impl Report {
    fn text(&self) -> String {
        let mut text = String::new();
        for (number, record) in self.records.iter().enumerate() {
            record.write(number, &mut text);
        }
        if self.records_left_out > 0 {
            let _ = writeln!(text, "and {} more records", self.records_left_out);
        }
        let records = self.records.len() as u64 + self.records_left_out;
        let _ = match &self.fault {
            None => {
                let word = if records == 1 { "record" } else { "records" };
                writeln!(text, "{} bytes in {records} {word}, sound", self.bytes)
            }
            Some(fault) => writeln!(
                text,
                "FAULT at offset {} in record {}: {}",
                fault.offset, fault.record, fault.reason
            ),
        };
        text
    }
}

impl Record {
    fn write(&self, number: usize, text: &mut String) {
        let optional = match self.flags {
            0 => String::new(),
            FLAG_OPTIONAL => ", optional".to_owned(),
            flags => format!(", flags {flags:#x}"),
        };
        let tag = match self.name {
            "unknown" => format!(" (tag {:#x})", self.tag),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "record {number} at {}: {}{tag}, {} bytes{optional}",
            self.offset, self.name, self.size
        );
        if let Some(identity) = &self.identity {
            let _ = writeln!(
                text,
                "  {} device, {} parts follow, {}features {}",
                identity.device_type,
                identity.parts,
                if identity.checksum {
                    ""
                } else {
                    "no checksum, "
                },
                if identity.features.is_empty() {
                    "none".to_owned()
                } else {
                    identity.features.join(" ")
                }
            );
        }
        if let Some(end) = &self.end {
            let _ = writeln!(
                text,
                "  after {} records, crc32c {}",
                end.records, end.crc32c
            );
        }
        let rows: Vec<Vec<String>> = self.parts.iter().map(Shown::row).collect();
        text.push_str(&output::table(&rows));
        if self.parts_left_out > 0 {
            let _ = writeln!(text, "  and {} more parts", self.parts_left_out);
        }
    }
}

impl Shown {
    fn row(&self) -> Vec<String> {
        let cut = if self.present < u64::from(self.length) {
            format!(" ({} are there)", self.present)
        } else {
            String::new()
        };
        vec![
            format!("  {}", self.name),
            self.selector.clone().unwrap_or_default(),
            format!("{} bytes{cut}", self.length),
            self.meaning.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::testing;

    #[test]
    fn text_of_a_stream() {
        let stream = testing::stream();
        let text = inspect(&stream[..], "x", 1000).unwrap().text();
        assert!(text.starts_with("record 0 at 0: identity, 24 bytes, optional\n  network device, 5 parts follow, features MAC VERSION_1\n"), "{text}");
        assert!(
            text.contains("VQ_CFG         queue 1       32 bytes  size 256"),
            "{text}"
        );
        assert!(text.ends_with("bytes in 3 records, sound\n"), "{text}");
    }

    #[test]
    fn lists_have_an_end() {
        let records: Vec<_> = (0..50).map(|_| testing::data(&testing::parts())).collect();
        let report = inspect(&records.concat()[..], "x", 7).unwrap();
        assert_eq!((report.records.len(), report.records_left_out), (8, 42));
        let parts: usize = report.records.iter().map(|record| record.parts.len()).sum();
        assert_eq!(parts, 7);
        assert_eq!(report.records[1].parts_left_out, 3);
        assert!(report.text().contains("and 42 more records"));
    }
}
