// SPDX-License-Identifier: GPL-2.0
//! What must be true of a migration, judged from the facts alone.

use vvp_harness::ktap::Finished;

use super::outcome::{Outcome, Problem, ensure, reached};
use super::prepare::DeviceType;
use super::report::{Hop, Report, Setting, Work};
use super::{disk_verdict, page_verdict, traffic_verdict};

/// One requirement and whether it was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub name: String,
    /// Why not, if it was not.
    pub problem: Option<String>,
}

/// Judges a report. With dirty bits off the guest may break in any way, and
/// must break in one: pages that the device wrote have to be stale, or the
/// check would notice nothing when it matters.
pub fn verdicts(report: &Report) -> Vec<Verdict> {
    let mut list = List {
        error: report.error.as_deref(),
        verdicts: Vec::new(),
    };
    list.add("", "guest_up", guest_up(report));
    for (index, hop) in report.hops.iter().enumerate() {
        let last = index + 1 == report.hops.len();
        list.add_hop(&report.setting, hop, last);
    }
    for check in &report.checks {
        list.add("", &check.name, check.outcome.clone());
    }
    if !report.setting.dirty_bits_off {
        list.add("", "guest_kernel_log_clean", guest_log(report));
    }
    list.verdicts
}

/// Verdicts in the making.
struct List<'a> {
    /// Why facts may be missing.
    error: Option<&'a str>,
    verdicts: Vec<Verdict>,
}

impl List<'_> {
    fn add(&mut self, prefix: &str, name: &str, outcome: Outcome) {
        let problem = outcome.err().map(|problem| match (problem, self.error) {
            (Problem::Found(problem), _) => problem,
            (Problem::NotReached, Some(error)) => format!("not reached: {error}"),
            (Problem::NotReached, None) => "not reached".to_string(),
        });
        self.verdicts.push(Verdict {
            name: format!("{prefix}{name}"),
            problem,
        });
    }

    /// What is required of a migration; the last one ends what the guest does.
    fn add_hop(&mut self, setting: &Setting, hop: &Hop, last: bool) {
        let prefix = match hop.name.as_str() {
            "" => String::new(),
            name => format!("{name}."),
        };
        self.add(&prefix, "migration_completed", completed(hop));
        self.add(&prefix, "source_gone", source_gone(hop));
        let tracker = tracker_as_expected(setting, hop);
        self.add(&prefix, "dirty_tracker_as_expected", tracker);
        self.add(&prefix, "device_state_transferred", device_state(hop));
        if setting.legacy_guest {
            self.add(&prefix, "guest_driver_is_legacy", legacy(hop));
        }
        if !setting.features.is_empty() {
            let negotiated = negotiated(&setting.features, hop);
            self.add(&prefix, "features_negotiated", negotiated);
        }
        if setting.virtual_iommu.is_some() {
            self.add(&prefix, "virtual_iommu_used", virtual_iommu_used(hop));
        }
        for (index, work) in hop.work.iter().enumerate() {
            let prefix = match hop.work.len() {
                1 => prefix.clone(),
                _ => format!("{prefix}function_{index}."),
            };
            self.add_work(&prefix, setting, work, last);
        }
    }

    fn add_work(&mut self, prefix: &str, setting: &Setting, work: &Work, last: bool) {
        if setting.dirty_bits_off {
            self.add(prefix, "stale_pages_found", page_verdict::stale_found(work));
            return;
        }
        let went_on = went_on(setting.device, work);
        match setting.device {
            DeviceType::Net => {
                self.add(prefix, "stream_continued", went_on);
                let intact = if last {
                    traffic_verdict::intact_at_the_end(work)
                } else {
                    reached(&work.after).and_then(traffic_verdict::intact)
                };
                self.add(prefix, "stream_intact", intact);
            }
            DeviceType::Blk => {
                let disk = &work.disk;
                self.add(prefix, "writer_continued", went_on);
                let drained = disk_verdict::requests_drained(disk);
                self.add(prefix, "requests_in_flight_completed", drained);
                if last {
                    let intact = disk_verdict::files_intact(disk);
                    self.add(prefix, "files_intact", intact);
                    let clean = disk_verdict::file_system_clean(disk);
                    self.add(prefix, "file_system_clean_on_host", clean);
                }
            }
        }
        if !setting.writes_pages() {
            return;
        }
        self.add(
            prefix,
            "device_written_pages_fresh",
            page_verdict::fresh(work),
        );
        let rewritten = page_verdict::rewritten(work);
        self.add(prefix, "target_device_writes_pages", rewritten);
    }
}

/// What the guest does has continued.
pub fn went_on(device: DeviceType, work: &Work) -> Outcome {
    match device {
        DeviceType::Net => traffic_verdict::continued(work),
        DeviceType::Blk => disk_verdict::continued(&work.disk),
    }
}

/// The guest has booted, and worked on all its functions before it was migrated.
fn guest_up(report: &Report) -> Outcome {
    let Some(first) = report.hops.first().filter(|hop| !hop.work.is_empty()) else {
        return reached(&report.guest_up_s).map(drop);
    };
    for work in &first.work {
        match report.setting.device {
            DeviceType::Net => traffic_verdict::runs(reached(&work.before)?)?,
            DeviceType::Blk => disk_verdict::guest_up(&work.disk)?,
        }
    }
    Ok(())
}

/// A driver of a legacy device has some features, and cannot have VERSION_1.
fn legacy(hop: &Hop) -> Outcome {
    const VERSION_1: u64 = 1 << 32;
    let features = reached(&hop.features)?;
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

/// The guest's driver has negotiated the features with these bits, and others may be there.
fn negotiated(bits: &[u8], hop: &Hop) -> Outcome {
    let [source, target] = *reached(&hop.features)?;
    for (side, features) in [("source", source), ("target", target)] {
        if let Some(bit) = bits.iter().find(|&&bit| features >> bit & 1 == 0) {
            return Err(format!("no feature {bit} on the {side}, but {features:#x}").into());
        }
    }
    Ok(())
}

fn virtual_iommu_used(hop: &Hop) -> Outcome {
    let used = *reached(&hop.virtual_iommu_used)?;
    ensure(used, || {
        "the guest did not use its IOMMU as it was told".to_string()
    })
}

fn completed(hop: &Hop) -> Outcome {
    let migration = reached(&hop.migration)?;
    ensure(migration.completed(), || {
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

fn source_gone(hop: &Hop) -> Outcome {
    let gone = *reached(&hop.source_gone)?;
    ensure(gone, || "the source did not end as it should".to_string())
}

fn device_state(hop: &Hop) -> Outcome {
    let migration = reached(&hop.migration)?;
    ensure(migration.device_bytes.unwrap_or(0) > 0, || {
        "QEMU transferred no device state".to_string()
    })
}

fn tracker_as_expected(setting: &Setting, hop: &Hop) -> Outcome {
    let expected = *reached(&setting.expected_tracker)?;
    let tracker = *reached(&hop.dirty_tracker)?;
    ensure(tracker == expected, || {
        format!("QEMU asked {}, not {}", tracker.name(), expected.name())
    })
}

fn guest_log(report: &Report) -> Outcome {
    if !report.finished {
        return Err(Problem::NotReached);
    }
    match report.guest_alarms.first() {
        None => Ok(()),
        Some(first) => {
            Err(format!("{} lines, the first: {first}", report.guest_alarms.len()).into())
        }
    }
}

/// Requirements and whether they are met. Facts may be missing because of `error`.
pub fn judge<'a>(
    error: Option<&str>,
    outcomes: impl IntoIterator<Item = (&'a str, Outcome)>,
) -> Vec<Verdict> {
    let mut list = List {
        error,
        verdicts: Vec::new(),
    };
    for (name, outcome) in outcomes {
        list.add("", name, outcome);
    }
    list.verdicts
}

impl Verdict {
    /// The verdict for the harness's report of fixture `fixture`.
    pub fn finished(&self, fixture: &str) -> Finished {
        Finished {
            title: format!("{fixture}.{}", self.name),
            problem: self.problem.clone(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::host::DirtyTracker;
    use crate::host::migration::Migration;
    use crate::host::report::{Check, Traffic};
    use crate::host::virtual_iommu::VirtualIommu;
    use crate::stats::PageStats;

    /// Names of the requirements that a report does not meet.
    pub fn failed(report: &Report) -> Vec<String> {
        verdicts(report)
            .into_iter()
            .filter(|verdict| verdict.problem.is_some())
            .map(|verdict| verdict.name)
            .collect()
    }

    /// The work on the only function around the last migration.
    pub fn work(report: &mut Report) -> &mut Work {
        &mut report.hops.last_mut().unwrap().work[0]
    }

    fn hop(report: &mut Report) -> &mut Hop {
        report.hops.last_mut().unwrap()
    }

    /// A migration as it should be.
    pub fn good() -> Report {
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
        let work = Work {
            before: Some(traffic(500)),
            after: Some(traffic(900)),
            end: Some(traffic(950)),
            pages: Some(pages.clone()),
            pages_rewritten: Some(pages),
            ..Work::default()
        };
        let hop = Hop {
            migration: Some(Migration {
                status: "completed".into(),
                target_state: "running".into(),
                device_bytes: Some(224),
                ..Migration::default()
            }),
            source_gone: Some(true),
            dirty_tracker: Some(DirtyTracker::Device),
            work: vec![work],
            ..Hop::default()
        };
        let mut report = Report {
            hops: vec![hop],
            finished: true,
            ..Report::default()
        };
        report.setting.expected_tracker = Some(DirtyTracker::Device);
        report
    }

    #[test]
    fn a_good_migration_has_no_problem() {
        assert_eq!(failed(&good()), [""; 0]);
    }

    #[test]
    fn each_fault_fails_its_requirement() {
        type Fault = fn(&mut Report);
        let faults: [(Fault, &str); 13] = [
            (|r| work(r).before = None, "guest_up"),
            (
                |r| hop(r).migration.as_mut().unwrap().status = "failed".into(),
                "migration_completed",
            ),
            (
                |r| hop(r).migration.as_mut().unwrap().target_state = "paused".into(),
                "migration_completed",
            ),
            (|r| hop(r).source_gone = Some(false), "source_gone"),
            (
                |r| r.setting.expected_tracker = Some(DirtyTracker::Iommu),
                "dirty_tracker_as_expected",
            ),
            (
                |r| r.setting.expected_tracker = None,
                "dirty_tracker_as_expected",
            ),
            (
                |r| hop(r).dirty_tracker = Some(DirtyTracker::Nobody),
                "dirty_tracker_as_expected",
            ),
            (
                |r| hop(r).migration.as_mut().unwrap().device_bytes = Some(0),
                "device_state_transferred",
            ),
            (
                |r| work(r).after = work(r).before.clone(),
                "stream_continued",
            ),
            (
                |r| work(r).end.as_mut().unwrap().peer.stream.received -= 1,
                "stream_intact",
            ),
            (
                |r| work(r).end.as_mut().unwrap().guest.stream.corrupt = 1,
                "stream_intact",
            ),
            (
                |r| work(r).pages.as_mut().unwrap().stale = Some(3),
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
            assert!(
                failed(&report).iter().any(|failed| failed == name),
                "{name}"
            );
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
            hop(&mut report).features = features;
            let expected: &[&str] = if fits {
                &[]
            } else {
                &["guest_driver_is_legacy"]
            };
            assert_eq!(failed(&report), expected, "{features:x?}");
        }
    }

    #[test]
    fn features_that_are_wanted_are_wanted_on_both_sides() {
        for (features, fits) in [
            (None, false),
            (Some([0x9, 0x9]), true),
            (Some([0x1f, 0xf]), true),
            (Some([0x9, 0x1]), false),
            (Some([0x8, 0x9]), false),
        ] {
            let mut report = good();
            report.setting.features = vec![0, 3];
            hop(&mut report).features = features;
            let expected: &[&str] = if fits { &[] } else { &["features_negotiated"] };
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
            spoil(work(&mut report).pages.as_mut().unwrap());
            assert_eq!(failed(&report), ["device_written_pages_fresh"]);
        }
    }

    #[test]
    fn a_guest_with_an_iommu_uses_it() {
        for (used, expected) in [
            (Some(true), &[][..]),
            (Some(false), &["virtual_iommu_used"]),
            (None, &["virtual_iommu_used"]),
        ] {
            let mut report = good();
            report.setting.virtual_iommu = Some(VirtualIommu::Identity);
            hop(&mut report).virtual_iommu_used = used;
            assert_eq!(failed(&report), expected);
        }
    }

    #[test]
    fn no_pages_are_wanted_where_addresses_are_translated() {
        let mut report = good();
        work(&mut report).pages = None;
        work(&mut report).pages_rewritten = None;
        assert_eq!(failed(&report).len(), 2);
        report.setting.virtual_iommu = Some(VirtualIommu::Translating);
        hop(&mut report).virtual_iommu_used = Some(true);
        assert_eq!(failed(&report), [""; 0]);
    }

    #[test]
    fn the_negative_control_wants_stale_pages() {
        let mut report = good();
        report.setting.dirty_bits_off = true;
        assert_eq!(failed(&report), ["stale_pages_found"]);
        work(&mut report).pages.as_mut().unwrap().stale = Some(52);
        // A broken stream is no surprise then.
        work(&mut report).after = None;
        work(&mut report).end = None;
        assert_eq!(failed(&report), [""; 0]);
    }

    #[test]
    fn what_was_not_reached_says_why() {
        let hop = Hop {
            work: vec![Work::default()],
            ..Hop::default()
        };
        let report = Report {
            error: Some("QEMU ended".into()),
            hops: vec![hop],
            checks: vec![Check::new("odd".into())],
            ..Report::default()
        };
        let verdicts = verdicts(&report);
        assert_eq!(verdicts.len(), 11);
        for verdict in verdicts {
            assert_eq!(verdict.problem.as_deref(), Some("not reached: QEMU ended"));
        }
    }

    #[test]
    fn names_tell_migrations_and_functions_apart() {
        let mut report = good();
        report.hops[0].name = "there".into();
        let mut back = report.hops[0].clone();
        back.name = "back".into();
        back.work.push(back.work[0].clone());
        back.work[1].pages = None;
        report.hops.push(back);
        report.hops[0].source_gone = Some(false);
        assert_eq!(
            failed(&report),
            [
                "there.source_gone",
                "back.function_1.device_written_pages_fresh"
            ]
        );
        let mut names: Vec<_> = verdicts(&report).into_iter().map(|v| v.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn only_the_last_arrival_ends_the_stream() {
        let mut report = good();
        report.hops.insert(0, report.hops[0].clone());
        report.hops[0].name = "there".into();
        report.hops[0].work[0].end = None;
        assert_eq!(failed(&report), [""; 0]);
        let after = report.hops[0].work[0].after.as_mut().unwrap();
        after.peer.stream.out_of_order = 1;
        assert_eq!(failed(&report), ["there.stream_intact"]);
    }

    #[test]
    fn a_guest_without_work_is_up_when_it_answers() {
        let mut report = good();
        report.hops[0].work.clear();
        assert_eq!(failed(&report), ["guest_up"]);
        report.guest_up_s = Some(1.0);
        assert_eq!(failed(&report), [""; 0]);
    }

    #[test]
    fn checks_of_the_scenario_count() {
        let mut report = good();
        report.checks.push(Check::new("odd".into()));
        assert_eq!(failed(&report), ["odd"]);
        report.conclude("odd", ensure(false, || "even".to_string()));
        assert_eq!(
            verdicts(&report)[9].problem.as_deref(),
            Some("even"),
            "behind what all want, before the kernel's log"
        );
        report.conclude("odd", Ok(()));
        assert_eq!(failed(&report), [""; 0]);
    }
}
