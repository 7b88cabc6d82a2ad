// SPDX-License-Identifier: GPL-2.0
//! What must be true of a migration of a guest that works on a disk.

use super::disk::CONTINUED;
use super::report::Report;
use super::verdict::{ensure, reached};
use crate::files::{BLOCKS, FILES};
use crate::stats::DiskStats;

/// The guest did work before the migration.
pub fn guest_up(report: &Report) -> Result<(), String> {
    let before = reached(&report.disk.before, report)?;
    sound(before)?;
    ensure(before.rounds > 0, || "no round was written".to_string())
}

/// It went on afterwards.
pub fn continued(report: &Report) -> Result<(), String> {
    let arrived = reached(&report.disk.arrived, report)?;
    let after = reached(&report.disk.after, report)?;
    sound(after)?;
    let rounds = after.rounds.saturating_sub(arrived.rounds);
    ensure(rounds >= CONTINUED, || {
        format!("the guest has done {rounds} rounds on the target")
    })
}

/// All that it has written is there, in its own cache and on its disk.
pub fn files_intact(report: &Report) -> Result<(), String> {
    let end = reached(&report.disk.end, report)?;
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
pub fn file_system_clean(report: &Report) -> Result<(), String> {
    let end = reached(&report.disk.end, report)?;
    let host = reached(&report.disk.on_host, report)?;
    if let Some(problem) = &host.problem {
        return Err(problem.clone());
    }
    ensure(Some(host.digest) == end.digest, || {
        let example = host.example.as_deref().unwrap_or("all blocks are whole");
        format!("the host finds other blocks than the guest wrote; {example}")
    })
}

fn sound(stats: &DiskStats) -> Result<(), String> {
    stats.error.clone().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::super::prepare::DeviceType;
    use super::super::report::{DiskFacts, HostView, Migration};
    use super::super::tracking::Teller;
    use super::super::verdict::{failed, verdicts};
    use super::*;
    use crate::stats::PageStats;

    /// A migration as it should be.
    fn good() -> Report {
        let stats = |rounds| DiskStats {
            rounds,
            compared: 768,
            digest: Some(7),
            ..DiskStats::default()
        };
        let pages = PageStats {
            pages: 64,
            writes: 1000,
            moved: true,
            stale: Some(0),
            ..PageStats::default()
        };
        let mut report = Report {
            migration: Some(Migration {
                status: "completed".into(),
                target_state: "running".into(),
                device_bytes: Some(224),
                ..Migration::default()
            }),
            source_gone: Some(true),
            teller: Some(Teller::Device),
            pages: Some(pages.clone()),
            pages_rewritten: Some(pages),
            disk: DiskFacts {
                before: Some(stats(30)),
                arrived: Some(stats(60)),
                after: Some(stats(90)),
                drained: Some(1),
                end: Some(stats(95)),
                on_host: Some(HostView {
                    digest: 7,
                    ..HostView::default()
                }),
            },
            ..Report::default()
        };
        report.setting.device = DeviceType::Blk;
        report
    }

    #[test]
    fn a_good_migration_has_no_problem() {
        assert_eq!(failed(&good()), [""; 0]);
    }

    #[test]
    fn each_fault_fails_its_requirement() {
        type Fault = fn(&mut DiskFacts);
        let faults: [(Fault, &str); 9] = [
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
            fault(&mut report.disk);
            assert_eq!(failed(&report), [name]);
        }
    }

    #[test]
    fn what_was_not_reached_says_why() {
        let mut report = Report {
            error: Some("QEMU ended".into()),
            ..Report::default()
        };
        report.setting.device = DeviceType::Blk;
        for verdict in verdicts(&report) {
            assert_eq!(verdict.problem.as_deref(), Some("not reached: QEMU ended"));
        }
    }
}
