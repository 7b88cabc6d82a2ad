// SPDX-License-Identifier: GPL-2.0
//! Scenarios: what happens to a guest, from beginning to end. Each is a file, of which
//! some are part of this program; see `Documentation/lab.rst`.

mod builtin;
mod rules;
pub mod step;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;

pub use self::builtin::all;
use self::step::{Cause, Migrate, Step};
use super::prepare::DeviceType;
use super::virtual_iommu::VirtualIommu;

/// A scenario.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    /// One line that says what it is.
    pub about: String,
    /// What its tests' names begin with; "l2." and its name if not given.
    pub tests: Option<String>,
    /// Options that the bench must be started with.
    #[serde(default)]
    pub bench: Vec<String>,
    /// What the bench's functions are, and with that what the guest does on them.
    #[serde(default)]
    pub device: DeviceType,
    /// Functions of the guest.
    #[serde(default = "one")]
    pub functions: usize,
    #[serde(default)]
    pub guest: GuestSettings,
    /// Features, by their bits, that the guest's driver must have negotiated on either side.
    #[serde(default)]
    pub features: Vec<u8>,
    /// What happens, in this order.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

fn one() -> usize {
    1
}

/// What a guest is told when it boots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GuestSettings {
    #[serde(default)]
    pub driver: DriverTime,
    #[serde(default)]
    pub interface: Interface,
    /// An IOMMU of its own, which its devices are behind, and how to use it.
    pub iommu: Option<VirtualIommu>,
}

/// When a guest gives its functions to their driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriverTime {
    #[default]
    AtBoot,
    /// When told to by a step.
    Later,
}

/// The interface by which a guest uses its functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interface {
    #[default]
    Modern,
    Legacy,
}

impl Scenario {
    /// The scenario that is called so, or is in the file that is.
    pub fn find(name: &str) -> Result<Self> {
        if let Some(scenario) = all()?.into_iter().find(|scenario| scenario.name == name) {
            return Ok(scenario);
        }
        let path = Path::new(name);
        ensure!(
            path.exists(),
            "'{name}' is neither a scenario (--list shows them) nor a file"
        );
        let text = fs::read_to_string(path).with_context(|| format!("reading {name}"))?;
        Self::parse(&text, name)
    }

    /// The scenario in `text`, which is from `origin`. An error is one line, and names the
    /// field that is wrong.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| anyhow!(one_line(text, origin, &error)))?;
        rules::check(&scenario).with_context(|| origin.to_string())?;
        Ok(scenario)
    }

    /// What its tests' names begin with.
    pub fn fixture(&self) -> String {
        self.tests
            .clone()
            .unwrap_or_else(|| format!("l2.{}", self.name))
    }

    /// The guest leaves its functions alone until it is told to load their driver.
    pub fn driver_later(&self) -> bool {
        self.guest.driver == DriverTime::Later
    }

    /// The guest uses the legacy interface only.
    pub fn legacy_guest(&self) -> bool {
        self.guest.interface == Interface::Legacy
    }

    /// The IOMMU loses dirty bits.
    pub fn dirty_bits_off(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step, Step::LoseDirtyBits(_)))
    }

    /// The guest may boot again by itself.
    pub fn reboots(&self) -> bool {
        let resets = |step: &Step| matches!(step, Step::BreakOff(end) if end.by == Cause::Reset);
        self.steps.iter().any(resets)
    }

    /// Steps that migrate the guest.
    pub fn migrations(&self) -> impl Iterator<Item = &Migrate> {
        self.steps.iter().filter_map(|step| match step {
            Step::Migrate(migrate) => Some(migrate),
            _ => None,
        })
    }
}

/// What is wrong with a file, and where.
fn one_line(text: &str, origin: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', " ");
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return format!("{origin}: {message}");
    };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default().trim();
    format!("{origin}:{}: {message}: '{line}'", number + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"x\"\nabout = \"y\"\n[[step]]\nboot = {}\n[[step]]\nmigrate = {}\n\
                        [[step]]\nfinish = {}\n[[step]]\npower-off = {}\n";

    #[test]
    fn what_is_not_said_is_as_usual() {
        let scenario = Scenario::parse(GOOD, "x.toml").unwrap();
        assert_eq!(scenario.functions, 1);
        assert_eq!(scenario.device, DeviceType::Net);
        assert_eq!(scenario.fixture(), "l2.x");
        assert!(!scenario.driver_later() && !scenario.dirty_bits_off());
    }

    #[test]
    fn a_bad_file_gets_one_line_that_names_the_field() {
        for (from, to, expected) in [
            ("name = \"x\"\n", "", "`name`"),
            ("name = \"x\"", "name = 5", "name = 5"),
            ("about", "abuot", "`abuot`"),
            ("boot", "reboot", "`reboot`"),
            ("migrate = {}", "migrate = { tiems = 2 }", "`tiems`"),
            (
                "migrate = {}",
                "migrate = { times = \"2\" }",
                "times = \"2\"",
            ),
            ("migrate = {}", "migrate = { via = \"pigeon\" }", "`pigeon`"),
            ("migrate = {}", "break-off = {}", "`by`"),
            ("migrate = {}", "migrate = ", "migrate ="),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            let error = format!("{:#}", Scenario::parse(&text, "x.toml").unwrap_err());
            assert!(error.contains(expected), "{error}");
            assert!(
                error.starts_with("x.toml") && !error.contains('\n'),
                "{error}"
            );
        }
    }
}
