// SPDX-License-Identifier: GPL-2.0
//! Runs with a guest inside L1, where QEMU emulates nested virtualization.
//!
//! QEMU's emulation of SVM (11.1, `helper_vmrun()`) leaves the vector of an interrupt
//! that it has injected noted as an exception to be delivered. If the emulated
//! processor is made to pause before the guest exits the next time, as it is when L1's
//! address space changes, the interrupt is delivered once more, with interrupts
//! disabled or not. Few guests survive that: they fall silent or reset, and once in a
//! while L1's kernel gets the interrupt in the middle of a switch from the guest. See
//! Documentation/upstream-findings.rst.
//!
//! Such a run says nothing about what it was to test, so it is repeated, and told.
//! Nothing else is: what the guest, or anyone, found wrong is a failure at once.

use anyhow::Result;

use crate::count::Counts;

/// How often a run is made at most.
const ATTEMPTS: usize = 5;

/// In the console log if L1's kernel died while it entered or left a guest.
pub const SWITCH: &str = "__svm_vcpu_run+";
/// What is said of such a death.
pub const DIED_IN_SWITCH: &str = "in a switch to or from a guest";

/// How a guest shows that it is no more. It is asked by a port that QEMU itself
/// emulates, so that a broken device is no reason not to answer.
const LOST_GUEST: [&str; 3] = [
    "the guest did not answer ",
    "it ended (exit status: 0)",
    "Broken pipe (os error 32)",
];

/// What its VMM says of a guest whose processor KVM cannot run any more.
const BROKEN_PROCESSOR: &str = "the guest is 'internal-error' on the target";

/// Makes a run, and makes it again if the emulator has broken it.
pub fn run(name: &str, mut attempt: impl FnMut() -> Result<Counts>) -> Result<Counts> {
    let mut given_up = Vec::new();
    loop {
        let result = attempt();
        match broken(&result) {
            Some(reason) if given_up.len() + 1 < ATTEMPTS => {
                eprintln!("    given up, once more: {reason}");
                given_up.push(reason);
            }
            _ => {
                return result.map(|mut counts| {
                    counts.reports.extend(given_up.into_iter().map(|reason| {
                        format!("{name}: a run was given up and repeated: {reason}")
                    }));
                    counts
                });
            }
        }
    }
}

/// Why the emulator is to blame, if it is.
fn broken(result: &Result<Counts>) -> Option<String> {
    match result {
        Err(error) => {
            let text = format!("{error:#}");
            let first = text.lines().next().unwrap_or_default();
            first.contains(DIED_IN_SWITCH).then(|| first.to_string())
        }
        Ok(counts) => {
            let lost = |reason: &str| {
                reason.contains(BROKEN_PROCESSOR)
                    || LOST_GUEST.iter().any(|text| reason.contains(text))
            };
            // All that failed was not reached, since the guest was lost.
            let reasons = || counts.failed.iter().map(|remark| remark.reason.as_str());
            let unreached = reasons().all(|reason| {
                reason.starts_with("not reached: ") || reason.contains(BROKEN_PROCESSOR)
            });
            reasons()
                .find(|reason| unreached && lost(reason))
                .map(str::to_string)
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    const SILENT: &str = "not reached: the guest did not answer Status within 30 s";

    fn failing(reasons: &[&str]) -> Counts {
        let mut counts = Counts::default();
        for reason in reasons {
            counts.fail("test", *reason);
        }
        counts
    }

    /// Runs with these results one after the other; says how many were asked for.
    fn attempts(results: Vec<Result<Counts>>) -> (Result<Counts>, usize) {
        let mut results = results.into_iter();
        let before = results.len();
        let result = run("stage", || results.next().expect("one more run"));
        (result, before - results.len())
    }

    #[test]
    fn a_lost_guest_is_tried_again_and_told() {
        let panic = anyhow!("L1's kernel panicked {DIED_IN_SWITCH} (logs: x)\n    console: y");
        let (result, count) = attempts(vec![
            Ok(failing(&[SILENT, SILENT])),
            Err(panic),
            Ok(failing(&[BROKEN_PROCESSOR, SILENT])),
            Ok(Counts::default()),
        ]);
        assert_eq!(count, 4);
        let counts = result.expect("counts");
        assert!(counts.failed.is_empty());
        assert_eq!(counts.reports.len(), 3);
    }

    #[test]
    fn not_for_ever() {
        let (result, count) = attempts((0..9).map(|_| Ok(failing(&[SILENT]))).collect());
        assert_eq!(count, ATTEMPTS);
        assert_eq!(result.expect("counts").failed.len(), 1);
    }

    #[test]
    fn whatever_was_found_wrong_counts_at_once() {
        for counts in [
            failing(&["3 of 64 pages stale"]),
            failing(&[SILENT, "3 of 64 pages stale"]),
            failing(&["not reached: the migration did not complete"]),
            failing(&["the guest did not answer "]),
            failing(&[BROKEN_PROCESSOR, "3 of 64 pages stale"]),
        ] {
            let (result, count) = attempts(vec![Ok(counts.clone()), Ok(Counts::default())]);
            assert_eq!((count, result.expect("counts")), (1, counts));
        }
        let (result, count) = attempts(vec![Err(anyhow!("L1's kernel panicked (logs: x)"))]);
        assert_eq!(count, 1);
        assert!(result.is_err());
    }
}
