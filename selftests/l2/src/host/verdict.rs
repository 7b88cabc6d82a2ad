// SPDX-License-Identifier: GPL-2.0
//! What must be true of a migration, judged from the facts alone.

use super::disk_verdict;
use super::prepare::DeviceType;
use super::report::{Report, Traffic};

/// Messages that must have arrived at each end on the target: some seconds' worth.
pub const CONTINUED: u64 = 100;

/// One requirement and whether it was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub name: &'static str,
    /// Why not, if it was not.
    pub problem: Option<String>,
}

/// Judges a report. With dirty bits off the guest may break in any way, and
/// must break in one: pages that the device wrote have to be stale, or the
/// check would notice nothing when it matters.
pub fn verdicts(report: &Report) -> Vec<Verdict> {
    let verdict = |name, result: Result<(), String>| Verdict {
        name,
        problem: result.err(),
    };
    let blk = report.setting.device == DeviceType::Blk;
    let up = if blk {
        disk_verdict::guest_up(report)
    } else {
        guest_up(report)
    };
    let mut all = vec![
        verdict("guest_up", up),
        verdict("migration_completed", completed(report)),
        verdict("source_gone", source_gone(report)),
        verdict("dirty_pages_told", dirty_pages_told(report)),
        verdict("device_state_transferred", device_state(report)),
    ];
    if report.setting.legacy_guest {
        all.push(verdict("guest_driver_is_legacy", legacy(report)));
    }
    if report.setting.dirty_bits_off {
        all.push(verdict("stale_pages_found", stale_pages_found(report)));
    } else {
        if blk {
            let continued = disk_verdict::continued(report);
            all.push(verdict("writer_continued", continued));
            let intact = disk_verdict::files_intact(report);
            all.push(verdict("files_intact", intact));
            let clean = disk_verdict::file_system_clean(report);
            all.push(verdict("file_system_clean_on_host", clean));
        } else {
            all.push(verdict("stream_continued", stream_continued(report)));
            all.push(verdict("stream_intact", stream_intact(report)));
        }
        all.push(verdict("device_written_pages_fresh", pages_fresh(report)));
        all.push(verdict(
            "target_device_writes_pages",
            pages_rewritten(report),
        ));
        all.push(verdict("guest_kernel_log_clean", guest_log(report)));
    }
    all
}

/// What to say about a fact that was never collected.
fn missing(report: &Report) -> String {
    match &report.error {
        Some(error) => format!("not reached: {error}"),
        None => "not reached".to_string(),
    }
}

/// The fact, or why there is none.
pub fn reached<'a, T>(fact: &'a Option<T>, report: &Report) -> Result<&'a T, String> {
    fact.as_ref().ok_or_else(|| missing(report))
}

/// `problem` unless `condition`.
pub fn ensure(condition: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(problem()) }
}

fn guest_up(report: &Report) -> Result<(), String> {
    let before = reached(&report.before, report)?;
    intact(before)?;
    ensure(
        before.guest.stream.received > 0 && before.peer.stream.received > 0,
        || "no message arrived before the migration".to_string(),
    )
}

/// A driver of a legacy device has some features, and cannot have VERSION_1.
fn legacy(report: &Report) -> Result<(), String> {
    const VERSION_1: u64 = 1 << 32;
    let features = reached(&report.features, report)?;
    let fits = features
        .iter()
        .all(|&features| features != 0 && features & VERSION_1 == 0);
    ensure(fits && features[0] == features[1], || {
        format!(
            "features on the source {:#x}, on the target {:#x}",
            features[0], features[1]
        )
    })
}

fn completed(report: &Report) -> Result<(), String> {
    let migration = reached(&report.migration, report)?;
    ensure(migration.status == "completed", || {
        let reason = migration
            .failure
            .as_deref()
            .unwrap_or("QEMU gives no reason");
        format!("migration {}: {reason}", migration.status)
    })?;
    ensure(migration.target_state == "running", || {
        format!("the guest is '{}' on the target", migration.target_state)
    })
}

fn source_gone(report: &Report) -> Result<(), String> {
    let gone = *reached(&report.source_gone, report)?;
    ensure(gone, || "the source did not end as it should".to_string())
}

fn device_state(report: &Report) -> Result<(), String> {
    let migration = reached(&report.migration, report)?;
    ensure(migration.device_bytes.unwrap_or(0) > 0, || {
        "QEMU transferred no device state".to_string()
    })
}

fn dirty_pages_told(report: &Report) -> Result<(), String> {
    let teller = *reached(&report.teller, report)?;
    match report.setting.expected_teller {
        Some(expected) if expected != teller => Err(format!(
            "QEMU asked {}, not {}",
            teller.name(),
            expected.name()
        )),
        _ => Ok(()),
    }
}

fn stream_continued(report: &Report) -> Result<(), String> {
    let before = reached(&report.before, report)?;
    let after = reached(&report.after, report)?;
    let guest = after
        .guest
        .stream
        .received
        .saturating_sub(before.guest.stream.received);
    let peer = after
        .peer
        .stream
        .received
        .saturating_sub(before.peer.stream.received);
    ensure(guest >= CONTINUED && peer >= CONTINUED, || {
        format!("after the migration {guest} messages reached the guest and {peer} the peer")
    })
}

fn stream_intact(report: &Report) -> Result<(), String> {
    let end = reached(&report.end, report)?;
    intact(end)?;
    let (guest, peer) = (&end.guest.stream, &end.peer.stream);
    ensure(
        guest.received == peer.sent && peer.received == guest.sent,
        || {
            format!(
                "messages lost: to the guest {} of {}, to the peer {} of {}",
                peer.sent.saturating_sub(guest.received),
                peer.sent,
                guest.sent.saturating_sub(peer.received),
                guest.sent
            )
        },
    )
}

/// No end has seen anything but what the other sent, in order.
fn intact(traffic: &Traffic) -> Result<(), String> {
    for (name, stats) in [("guest", &traffic.guest), ("peer", &traffic.peer)] {
        let stream = &stats.stream;
        if let Some(error) = &stream.error {
            return Err(format!("{name}: the connection broke: {error}"));
        }
        ensure(stream.out_of_order == 0 && stream.corrupt == 0, || {
            format!(
                "{name}: {} messages out of order, {} corrupt",
                stream.out_of_order, stream.corrupt
            )
        })?;
        ensure(stats.probes.corrupt == 0, || {
            format!("{name}: {} corrupt datagrams", stats.probes.corrupt)
        })?;
    }
    Ok(())
}

fn pages_fresh(report: &Report) -> Result<(), String> {
    let pages = reached(&report.pages, report)?;
    if let Some(error) = &pages.error {
        return Err(error.clone());
    }
    ensure(pages.moved, || {
        "the guest has not noticed that it moved".to_string()
    })?;
    ensure(pages.writes > pages.pages as u64, || {
        format!("only {} page writes before the migration", pages.writes)
    })?;
    match pages.stale {
        None => Err("the pages were not looked at".to_string()),
        Some(0) => Ok(()),
        Some(stale) => Err(format!(
            "{stale} of {} pages are stale; {}",
            pages.pages,
            pages.example.as_deref().unwrap_or("no example")
        )),
    }
}

fn stale_pages_found(report: &Report) -> Result<(), String> {
    let pages = reached(&report.pages, report)?;
    ensure(pages.stale.is_some_and(|stale| stale > 0), || {
        "the IOMMU lost all dirty bits and the page check noticed nothing".to_string()
    })
}

fn pages_rewritten(report: &Report) -> Result<(), String> {
    let pages = reached(&report.pages_rewritten, report)?;
    ensure(pages.stale == Some(0), || {
        format!("{:?} of {} pages are wrong", pages.stale, pages.pages)
    })
}

fn guest_log(report: &Report) -> Result<(), String> {
    reached(&report.pages_rewritten, report)?;
    match report.guest_alarms.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "{} lines, the first: {first}",
            report.guest_alarms.len()
        )),
    }
}

/// Names of the requirements that a report does not meet.
#[cfg(test)]
pub(super) fn failed(report: &Report) -> Vec<&'static str> {
    verdicts(report)
        .into_iter()
        .filter(|verdict| verdict.problem.is_some())
        .map(|verdict| verdict.name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Teller;
    use crate::host::report::Migration;
    use crate::stats::PageStats;

    /// A migration as it should be.
    fn good() -> Report {
        let traffic = |messages: u64| {
            let mut traffic = Traffic::default();
            for stats in [&mut traffic.guest, &mut traffic.peer] {
                stats.stream.sent = messages;
                stats.stream.received = messages;
            }
            traffic
        };
        let pages = PageStats {
            pages: 64,
            writes: 1000,
            moved: true,
            stale: Some(0),
            ..PageStats::default()
        };
        Report {
            migration: Some(Migration {
                status: "completed".into(),
                target_state: "running".into(),
                device_bytes: Some(224),
                ..Migration::default()
            }),
            source_gone: Some(true),
            teller: Some(Teller::Device),
            before: Some(traffic(500)),
            after: Some(traffic(900)),
            end: Some(traffic(950)),
            pages: Some(pages.clone()),
            pages_rewritten: Some(pages),
            ..Report::default()
        }
    }

    #[test]
    fn a_good_migration_has_no_problem() {
        assert_eq!(failed(&good()), [""; 0]);
    }

    #[test]
    fn each_fault_fails_its_requirement() {
        type Fault = fn(&mut Report);
        let faults: [(Fault, &str); 11] = [
            (|r| r.before = None, "guest_up"),
            (
                |r| r.migration.as_mut().unwrap().status = "failed".into(),
                "migration_completed",
            ),
            (
                |r| r.migration.as_mut().unwrap().target_state = "paused".into(),
                "migration_completed",
            ),
            (|r| r.source_gone = Some(false), "source_gone"),
            (
                |r| r.setting.expected_teller = Some(Teller::Iommu),
                "dirty_pages_told",
            ),
            (
                |r| r.migration.as_mut().unwrap().device_bytes = Some(0),
                "device_state_transferred",
            ),
            (|r| r.after = r.before.clone(), "stream_continued"),
            (
                |r| r.end.as_mut().unwrap().peer.stream.received -= 1,
                "stream_intact",
            ),
            (
                |r| r.end.as_mut().unwrap().guest.stream.corrupt = 1,
                "stream_intact",
            ),
            (
                |r| r.pages.as_mut().unwrap().stale = Some(3),
                "device_written_pages_fresh",
            ),
            (
                |r| r.guest_alarms.push("BUG: x".into()),
                "guest_kernel_log_clean",
            ),
        ];
        for (fault, name) in faults {
            let mut report = good();
            fault(&mut report);
            assert!(failed(&report).contains(&name), "{name}");
        }
    }

    #[test]
    fn a_legacy_guest_has_no_modern_features() {
        for (features, fits) in [
            (None, false),
            (Some([0x20, 0x20]), true),
            (Some([0x20, 0x30]), false),
            (Some([0, 0]), false),
            (Some([0x1_0000_0020; 2]), false),
        ] {
            let mut report = good();
            report.setting.legacy_guest = true;
            report.features = features;
            let expected: &[&str] = if fits {
                &[]
            } else {
                &["guest_driver_is_legacy"]
            };
            assert_eq!(failed(&report), expected, "{features:x?}");
        }
    }

    #[test]
    fn pages_that_were_not_looked_at_are_not_fresh() {
        for spoil in [
            (|pages| pages.moved = false) as fn(&mut PageStats),
            |pages| pages.stale = None,
            |pages| pages.writes = 10,
        ] {
            let mut report = good();
            spoil(report.pages.as_mut().unwrap());
            assert_eq!(failed(&report), ["device_written_pages_fresh"]);
        }
    }

    #[test]
    fn the_negative_control_wants_stale_pages() {
        let mut report = good();
        report.setting.dirty_bits_off = true;
        assert_eq!(failed(&report), ["stale_pages_found"]);
        report.pages.as_mut().unwrap().stale = Some(52);
        // A broken stream is no surprise then.
        report.after = None;
        report.end = None;
        assert_eq!(failed(&report), [""; 0]);
    }

    #[test]
    fn what_was_not_reached_says_why() {
        let report = Report {
            error: Some("QEMU ended".into()),
            ..Report::default()
        };
        for verdict in verdicts(&report) {
            assert_eq!(verdict.problem.as_deref(), Some("not reached: QEMU ended"));
        }
    }
}
