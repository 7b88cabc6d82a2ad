// SPDX-License-Identifier: GPL-2.0
//! The same on the sample driver's devices, which are not virtio, and whose streams
//! nobody but their driver knows.

use std::fs;

use anyhow::Result;
use vvp_harness::ktap::Suite;
use vvp_harness::{expect_eq, kmod, skip};

use super::LIMIT;
use super::program::{directory, run, text};
use crate::edu;

/// Adds the tests.
pub fn add(suite: &mut Suite) {
    suite.add_slow("vfmig", "edu_cdev", "transfers", LIMIT, || {
        transfers("cdev")
    });
    suite.add_slow("vfmig", "edu_group", "transfers", LIMIT, || {
        transfers("group")
    });
}

fn transfers(access: &str) -> Result<()> {
    let found = edu::devices()?;
    let [source, target] = &found[..] else {
        skip!("this machine has {} edu devices", found.len());
    };
    kmod::load(kmod::SAMPLE, "")?;
    let (from, to) = (source.address().to_string(), target.address().to_string());
    for address in [&from, &to] {
        run(&["bind", address, "--driver", kmod::SAMPLE])?.expect(0)?;
    }
    run(&["list"])?.expect(0)?.note();
    let directory = directory()?;
    let files = directory.path();
    let (first, second) = (files.join("first"), files.join("second"));
    let (first, second) = (text(&first)?, text(&second)?);
    run(&["save", &from, first, "--access", access])?.expect(0)?;
    run(&["save", &to, second, "--access", access, "--pre-copy"])?.expect(0)?;
    // Both devices are new.
    let same = run(&["diff", first, second])?.expect(0)?;
    expect_eq!(same.out, "equal (bytes compared)\n", "what is told");
    run(&["restore", &to, first, "--access", access, "--verify"])?.expect(0)?;

    // The first register, which the device can read again.
    let mut stream = fs::read(first)?;
    stream[4] ^= 0x55;
    fs::write(second, &stream)?;
    run(&["restore", &to, second, "--access", access, "--verify"])?.expect(0)?;
    run(&["diff", first, second])?.expect(3)?;

    for more in [None, Some("--no-pre-copy")] {
        let mut arguments = vec!["migrate", &from, &to, "--access", access, "--verify"];
        arguments.extend(more);
        run(&arguments)?.expect(0)?.note();
    }
    // No stream of theirs, and refused by the driver: the source need not care.
    fs::write(second, b"not a stream of this device at all")?;
    let refused = run(&["restore", &to, second, "--access", access])?.expect(1)?;
    refused.expect_error("restoring")?;
    run(&["restore", &to, first, "--access", access])?.expect(0)?;
    Ok(())
}
