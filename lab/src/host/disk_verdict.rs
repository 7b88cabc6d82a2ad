// SPDX-License-Identifier: GPL-2.0
//! What must be true of a migration of a guest that works on a disk.

use super::disk::CONTINUED;
use super::outcome::{Outcome, ensure, reached};
use super::report::DiskFacts;
use crate::files::{BLOCKS, FILES};
use crate::stats::DiskStats;

/// The guest did work before the migration.
pub fn guest_up(disk: &DiskFacts) -> Outcome {
    let before = reached(&disk.before)?;
    sound(before)?;
    ensure(before.rounds > 0, || "no round was written".to_string())
}

/// It went on afterwards.
pub fn continued(disk: &DiskFacts) -> Outcome {
    let arrived = reached(&disk.arrived)?;
    let after = reached(&disk.after)?;
    sound(after)?;
    let rounds = after.rounds.saturating_sub(arrived.rounds);
    ensure(rounds >= CONTINUED, || {
        format!("the guest has done {rounds} rounds on the target")
    })
}

/// Stopping the source has found requests that it had to complete: else the migration has
/// shown nothing of them.
pub fn requests_drained(disk: &DiskFacts) -> Outcome {
    let drained = *reached(&disk.drained)?;
    ensure(drained > 0, || {
        "no request was in flight when the source was stopped".to_string()
    })
}

/// All that it has written is there, in its own cache and on its disk.
pub fn files_intact(disk: &DiskFacts) -> Outcome {
    let end = reached(&disk.end)?;
    sound(end)?;
    ensure(end.compared >= (FILES * BLOCKS) as u64, || {
        format!("only {} blocks were compared", end.compared)
    })?;
    ensure(end.wrong == 0, || {
        let example = end.example.as_deref().unwrap_or("no example");
        format!(
            "{} of {} blocks are wrong; {example}",
            end.wrong, end.compared
        )
    })
}

/// Somebody else finds the same, in a file system without fault.
pub fn file_system_clean(disk: &DiskFacts) -> Outcome {
    let end = reached(&disk.end)?;
    let host = reached(&disk.on_host)?;
    if let Some(problem) = &host.problem {
        return Err(problem.clone().into());
    }
    ensure(Some(host.digest) == end.digest, || {
        let example = host.example.as_deref().unwrap_or("all blocks are whole");
        format!("the host finds other blocks than the guest wrote; {example}")
    })
}

fn sound(stats: &DiskStats) -> Outcome {
    stats
        .error
        .clone()
        .map_or(Ok(()), |error| Err(error.into()))
}

#[cfg(test)]
mod tests {
    use super::super::prepare::DeviceType;
    use super::super::report::{DiskFacts, HostView, Report};
    use super::super::verdict::tests::{failed, good as good_network, work};
    use super::super::verdict::verdicts;
    use super::*;

    /// A migration as it should be.
    fn good() -> Report {
        let stats = |rounds| DiskStats {
            rounds,
            compared: 768,
            digest: Some(7),
            ..DiskStats::default()
        };
        let mut report = good_network();
        report.setting.device = DeviceType::Blk;
        work(&mut report).disk = DiskFacts {
            before: Some(stats(30)),
            arrived: Some(stats(60)),
            after: Some(stats(90)),
            drained: Some(1),
            drained_before: 0,
            end: Some(stats(95)),
            on_host: Some(HostView {
                digest: 7,
                ..HostView::default()
            }),
        };
        report
    }

    #[test]
    fn a_good_migration_has_no_problem() {
        assert_eq!(failed(&good()), [""; 0]);
    }

    #[test]
    fn each_fault_fails_its_requirement() {
        type Fault = fn(&mut DiskFacts);
        let faults: [(Fault, &str); 11] = [
            (|d| d.drained = None, "requests_in_flight_completed"),
            (|d| d.drained = Some(0), "requests_in_flight_completed"),
            (|d| d.before = None, "guest_up"),
            (|d| d.before.as_mut().unwrap().rounds = 0, "guest_up"),
            (|d| d.after = d.arrived.clone(), "writer_continued"),
            (
                |d| d.after.as_mut().unwrap().error = Some("I/O error".into()),
                "writer_continued",
            ),
            (|d| d.end.as_mut().unwrap().wrong = 1, "files_intact"),
            (|d| d.end.as_mut().unwrap().compared = 0, "files_intact"),
            (
                |d| d.on_host.as_mut().unwrap().problem = Some("e2fsck".into()),
                "file_system_clean_on_host",
            ),
            (
                |d| d.on_host.as_mut().unwrap().digest = 8,
                "file_system_clean_on_host",
            ),
            (|d| d.on_host = None, "file_system_clean_on_host"),
        ];
        for (fault, name) in faults {
            let mut report = good();
            fault(&mut work(&mut report).disk);
            assert_eq!(failed(&report), [name]);
        }
    }

    #[test]
    fn only_the_last_arrival_ends_the_work() {
        let mut report = good();
        report.hops.insert(0, report.hops[0].clone());
        let first = &mut report.hops[0];
        first.name = "there".into();
        first.work[0].disk.end = None;
        first.work[0].disk.on_host = None;
        assert_eq!(failed(&report), [""; 0]);
        report.hops[0].work[0].disk.after = None;
        assert_eq!(failed(&report), ["there.writer_continued"]);
    }

    #[test]
    fn what_was_not_reached_says_why() {
        let mut report = good();
        report.error = Some("QEMU ended".into());
        work(&mut report).disk = DiskFacts::default();
        let names = [
            "guest_up",
            "writer_continued",
            "requests_in_flight_completed",
            "files_intact",
            "file_system_clean_on_host",
        ];
        for verdict in verdicts(&report) {
            let expected = names
                .contains(&verdict.name.as_str())
                .then_some("not reached: QEMU ended");
            assert_eq!(verdict.problem.as_deref(), expected, "{}", verdict.name);
        }
    }
}
