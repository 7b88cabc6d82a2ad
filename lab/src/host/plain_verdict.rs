// SPDX-License-Identifier: GPL-2.0
//! What must be true of plain passthrough, judged from the facts alone.

use super::outcome::{Outcome, ensure, reached};
use super::plain::{Facts, MESSAGES};
use super::traffic_verdict::whole;
use super::verdict::{Verdict, judge};

/// What QEMU says against the migration of a device that has none.
const NO_MIGRATION: &str = "migration is not supported in kernel";

/// Judges the facts.
pub fn verdicts(facts: &Facts) -> Vec<Verdict> {
    let met = |fact: &Option<()>| reached(fact).copied();
    judge(
        facts.error.as_deref(),
        [
            ("device_has_no_migration", no_migration(facts)),
            ("qemu_finds_no_migration", blocked(facts)),
            ("traffic_flows_both_ways", flows(facts)),
            ("traffic_intact", intact(facts)),
            ("guest_powered_off", met(&facts.ended)),
            ("device_usable_afterwards", met(&facts.reusable)),
            ("guest_kernel_log_clean", quiet(facts)),
        ],
    )
}

fn no_migration(facts: &Facts) -> Outcome {
    let features = reached(&facts.features)?;
    ensure(features.is_empty(), || {
        format!("the device offers {}", features.join(", "))
    })
}

fn blocked(facts: &Facts) -> Outcome {
    let blockers = reached(&facts.blockers)?;
    let found = blockers.iter().any(|text| text.contains(NO_MIGRATION));
    ensure(found, || {
        format!("QEMU would migrate the guest; it says against it: {blockers:?}")
    })
}

fn flows(facts: &Facts) -> Outcome {
    let traffic = reached(&facts.traffic)?;
    let (guest, peer) = (&traffic.guest.stream, &traffic.peer.stream);
    ensure(guest.received.min(peer.received) >= MESSAGES, || {
        format!(
            "{} messages reached the guest and {} the peer, of {MESSAGES} wanted",
            guest.received, peer.received
        )
    })?;
    ensure(
        traffic.guest.probes.received > 0 && traffic.peer.probes.received > 0,
        || "no datagrams arrived".to_string(),
    )
}

fn intact(facts: &Facts) -> Outcome {
    whole(reached(&facts.traffic)?)
}

fn quiet(facts: &Facts) -> Outcome {
    reached(&facts.traffic)?;
    match facts.alarms.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} lines, the first: {first}", facts.alarms.len()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::report::Traffic;

    fn failed(facts: &Facts) -> Vec<String> {
        verdicts(facts)
            .into_iter()
            .filter(|verdict| verdict.problem.is_some())
            .map(|verdict| verdict.name)
            .collect()
    }

    /// A run as it should be.
    fn good() -> Facts {
        let mut traffic = Traffic::default();
        for stats in [&mut traffic.guest, &mut traffic.peer] {
            stats.stream.sent = MESSAGES;
            stats.stream.received = MESSAGES;
            stats.probes.received = 1;
        }
        Facts {
            features: Some(Vec::new()),
            blockers: Some(vec![format!(
                "0000:01:00.1: {NO_MIGRATION}: Inappropriate ioctl"
            )]),
            traffic: Some(traffic),
            ended: Some(()),
            reusable: Some(()),
            ..Facts::default()
        }
    }

    #[test]
    fn a_good_run_has_no_problem() {
        assert_eq!(failed(&good()), [""; 0]);
    }

    #[test]
    fn each_fault_fails_its_requirement() {
        type Fault = fn(&mut Facts);
        let faults: [(Fault, &str); 8] = [
            (
                |f| f.features = Some(vec!["MIGRATION"]),
                "device_has_no_migration",
            ),
            (|f| f.blockers = Some(Vec::new()), "qemu_finds_no_migration"),
            (
                |f| {
                    let traffic = f.traffic.as_mut().unwrap();
                    traffic.guest.stream.sent -= 1;
                    traffic.peer.stream.received -= 1;
                },
                "traffic_flows_both_ways",
            ),
            (
                |f| f.traffic.as_mut().unwrap().guest.probes.received = 0,
                "traffic_flows_both_ways",
            ),
            (
                |f| f.traffic.as_mut().unwrap().guest.stream.sent += 1,
                "traffic_intact",
            ),
            (|f| f.ended = None, "guest_powered_off"),
            (|f| f.reusable = None, "device_usable_afterwards"),
            (|f| f.alarms.push("BUG: x".into()), "guest_kernel_log_clean"),
        ];
        for (fault, name) in faults {
            let mut facts = good();
            fault(&mut facts);
            assert_eq!(failed(&facts), [name]);
        }
    }

    #[test]
    fn what_was_not_reached_says_why() {
        let facts = Facts {
            error: Some("no VF".into()),
            ..Facts::default()
        };
        for verdict in verdicts(&facts) {
            assert_eq!(verdict.problem.as_deref(), Some("not reached: no VF"));
        }
    }
}
