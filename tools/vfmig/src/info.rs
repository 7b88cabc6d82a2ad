// SPDX-License-Identifier: GPL-2.0
//! `vfmig info`: all that is known of a function.

use anyhow::Result;
use serde::Serialize;
use vvp_harness::debugfs::Files;

use crate::access::{self, Opened};
use crate::cli;
use crate::exit::Exit;
use crate::facts::Facts;
use crate::output;

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    facts: Facts,
    /// Where VFIO's user finds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cdev: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// What `virtio_vfio_pci_rs` noted last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opened: Option<Answers>,
}

/// What the open device answers.
#[derive(Debug, Serialize)]
struct Answers {
    access: String,
    /// Empty: it cannot be migrated.
    migration: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// Estimated bytes of a stream from the stopped device.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_size: Option<u64>,
    dma_logging: bool,
    /// Not known with a type1 container.
    #[serde(skip_serializing_if = "Option::is_none")]
    iommu_dirty_tracking: Option<bool>,
}

/// Runs the command.
pub fn run(arguments: &cli::Info, json: bool) -> Result<Exit> {
    let function = access::find(&arguments.function)?;
    let opened = if arguments.open {
        let opened = Opened::open(&arguments.function, arguments.opening)?;
        Some(answers(&opened))
    } else {
        None
    };
    let facts = Facts::of(&function);
    let path = |path: Result<std::path::PathBuf>| {
        let path = path.ok().filter(|path| path.exists());
        path.map(|path| path.display().to_string())
    };
    let report = Report {
        cdev: path(function.vfio_cdev()),
        group: path(function.vfio_group()),
        last_error: Files::of(&function).last_error().ok(),
        facts,
        opened,
    };
    if json {
        output::json(&report)?;
    } else {
        output::text(&report.text())?;
    }
    Ok(Exit::Ok)
}

fn answers(opened: &Opened) -> Answers {
    let device = &opened.device;
    let flags = device.migration_flags().ok();
    Answers {
        access: opened.access.to_string(),
        migration: flags.map(|flags| flags.names()).unwrap_or_default(),
        state: device.state().ok().map(|state| state.to_string()),
        data_size: device.data_size().ok(),
        dma_logging: device.has_dma_log().unwrap_or(false),
        iommu_dirty_tracking: device.iommu_tracks_dirty().ok(),
    }
}

impl Report {
    fn text(&self) -> String {
        let facts = &self.facts;
        let mut rows: Vec<(&str, String)> = vec![
            ("function", facts.function.clone()),
            (
                "kind",
                format!("{} ({}:{})", facts.kind, facts.vendor, facts.device),
            ),
        ];
        let mut row = |name, value: Option<String>| {
            if let Some(value) = value {
                rows.push((name, value));
            }
        };
        row("physical function", facts.physical_function.clone());
        row("number", facts.vf_number.map(|number| number.to_string()));
        row(
            "driver",
            Some(facts.driver.clone().unwrap_or_else(|| "none".to_owned())),
        );
        row("driver_override", facts.driver_override.clone());
        row(
            "IOMMU group",
            Some(
                facts
                    .iommu_group
                    .map_or_else(|| "none".to_owned(), |group| group.to_string()),
            ),
        );
        row("interfaces", list(&facts.interfaces));
        row("disks", list(&facts.disks));
        row("character device", self.cdev.clone());
        row("group", self.group.clone());
        if facts.vfio {
            row("migration", Some(facts.migration.features()));
            row("state", Some(facts.migration.state().to_owned()));
        }
        row("last error", self.last_error.clone());
        if let Some(opened) = &self.opened {
            row("opened by", Some(opened.access.clone()));
            let can = if opened.migration.is_empty() {
                "none".to_owned()
            } else {
                opened.migration.join(",")
            };
            row("answers: migration", Some(can));
            row("answers: state", opened.state.clone());
            row(
                "answers: stream size",
                opened.data_size.map(|size| format!("{size} bytes")),
            );
            row("answers: DMA logging", Some(yes(opened.dma_logging)));
            row(
                "answers: IOMMU dirty tracking",
                opened.iommu_dirty_tracking.map(yes),
            );
        }
        output::pairs(&rows)
    }
}

fn list(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(" "))
}

fn yes(answer: bool) -> String {
    if answer { "yes" } else { "no" }.to_owned()
}
