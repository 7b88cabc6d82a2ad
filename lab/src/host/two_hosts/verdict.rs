// SPDX-License-Identifier: GPL-2.0
//! What must be true of a guest that was migrated to another host, judged from the facts
//! alone.

use vvp_harness::kmod;

use super::{Facts, Manager};
use crate::host::outcome::{Outcome, ensure, reached};
use crate::host::verdict::{Verdict, judge};
use crate::host::{page_verdict, traffic_verdict};

/// The device status of a device that its driver uses.
const DRIVER_OK: u8 = 4;

/// Judges the facts.
pub fn verdicts(manager: Manager, facts: &Facts) -> Vec<Verdict> {
    let binding = &facts.libvirt;
    let work = &facts.work;
    let mut outcomes = Vec::new();
    let by_libvirt = manager == Manager::Libvirt;
    if by_libvirt {
        outcomes.extend([
            ("managed_takes_our_driver", is_ours(&binding.chosen)),
            ("given_back_by_destroy", is_same(&binding.given_back, facts)),
            ("named_driver_is_taken", is_ours(&binding.named)),
        ]);
    }
    outcomes.extend([
        ("guest_up", runs(facts)),
        ("migration_completed", migrated(facts)),
    ]);
    if by_libvirt {
        outcomes.push(("given_back_by_migration", is_same(&binding.left, facts)));
    }
    outcomes.extend([
        ("target_device_runs", target(facts)),
        ("stream_continued", traffic_verdict::continued(work)),
        ("stream_intact", traffic_verdict::intact_at_the_end(work)),
        ("device_pages_arrived", page_verdict::fresh(work)),
        ("target_device_writes_pages", page_verdict::rewritten(work)),
        ("guest_powered_off", reached(&facts.ended).copied()),
    ]);
    if by_libvirt {
        let left = &facts.left_on_target;
        outcomes.push(("given_back_on_target", is_same(left, facts)));
    }
    outcomes.push(("guest_kernel_log_clean", quiet(facts)));
    judge(facts.error.as_deref(), outcomes)
}

fn is_ours(driver: &Option<String>) -> Outcome {
    let driver = reached(driver)?;
    ensure(driver == kmod::OURS, || format!("the driver is {driver}"))
}

/// The driver is what it was before libvirt had to do with the function.
fn is_same(driver: &Option<String>, facts: &Facts) -> Outcome {
    let driver = reached(driver)?;
    let before = reached(&facts.libvirt.before)?;
    ensure(driver == before, || {
        format!("the driver is {driver}, and was {before}")
    })
}

fn runs(facts: &Facts) -> Outcome {
    traffic_verdict::runs(reached(&facts.work.before)?)
}

fn migrated(facts: &Facts) -> Outcome {
    let result = reached(&facts.migrated)?;
    result.clone().map_err(Into::into)
}

/// The guest uses the function of the target, by our driver.
fn target(facts: &Facts) -> Outcome {
    let device = reached(&facts.target)?;
    let runs = device.driver.as_deref() == Some(kmod::OURS)
        && device.status & DRIVER_OK != 0
        && !device.stopped
        && device.sent > 0
        && device.received > 0;
    ensure(runs, || format!("{device:?}"))
}

fn quiet(facts: &Facts) -> Outcome {
    reached(&facts.ended)?;
    match facts.alarms.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} lines, the first: {first}", facts.alarms.len()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::report::Traffic;
    use crate::host::two_hosts::far::Device;
    use crate::host::two_hosts::libvirt::Binding;
    use crate::stats::PageStats;

    fn failed(manager: Manager, facts: &Facts) -> Vec<String> {
        verdicts(manager, facts)
            .into_iter()
            .filter(|verdict| verdict.problem.is_some())
            .map(|verdict| verdict.name)
            .collect()
    }

    /// A run as it should be.
    fn good() -> Facts {
        let traffic = |messages: u64| {
            let mut traffic = Traffic::default();
            for stats in [&mut traffic.guest, &mut traffic.peer] {
                stats.stream.sent = messages;
                stats.stream.received = messages;
            }
            Some(traffic)
        };
        let pages = PageStats {
            pages: 64,
            writes: 1000,
            moved: true,
            stale: Some(0),
            ..PageStats::default()
        };
        let mut facts = Facts {
            libvirt: Binding {
                before: Some("virtio-pci".into()),
                chosen: Some(kmod::OURS.into()),
                given_back: Some("virtio-pci".into()),
                named: Some(kmod::OURS.into()),
                left: Some("virtio-pci".into()),
            },
            migrated: Some(Ok(())),
            target: Some(Device {
                driver: Some(kmod::OURS.into()),
                status: 0xf,
                stopped: false,
                sent: 1,
                received: 1,
            }),
            ended: Some(()),
            left_on_target: Some("virtio-pci".into()),
            ..Facts::default()
        };
        facts.work.before = traffic(500);
        facts.work.after = traffic(5000);
        facts.work.end = traffic(6000);
        facts.work.pages = Some(pages.clone());
        facts.work.pages_rewritten = Some(pages);
        facts
    }

    #[test]
    fn a_good_run_passes() {
        for manager in [Manager::Libvirt, Manager::Qemu] {
            assert_eq!(failed(manager, &good()), [""; 0]);
        }
    }

    #[test]
    fn each_fault_fails_its_requirement() {
        type Fault = fn(&mut Facts);
        let faults: [(Fault, &str); 11] = [
            (
                |f| f.libvirt.chosen = Some("vfio-pci".into()),
                "managed_takes_our_driver",
            ),
            (
                |f| f.libvirt.given_back = Some("none".into()),
                "given_back_by_destroy",
            ),
            (|f| f.libvirt.named = None, "named_driver_is_taken"),
            (|f| f.work.before = None, "guest_up"),
            (
                |f| f.migrated = Some(Err("refused".into())),
                "migration_completed",
            ),
            (
                |f| f.libvirt.left = Some("none".into()),
                "given_back_by_migration",
            ),
            (
                |f| f.target.as_mut().unwrap().stopped = true,
                "target_device_runs",
            ),
            (
                |f| f.work.pages.as_mut().unwrap().stale = Some(1),
                "device_pages_arrived",
            ),
            (|f| f.work.end = None, "stream_intact"),
            (|f| f.left_on_target = None, "given_back_on_target"),
            (|f| f.alarms.push("BUG: x".into()), "guest_kernel_log_clean"),
        ];
        for (fault, requirement) in faults {
            let mut facts = good();
            fault(&mut facts);
            let names = failed(Manager::Libvirt, &facts);
            assert!(
                names.iter().any(|name| name == requirement),
                "{requirement}: {names:?}"
            );
        }
    }
}
