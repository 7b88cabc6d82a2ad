// SPDX-License-Identifier: GPL-2.0
//! What happened in a migration, and when: what `migrate --record` keeps and `report`
//! draws.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// What the file says that it is.
const FORMAT: &str = "vfmig-timeline";
const VERSION: u32 = 1;

/// A migration. Times are in microseconds since its beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    pub format: String,
    pub version: u32,
    pub source: End,
    pub target: End,
    /// By character device or group.
    pub access: String,
    /// Whether data was read while the source ran.
    pub pre_copy: bool,
    pub phases: Vec<Phase>,
    pub rounds: Vec<Round>,
    /// Bytes of the stream.
    pub bytes: u64,
    /// Those that were read when the source was stopped.
    pub stop_copy_bytes: u64,
    pub total_us: u64,
    /// From the request to stop the source until the target ran.
    pub stopped_us: Option<u64>,
    /// Whether the target has the state that was sent, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The source or the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub function: String,
    pub driver: Option<String>,
}

/// Something that took time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    pub name: String,
    pub side: Side,
    pub start_us: u64,
    pub end_us: u64,
}

/// Whose device did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Source,
    Target,
    /// Data went from one to the other.
    Both,
}

impl Side {
    /// A phase, and whose it is.
    pub fn phase(self, name: &str) -> String {
        match self {
            Side::Source => format!("source {name}"),
            Side::Target => format!("target {name}"),
            Side::Both => name.to_owned(),
        }
    }
}

/// A round of pre-copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    pub start_us: u64,
    pub end_us: u64,
    /// What was left before it, by the driver's word.
    pub initial_bytes: u64,
    pub dirty_bytes: u64,
    /// The driver began anew.
    pub reinit: bool,
    /// What was read.
    pub bytes: u64,
    /// Pages that the device wrote since the round before, if they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty_pages: Option<u64>,
}

impl Timeline {
    /// One that begins.
    pub fn new(source: End, target: End, access: String, pre_copy: bool) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            source,
            target,
            access,
            pre_copy,
            phases: Vec::new(),
            rounds: Vec::new(),
            bytes: 0,
            stop_copy_bytes: 0,
            total_us: 0,
            stopped_us: None,
            verified: None,
            failure: None,
        }
    }

    /// The one that `text` has.
    pub fn parse(text: &str) -> Result<Self> {
        let timeline: Self =
            serde_json::from_str(text).context("no timeline of vfmig migrate --record")?;
        if (timeline.format.as_str(), timeline.version) != (FORMAT, VERSION) {
            bail!(
                "{} of version {}, and this program knows {FORMAT} of version {VERSION}",
                timeline.format,
                timeline.version
            );
        }
        Ok(timeline)
    }
}

/// Counts microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// At zero.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// What it shows.
    pub fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A migration with pre-copy.
    pub fn timeline() -> Timeline {
        let end = |function: &str| End {
            function: function.to_owned(),
            driver: Some("virtio_vfio_pci_rs".to_owned()),
        };
        let phase = |name: &str, side, start_us, end_us| Phase {
            name: name.to_owned(),
            side,
            start_us,
            end_us,
        };
        let round = |start_us, bytes, dirty_pages| Round {
            start_us,
            end_us: start_us + 900,
            initial_bytes: 0,
            dirty_bytes: bytes,
            reinit: false,
            bytes,
            dirty_pages,
        };
        Timeline {
            phases: vec![
                phase("RESUMING", Side::Target, 0, 300),
                phase("PRE_COPY", Side::Source, 300, 900),
                phase("pre-copy", Side::Both, 900, 90_000),
                phase("STOP_COPY", Side::Source, 90_000, 91_000),
                phase("RUNNING", Side::Target, 92_000, 94_000),
            ],
            rounds: vec![
                round(1000, 578, Some(64)),
                round(2000, 96, Some(3)),
                round(3000, 0, Some(0)),
            ],
            bytes: 706,
            stop_copy_bytes: 32,
            total_us: 95_000,
            stopped_us: Some(4000),
            ..Timeline::new(
                end("0000:01:00.1"),
                end("0000:01:00.2"),
                "cdev".into(),
                true,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let timeline = testing::timeline();
        let text = serde_json::to_string(&timeline).unwrap();
        assert_eq!(Timeline::parse(&text).unwrap(), timeline);
    }

    #[test]
    fn other_files_are_refused() {
        assert!(Timeline::parse("{}").is_err());
        let other = Timeline {
            version: 2,
            ..testing::timeline()
        };
        let text = serde_json::to_string(&other).unwrap();
        let error = Timeline::parse(&text).unwrap_err();
        assert!(error.to_string().contains("of version 2"));
    }
}
