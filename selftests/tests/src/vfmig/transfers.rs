// SPDX-License-Identifier: GPL-2.0
//! Saving, restoring and migrating, with both drivers and by both ways.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result};
use vvp_harness::ktap::Suite;
use vvp_harness::vfio::Access::{self, Cdev, Group};
use vvp_harness::{expect, expect_eq};

use super::program::{directory, run, text};
use super::{LIMIT, state};
use crate::config::Driver::{C, Rs};
use crate::config::{Config, DeviceType, Driver};
use crate::rig;
use crate::work::Work;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let cases = [
        (Rs, Rs, Cdev),
        (Rs, Rs, Group),
        (Rs, C, Cdev),
        (C, Rs, Cdev),
        (C, C, Cdev),
    ];
    for (from, to, access) in cases {
        type Test = fn(&Config, Driver, Driver, Access) -> Result<()>;
        let tests: [(&str, Test); 3] = [
            ("file", by_file),
            ("migrate", migrate),
            ("state_in_use", state_in_use),
        ];
        for (name, test) in tests {
            let own = Arc::clone(config);
            let variant = format!("{from}_to_{to}_{access}");
            suite.add_slow("vfmig", variant, name, LIMIT, move || {
                test(&own, from, to, access)
            });
        }
    }
    for access in [Cdev, Group] {
        let own = Arc::clone(config);
        suite.add_slow(
            "vfmig",
            format!("rs_{access}"),
            "dirty_pages",
            LIMIT,
            move || dirty_pages(&own, access),
        );
    }
}

/// Saved to files, with and without pre-copy, and loaded from them.
fn by_file(config: &Config, from: Driver, to: Driver, access: Access) -> Result<()> {
    let (source, target) = (config.vf()?, config.vf2()?);
    config.bind(&source, from)?;
    config.bind(&target, to)?;
    let directory = directory()?;
    let files = directory.path();
    let access = access.to_string();
    let (from, to) = (source.address().to_string(), target.address().to_string());
    let mut saved = Vec::new();
    for (name, more) in [("stopped", None), ("pre-copied", Some("--pre-copy"))] {
        let file = files.join(name);
        let file = text(&file)?.to_owned();
        let mut arguments = vec!["save", &from, &file, "--access", &access];
        arguments.extend(more);
        run(&arguments)?.expect(0)?.note();
        // The file that is there now is replaced.
        arguments.push("--json");
        let told = run(&arguments)?.expect(0)?.json()?;
        let length = fs::metadata(&file).context("the file")?.len();
        expect_eq!(told["bytes"], length, "bytes of {name}");
        expect!(length > 0, "{name} is empty");
        expect_eq!(state(&from)?, "RUNNING", "the source");
        run(&["inspect", &file])?.expect(0)?.note();
        let arguments = [
            "restore", &to, &file, "--access", &access, "--verify", "--json",
        ];
        let told = run(&arguments)?.expect(0)?.json()?;
        expect_eq!(told["verified"], true, "{name} verified");
        saved.push(file);
    }
    // Nothing happened to the function between the two.
    run(&["diff", &saved[0], &saved[1]])?.expect(0)?;
    let left = fs::read_dir(files).context("the files")?.count();
    expect_eq!(left, 2, "files");
    Ok(())
}

/// From one to the other, and a page about it.
fn migrate(config: &Config, from: Driver, to: Driver, access: Access) -> Result<()> {
    let (source, target) = (config.vf()?, config.vf2()?);
    config.bind(&source, from)?;
    config.bind(&target, to)?;
    let directory = directory()?;
    let files = directory.path();
    let (record, page) = (files.join("timeline.json"), files.join("page.html"));
    let access = access.to_string();
    let (from, to) = (source.address().to_string(), target.address().to_string());
    let arguments = [
        "migrate",
        &from,
        &to,
        "--access",
        &access,
        "--verify",
        "--record",
        text(&record)?,
    ];
    run(&arguments)?.expect(0)?.note();
    let timeline = fs::read_to_string(&record).context("the timeline")?;
    let timeline: serde_json::Value = serde_json::from_str(&timeline).context("the timeline")?;
    expect_eq!(timeline["verified"], true, "verified");
    expect_eq!(timeline["pre_copy"], true, "pre-copy");
    let rounds = timeline["rounds"].as_array().map_or(0, Vec::len);
    expect!(rounds >= 2, "{rounds} rounds");
    expect!(timeline["bytes"].as_u64() > Some(0), "bytes of the stream");
    run(&["report", text(&record)?, "-o", text(&page)?])?.expect(0)?;
    let page = fs::read_to_string(page).context("the page")?;
    expect!(page.contains("<svg"), "no picture");

    let arguments = [
        "migrate",
        &from,
        &to,
        "--access",
        &access,
        "--no-pre-copy",
        "--verify",
        "--json",
    ];
    let timeline = run(&arguments)?.expect(0)?.json()?;
    expect_eq!(timeline["verified"], true, "verified without pre-copy");
    expect_eq!(
        timeline["rounds"],
        serde_json::json!([]),
        "rounds without pre-copy"
    );
    expect_eq!(state(&from)?, "RUNNING", "the source, opened anew");
    expect_eq!(state(&to)?, "RUNNING", "the target, opened anew");
    Ok(())
}

/// The state of a function that a driver uses, which this test saves.
fn state_in_use(config: &Config, from: Driver, to: Driver, access: Access) -> Result<()> {
    let (source, target) = (config.vf()?, config.vf2()?);
    let directory = directory()?;
    let files = directory.path();
    let (used, fresh) = (files.join("used"), files.join("fresh"));
    {
        let device = rig::open(config, &source, from, access)?;
        Work::start(config, &source, &device)?.exchange(2)?;
        fs::write(&used, rig::save(&device)?).context("writing the stream")?;
    }
    config.bind(&target, to)?;
    let access = access.to_string();
    let to = target.address().to_string();
    let (used, fresh) = (text(&used)?, text(&fresh)?);
    let inspected = run(&["inspect", used])?.expect(0)?;
    inspected.note();
    let address = (config.device == DeviceType::Net).then_some("02:76:76:70:00:01");
    for words in ["DRIVER_OK", "queue 0"].into_iter().chain(address) {
        expect!(inspected.out.contains(words), "'{words}' is not told");
    }
    let arguments = ["restore", &to, used, "--access", &access, "--verify"];
    run(&arguments)?.expect(0)?.note();
    // Closed, it is new again.
    run(&["save", &to, fresh, "--access", &access])?.expect(0)?;
    let differences = run(&["diff", used, fresh])?.expect(3)?;
    differences.note();
    expect!(
        differences.out.contains("DEVICE_STATUS"),
        "the status is the same"
    );
    Ok(())
}

/// Pages are counted, by whoever can: nobody writes any, or all may have been written.
fn dirty_pages(config: &Config, access: Access) -> Result<()> {
    let (source, target) = (config.vf()?, config.vf2()?);
    config.bind(&source, Rs)?;
    config.bind(&target, Rs)?;
    let access_name = access.to_string();
    let (from, to) = (source.address().to_string(), target.address().to_string());
    let arguments = [
        "migrate",
        &from,
        &to,
        "--access",
        &access_name,
        "--track",
        "4",
        "--json",
    ];
    let timeline = run(&arguments)?.expect(0)?.json()?;
    let expected = match access {
        Cdev => 0,
        Group => 1024,
    };
    let rounds = timeline["rounds"].as_array();
    for round in rounds.into_iter().flatten() {
        expect_eq!(round["dirty_pages"], expected, "dirty pages");
    }
    Ok(())
}
