// SPDX-License-Identifier: GPL-2.0
//! Runs the cases, one after the other, and prints KTAP.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::child::{self, Ended};
use crate::device::Device;
use crate::fsm::State;
use crate::known::Known;
use crate::lies;
use crate::report::{Entry, Kind};
use crate::space::Way;
use crate::target::Target;
use crate::trial::{Case, Devices, End, Finding, Trial, tidy};

/// What a child says of the case it ran.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    findings: Vec<Finding>,
    skip: Option<String>,
    /// Only opening the device anew makes it RUNNING.
    reopen: bool,
}

/// The devices, held open between cases so that they are not opened and closed for each.
struct Held {
    device: Device,
    peer: Option<Device>,
}

/// A run of cases.
pub struct Run<'a> {
    pub devices: &'a Devices,
    /// What is known of the driver, if there is such a list.
    pub known: Option<&'a Known>,
    pub limit: Duration,
}

impl Run<'_> {
    /// Runs `cases`, each with its line. An error means that the device is not usable any more.
    pub fn all(&self, cases: &[Case]) -> Result<Vec<Entry>> {
        println!("KTAP version 1");
        println!("1..{}", cases.len());
        let mut entries = Vec::new();
        let mut held = None;
        for (index, case) in cases.iter().enumerate() {
            let entry = if self.known.is_some_and(|known| known.crashes(&case.name)) {
                entry(
                    case,
                    error("not run: it is known to crash the kernel".into()),
                )
            } else {
                self.one(case, &mut held)?
            };
            print_entry(index + 1, case, &entry, self.expected(&case.name));
            entries.push(entry);
        }
        Ok(entries)
    }

    /// What the case called `name` may come to.
    fn expected(&self, name: &str) -> Expected {
        match self.known {
            Some(known) => known.get(name).map_or(Expected::Nothing, Expected::Exactly),
            None => Expected::Anything,
        }
    }

    /// Whether `entry` is as it should be.
    pub fn is_good(&self, entry: &Entry) -> bool {
        self.expected(&entry.name).allows(entry.result)
    }

    /// Runs one case. Afterwards the devices are RUNNING and were reset.
    fn one(&self, case: &Case, held: &mut Option<Held>) -> Result<Entry> {
        if case.alone {
            *held = None;
        } else if held.is_none() {
            *held = Some(self.open().context("the device cannot be opened")?);
        }
        let open = held.as_ref();
        let ended = child::run(self.limit, || self.in_child(case, open))?;
        let (answer, fit) = match ended {
            Ended::Answered(answer) => (answer, true),
            Ended::Died(how) => (error(format!("the case crashed: {how}")), false),
            Ended::Killed => {
                let seconds = self.limit.as_secs();
                (
                    error(format!("the case hung, and was killed after {seconds} s")),
                    false,
                )
            }
            Ended::Stuck => {
                println!("# {}: hangs in the kernel, and cannot be killed", case.name);
                bail!("{} hangs in the kernel, and cannot be killed", case.name);
            }
        };
        if answer.reopen || !fit {
            *held = None;
            self.recover(&case.name)?;
        }
        Ok(entry(case, answer))
    }

    /// What the device announces; 0 if it has no migration.
    pub fn flags(&self) -> Result<u64> {
        let device = Device::open(&self.devices.target, self.devices.way)?;
        Ok(device.migration_flags().unwrap_or(0))
    }

    fn open(&self) -> Result<Held> {
        let open = |target: &Target| -> Result<Device> {
            let device =
                Device::open(target, self.devices.way).with_context(|| target.name.clone())?;
            // A device may begin in the state in which the last user left it.
            if tidy(&device)? {
                bail!(
                    "{} does not begin in RUNNING, and cannot be brought there",
                    target.name
                );
            }
            Ok(device)
        };
        Ok(Held {
            device: open(&self.devices.target)?,
            peer: self.devices.peer.as_ref().map(open).transpose()?,
        })
    }

    /// In the child: the case, and the devices as they were.
    fn in_child(&self, case: &Case, held: Option<&Held>) -> Answer {
        let trial = Trial::new(
            self.devices,
            held.map(|held| &held.device),
            held.and_then(|held| held.peer.as_ref()),
        );
        let mut skip = None;
        lies::tell(true);
        let verdict = (case.run)(&trial);
        lies::tell(false);
        match verdict {
            Ok(()) => {}
            Err(End::Skip(reason)) => skip = Some(reason),
            Err(End::Error(text)) => trial.error(text),
        }
        if let Some(Err(failed)) = trial.own().map(tidy) {
            trial.error(format!("{failed:#}"));
        }
        let mut reopen = false;
        let devices = held
            .into_iter()
            .flat_map(|held| [Some(&held.device), held.peer.as_ref()]);
        for device in devices.flatten() {
            match tidy(device) {
                Ok(more) => reopen |= more,
                Err(failed) => {
                    trial.error(format!("{failed:#}"));
                    reopen = true;
                }
            }
        }
        Answer {
            findings: trial.into_findings(),
            skip,
            reopen,
        }
    }

    /// After a case that did not end by itself: the devices must be fit for the next.
    fn recover(&self, after: &str) -> Result<()> {
        let ended = child::run(self.limit, || {
            self.open().err().map(|error| format!("{error:#}"))
        })?;
        match ended {
            Ended::Answered(None) => Ok(()),
            Ended::Answered(Some(error)) => {
                bail!("the device did not recover from {after}: {error}")
            }
            ended => bail!("the device did not recover from {after}: {ended:?}"),
        }
    }
}

fn error(text: String) -> Answer {
    Answer {
        findings: vec![Finding::Error(text)],
        skip: None,
        reopen: false,
    }
}

fn entry(case: &Case, answer: Answer) -> Entry {
    let has = |wanted: fn(&Finding) -> bool| answer.findings.iter().any(wanted);
    let result = if has(|finding| matches!(finding, Finding::Error(_))) {
        Kind::Error
    } else if answer.skip.is_some() {
        Kind::Skip
    } else if has(|finding| matches!(finding, Finding::Advice(_))) {
        Kind::Advice
    } else {
        Kind::Pass
    };
    let mut said: Vec<String> = answer
        .findings
        .into_iter()
        .map(|finding| match finding {
            Finding::Error(text) => format!("error: {text}"),
            Finding::Advice(text) => format!("advice: {text}"),
        })
        .collect();
    if result == Kind::Skip {
        said = answer.skip.into_iter().collect();
    }
    Entry {
        name: case.name.clone(),
        rule: case.rule.id.to_owned(),
        result,
        said,
    }
}

/// What a case may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// There is no list: errors are not good, advice is.
    Anything,
    /// It is not in the list.
    Nothing,
    /// It is in the list.
    Exactly(Kind),
}

impl Expected {
    fn allows(self, result: Kind) -> bool {
        match self {
            Self::Anything => result != Kind::Error,
            Self::Nothing => result == Kind::Pass,
            Self::Exactly(kind) => result == kind,
        }
    }
}

/// One line, with what is to be said before it.
fn print_entry(number: usize, case: &Case, entry: &Entry, expected: Expected) {
    if matches!(entry.result, Kind::Error | Kind::Advice) {
        println!(
            "# rule {}: {}: {}",
            case.rule.id, case.rule.place, case.rule.says
        );
        for text in &entry.said {
            println!("# {text}");
        }
    }
    println!("{}", line(number, entry, expected));
}

fn line(number: usize, entry: &Entry, expected: Expected) -> String {
    let Entry {
        name, result, said, ..
    } = entry;
    let said = said.join("; ");
    match (expected.allows(*result), result) {
        (true, Kind::Error) => format!("not ok {number} {name} # XFAIL known"),
        (true, Kind::Skip) => format!("ok {number} {name} # SKIP {said}"),
        (true, Kind::Advice) => format!("ok {number} {name} # {said}"),
        (true, Kind::Pass) => format!("ok {number} {name}"),
        (false, Kind::Error | Kind::Advice | Kind::Skip)
            if !matches!(expected, Expected::Exactly(_)) =>
        {
            format!("not ok {number} {name} # {said}")
        }
        (false, _) => {
            format!("not ok {number} {name} # known to deviate otherwise: {result:?} {said}")
        }
    }
}

/// What will be done, to be printed before.
pub fn announce(devices: &Devices, cases: usize) {
    let Devices { target, peer, way } = devices;
    let name = |target: &Target| {
        let node = match way {
            Way::Cdev => &target.cdev,
            Way::Group => &target.group,
        };
        let node = node
            .as_ref()
            .map_or("no node".into(), |path| path.display().to_string());
        format!("{} (driver {}, {node})", target.name, target.driver)
    };
    println!("# {cases} cases on {}, by {}", name(target), way.name());
    match peer {
        Some(peer) => println!("# streams are loaded into {}", name(peer)),
        None => println!("# streams are loaded into the same device"),
    }
    println!(
        "# what they are doing is lost: each case ends with a reset, or with {}",
        State::Running
    );
    println!("# no other device is touched");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(result: Kind, said: &str, expected: Expected) -> String {
        let said = if said.is_empty() {
            vec![]
        } else {
            vec![said.to_owned()]
        };
        let entry = Entry {
            name: "a.b".into(),
            rule: "R".into(),
            result,
            said,
        };
        line(7, &entry, expected)
    }

    #[test]
    fn lines_without_a_list() {
        let any = Expected::Anything;
        assert_eq!(line_of(Kind::Pass, "", any), "ok 7 a.b");
        assert_eq!(line_of(Kind::Skip, "no P2P", any), "ok 7 a.b # SKIP no P2P");
        assert_eq!(
            line_of(Kind::Advice, "advice: x", any),
            "ok 7 a.b # advice: x"
        );
        assert_eq!(
            line_of(Kind::Error, "error: x", any),
            "not ok 7 a.b # error: x"
        );
    }

    #[test]
    fn a_list_is_compared_both_ways() {
        assert_eq!(
            line_of(Kind::Advice, "advice: x", Expected::Nothing),
            "not ok 7 a.b # advice: x"
        );
        let error = Expected::Exactly(Kind::Error);
        assert_eq!(
            line_of(Kind::Error, "error: x", error),
            "not ok 7 a.b # XFAIL known"
        );
        for other in [Kind::Pass, Kind::Skip, Kind::Advice] {
            assert!(line_of(other, "", error).starts_with("not ok 7 a.b # known to deviate"));
        }
    }
}
