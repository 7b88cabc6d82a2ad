// SPDX-License-Identifier: GPL-2.0
//! Module parameter `dma_logging`, and the attribute of each device that begins
//! with its value.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::errno::Errno;
use vvp_harness::ktap::Suite;
use vvp_harness::{expect, expect_eq, kmod, skip};

use super::rig::{Backing, IOVA, Logged, PAGE_SIZE, pages};
use super::{LIMIT, another_build};
use crate::config::{Config, Driver};
use crate::dma_logging::{dirty_bits_are_lost, require_dirty_bits};

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let own = Arc::clone(config);
    suite.add_slow("dma_log", "rs_parameter", "values", LIMIT, move || {
        let result = values(&own);
        // The tests after this one want the default.
        reload(&own, "")?;
        result
    });
    let own = Arc::clone(config);
    suite.add_slow(
        "dma_log",
        "rs_another_build",
        "not_read",
        LIMIT,
        move || {
            let result = another_build::not_read(&own);
            reload(&own, "")?;
            result
        },
    );
    let own = Arc::clone(config);
    suite.add_slow("dma_log", "rs_attribute", "values", LIMIT, move || {
        attribute(&own)
    });
    let own = Arc::clone(config);
    suite.add_slow(
        "dma_log",
        "rs_attribute",
        "next_opening",
        LIMIT,
        move || next_opening(&own),
    );
}

/// Unloads our module and loads it with `parameters`.
fn reload(config: &Config, parameters: &str) -> Result<()> {
    unload(config)?;
    kmod::load(&config.module_name(Driver::Rs), parameters)
}

/// Unloads our module, if it is loaded.
pub fn unload(config: &Config) -> Result<()> {
    for function in [config.vf(), config.vf2()].into_iter().flatten() {
        function.unbind()?;
    }
    let name = config.module_name(Driver::Rs);
    if kmod::loaded(&name) {
        kmod::unload(&name).context("unloading")?;
    }
    Ok(())
}

fn shown(config: &Config) -> Result<String> {
    let path = format!(
        "/sys/module/{}/parameters/dma_logging",
        config.module_name(Driver::Rs)
    );
    Ok(fs::read_to_string(path)
        .context("the parameter in sysfs")?
        .trim()
        .to_owned())
}

/// What the device under test has set.
fn set_to(config: &Config) -> Result<String> {
    let path = config.vf()?.path().join("dma_logging");
    Ok(fs::read_to_string(path)
        .context("the device's attribute")?
        .trim()
        .to_owned())
}

/// What a user gets for a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    /// No DMA logging.
    None,
    /// START fails, for want of dirty bits.
    Refused,
    /// All pages.
    Everything,
    /// The pages that were written.
    Exact,
}

const SETTINGS: [(&str, [(Backing, Log); 4]); 4] = [
    (
        "auto",
        [
            (Backing::Tracked, Log::None),
            (Backing::Automatic, Log::None),
            (Backing::Container, Log::Everything),
            (Backing::Emulated, Log::Everything),
        ],
    ),
    (
        "iommu",
        [
            (Backing::Tracked, Log::Exact),
            (Backing::Automatic, Log::Refused),
            (Backing::Container, Log::None),
            (Backing::Emulated, Log::None),
        ],
    ),
    (
        "conservative",
        [
            (Backing::Tracked, Log::Everything),
            (Backing::Automatic, Log::Everything),
            (Backing::Container, Log::Everything),
            (Backing::Emulated, Log::Everything),
        ],
    ),
    (
        "off",
        [
            (Backing::Tracked, Log::None),
            (Backing::Automatic, Log::None),
            (Backing::Container, Log::None),
            (Backing::Emulated, Log::None),
        ],
    ),
];

/// What there is with `value` on this kernel, where others have `elsewhere`.
fn here(value: &str, elsewhere: Log) -> Result<Log> {
    Ok(match (value, elsewhere) {
        (_, elsewhere) if !dirty_bits_are_lost()? => elsewhere,
        ("auto", Log::None) => Log::Everything,
        (_, Log::Exact | Log::Refused) => Log::None,
        (_, elsewhere) => elsewhere,
    })
}

/// Uses the log of an open device as far as there is one.
fn probe(log: &mut Logged) -> Result<Log> {
    let offered = log.device.has_dma_log()?;
    let range = log.map(IOVA, 8)?;
    let started = log.device.start_dma_log(PAGE_SIZE, &[range]);
    if !offered {
        expect_eq!(started, Err(Errno::ENOTTY), "START of what is not offered");
        return Ok(Log::None);
    }
    if started == Err(Errno::EOPNOTSUPP) {
        return Ok(Log::Refused);
    }
    expect_eq!(started, Ok(PAGE_SIZE), "START");
    log.write(IOVA)?;
    let found = log.report(range)?;
    log.device.stop_dma_log().context("STOP")?;
    Ok(if found == pages(range) {
        Log::Everything
    } else {
        expect_eq!(found, [IOVA].into(), "pages reported");
        Log::Exact
    })
}

fn values(config: &Config) -> Result<()> {
    if kmod::source(&config.module_name(Driver::Rs)).is_none() {
        skip!("no module file was given (VVP_MODULE)");
    }
    config.load(Driver::Rs)?;
    reload(config, "")?;
    expect_eq!(shown(config)?, "auto", "the default");
    for (value, cases) in SETTINGS {
        reload(config, &format!("dma_logging={value}"))?;
        expect_eq!(shown(config)?, value, "the parameter");
        for (backing, expected) in cases {
            let mut log = Logged::open_as(config, backing, None)?;
            expect_eq!(set_to(config)?, value, "the attribute of a new device");
            expect_eq!(
                probe(&mut log)?,
                here(value, expected)?,
                "{value}, {backing}"
            );
        }
    }
    expect!(
        reload(config, "dma_logging=perhaps").is_err(),
        "loaded with a value that there is not"
    );
    Ok(())
}

fn attribute(config: &Config) -> Result<()> {
    let vf = config.vf()?;
    config.bind(&vf, Driver::Rs)?;
    for (value, cases) in SETTINGS {
        for (backing, expected) in cases {
            let mut log = Logged::open_as(config, backing, Some(value))?;
            expect_eq!(set_to(config)?, value, "the attribute");
            expect_eq!(
                probe(&mut log)?,
                here(value, expected)?,
                "{value}, {backing}"
            );
        }
    }
    for bad in ["", "perhaps", "Auto", "autos", "aut", "0"] {
        let error = fs::write(vf.path().join("dma_logging"), bad).map_err(|error| error.kind());
        // Nothing at all is no write.
        let expected = if bad.is_empty() {
            Ok(())
        } else {
            Err(ErrorKind::InvalidInput)
        };
        expect_eq!(error, expected, "writing {bad:?}");
        expect_eq!(set_to(config)?, "auto", "after {bad:?}");
    }
    // With and without an end of line.
    for text in ["off\n", "iommu"] {
        vf.set_attribute("dma_logging", text)?;
        expect_eq!(set_to(config)?, text.trim(), "after {text:?}");
    }
    // The module's value is there for who comes next.
    vf.unbind()?;
    config.bind(&vf, Driver::Rs)?;
    expect_eq!(set_to(config)?, "auto", "bound anew");
    Ok(())
}

/// An open device keeps what it was opened with.
fn next_opening(config: &Config) -> Result<()> {
    require_dirty_bits()?;
    let mut log = Logged::open_as(config, Backing::Tracked, Some("iommu"))?;
    let range = log.map(IOVA, 8)?;
    log.start(&[range])?;
    for value in ["off", "conservative", "auto"] {
        config.vf()?.set_attribute("dma_logging", value)?;
        expect!(log.device.has_dma_log()?, "{value}: the log has gone");
        log.write(IOVA)?;
        expect_eq!(log.report(range)?, [IOVA].into(), "{value}: of the log");
        log.device.stop_dma_log().context("STOP")?;
        log.start(&[range])?;
    }
    drop(log);
    let log = Logged::open_as(config, Backing::Tracked, None)?;
    expect!(!log.device.has_dma_log()?, "opened anew, with auto");
    Ok(())
}
