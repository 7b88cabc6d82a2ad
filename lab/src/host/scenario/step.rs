// SPDX-License-Identifier: GPL-2.0
//! The steps that a scenario is made of.

use serde::Deserialize;

/// Something that happens, with a guest or to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A guest boots on the first set of functions, and works on them.
    Boot(Nothing),
    /// The IOMMU sets no dirty bits from now on.
    LoseDirtyBits(Nothing),
    /// The bench answers commands of the driver otherwise than it should.
    Inject(Inject),
    /// The guest is migrated to the other set of functions.
    Migrate(Migrate),
    /// A migration that does not complete: the guest goes on where it was.
    BreakOff(BreakOff),
    /// No driver of the guest's has touched the function that it is on.
    Untouched(Named),
    /// The guest gives its functions to their driver, and puts them to work.
    LoadDriver(Nothing),
    /// The guest works where it is, all that it does there is judged, and it ends that.
    Work(Named),
    /// The guest ends what it does on its functions, and what came of it is judged.
    Finish(Nothing),
    /// Each function of either side has carried traffic of its own.
    OwnTraffic(Nothing),
    /// The guest is no more.
    PowerOff(Nothing),
}

impl Step {
    /// Its name in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Boot(_) => "boot",
            Self::LoseDirtyBits(_) => "lose-dirty-bits",
            Self::Inject(_) => "inject",
            Self::Migrate(_) => "migrate",
            Self::BreakOff(_) => "break-off",
            Self::Untouched(_) => "untouched",
            Self::LoadDriver(_) => "load-driver",
            Self::Work(_) => "work",
            Self::Finish(_) => "finish",
            Self::OwnTraffic(_) => "own-traffic",
            Self::PowerOff(_) => "power-off",
        }
    }
}

/// A step about which there is nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A step of which the tests need a name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub name: String,
}

/// A migration that is to complete.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Migrate {
    /// What its tests begin with, where a scenario has several.
    #[serde(default)]
    pub name: String,
    /// How often: there, back, and so on.
    #[serde(default = "once")]
    pub times: usize,
    #[serde(default)]
    pub via: Via,
    /// Connections for memory beside the first (multifd).
    pub channels: Option<u32>,
    /// The source waits for the target's word before it stops the guest.
    #[serde(default)]
    pub switchover_ack: bool,
}

fn once() -> usize {
    1
}

impl Migrate {
    /// The names of all its migrations.
    pub fn hops(&self) -> impl Iterator<Item = String> {
        (1..=self.times).map(|number| match (self.times, self.name.as_str()) {
            (1, name) => name.to_string(),
            (_, "") => number.to_string(),
            (_, name) => format!("{name}_{number}"),
        })
    }
}

/// The way that a guest takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// From the source to a target that waits for it.
    #[default]
    Tcp,
    /// To a file, and out of it when the source is gone.
    File,
}

/// A migration that does not complete.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakOff {
    /// What its tests begin with, where a scenario has several.
    #[serde(default)]
    pub name: String,
    pub by: Cause,
}

/// What ends a migration early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It is cancelled during pre-copy.
    Cancel,
    /// The guest is reset during pre-copy.
    Reset,
    /// The device fails a command that was injected before.
    Fault,
}

/// Wrong answers of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Inject {
    pub command: Command,
    /// The first command concerned, counted from 1.
    #[serde(default = "first")]
    pub nth: u32,
    /// How many commands are.
    #[serde(default = "first")]
    pub count: u32,
    /// Status to answer with, without executing the command.
    pub status: Option<u16>,
    /// How late to execute the command.
    pub delay_ms: Option<u64>,
}

fn first() -> u32 {
    1
}

/// Admin commands that migrate a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    ObjectCreate,
    ObjectDestroy,
    PartsMetadata,
    PartsGet,
    PartsSet,
    ModeSet,
}

impl Command {
    /// Its opcode, by the virtio specification.
    pub fn opcode(self) -> u16 {
        match self {
            Self::ObjectCreate => 0x0a,
            Self::ObjectDestroy => 0x0d,
            Self::PartsMetadata => 0x0e,
            Self::PartsGet => 0x0f,
            Self::PartsSet => 0x10,
            Self::ModeSet => 0x11,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_have_names_of_their_own() {
        let hops = |name: &str, times| {
            let migrate = Migrate {
                name: name.to_string(),
                times,
                via: Via::Tcp,
                channels: None,
                switchover_ack: false,
            };
            migrate.hops().collect::<Vec<_>>()
        };
        assert_eq!(hops("", 1), [""]);
        assert_eq!(hops("there", 1), ["there"]);
        assert_eq!(hops("", 2), ["1", "2"]);
        assert_eq!(hops("lap", 2), ["lap_1", "lap_2"]);
    }
}
