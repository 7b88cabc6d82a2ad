// SPDX-License-Identifier: GPL-2.0
//! What the guest's kernel has to complain about.

use vvp_harness::kmsg;

use super::report::Report;

/// Texts by which the guest's kernel says that its disk failed it.
const DISK_ALARMS: [&str; 4] = ["I/O error", "EXT4-fs error", "EXT4-fs warning", "JBD2:"];

/// A warning that has nothing to do with migration or devices: once in a while a
/// timer of the guest is interrupted by itself, where QEMU emulates the processor
/// and its nested virtualization. It was seen when the machine was overloaded, and
/// is told, not held against the driver.
const TIMER_WARNING: &str = "WARNING: kernel/time/hrtimer.c:";

/// Keeps what `log`, a console of the guest's, has of it.
pub fn listen(log: &str, report: &mut Report) {
    let (faults, oddities) = complaints(log);
    report.guest_alarms.extend(faults);
    report.guest_oddities.extend(oddities);
}

/// What the guest's kernel has to complain about: faults, and what is known to come
/// from the emulated processor.
pub fn complaints(log: &str) -> (Vec<String>, Vec<String>) {
    alarms(log)
        .into_iter()
        .partition(|line| !line.contains(TIMER_WARNING))
}

/// Lines of the guest's kernel log that report a fault of it, or of its disk.
fn alarms(log: &str) -> Vec<String> {
    let disk = log
        .lines()
        .filter(|line| DISK_ALARMS.iter().any(|alarm| line.contains(alarm)));
    log.lines()
        .filter(|line| kmsg::is_trouble(line))
        .chain(disk)
        .map(|line| line.trim_end().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_from_oddities_and_the_rest() {
        let mut report = Report::default();
        let log = "[ 1.0] virtio_net virtio0: fine\r\n\
                   [ 2.0] EXT4-fs error (device vda): bad\r\n\
                   [ 3.0] WARNING: kernel/time/hrtimer.c:1030 at x\r\n\
                   [ 4.0] BUG: kernel NULL pointer dereference\r\n";
        listen(log, &mut report);
        assert_eq!(report.guest_alarms.len(), 2);
        assert_eq!(report.guest_oddities.len(), 1);
    }
}
