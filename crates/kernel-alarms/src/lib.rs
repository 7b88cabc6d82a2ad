// SPDX-License-Identifier: GPL-2.0
//! The texts by which Linux says that something is wrong with it: one list for all
//! who read a kernel log, be it `/dev/kmsg` or the console of a virtual machine.

/// Texts that are printed for no other reason than a fault of the kernel, or of a check
/// for such faults that has given up.
const ALARMS: &[&str] = &[
    // Any subsystem.
    "WARNING: ",
    "BUG: ",
    "kernel BUG at",
    "Oops: ",
    "Kernel panic",
    "general protection fault",
    "double fault",
    "unable to handle",
    "refcount_t: ",
    "rust_kernel: panicked",
    // Sanitizers and other checks of memory.
    "KASAN: ",
    "KCSAN: ",
    "KFENCE: ",
    "KMSAN: ",
    "UBSAN: ",
    "ODEBUG: ",
    "unreferenced object",
    "Slab corruption",
    "list_add corruption",
    "list_del corruption",
    // Somebody waits for too long.
    "blocked for more than",
    "blocked in I/O wait for more than",
    "self-detected stall",
    "detected stalls",
    "detected expedited stalls",
    "hard LOCKUP",
    "soft lockup",
    // lockdep: what it finds, and that it looks no further.
    "possible circular locking",
    "possible recursive locking",
    "possible irq lock inversion",
    "possible deadlock",
    "suspicious RCU usage",
    "inconsistent lock state",
    "bad unlock balance",
    "held lock freed",
    "lock held when returning to user space",
    "trying to register non-static key",
    "turning off the locking correctness validator",
    "Disabling lock debugging due to kernel taint",
];

/// Does this line of a kernel log report a fault?
pub fn is_alarm(line: &str) -> bool {
    ALARMS.iter().any(|alarm| line.contains(alarm))
}

/// The lines of `log` that report a fault, without their ends.
pub fn in_log(log: &str) -> impl Iterator<Item = &str> {
    log.lines()
        .map(|line| line.trim_end_matches('\r'))
        .filter(|line| is_alarm(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found() {
        for line in [
            "WARNING: CPU: 0 PID: 7 at drivers/vfio/vfio_main.c:1 vfio_x+0x1/0x2",
            "WARNING: drivers/vfio/vfio_main.c:1 at vfio_x+0x1/0x2, CPU#0: x/7",
            "WARNING: possible circular locking dependency detected",
            "BUG: KASAN: slab-use-after-free in x",
            "[ BUG: Invalid wait context ]",
            "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [x:1]",
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "INFO: task x:12 blocked for more than 120 seconds.",
            "INFO: trying to register non-static key.",
            "turning off the locking correctness validator.",
            "Disabling lock debugging due to kernel taint",
            "UBSAN: array-index-out-of-bounds in x.c:3:4",
            "BUG: KCSAN: data-race in x / y",
            "ODEBUG: free active (active state 0) object: 0 object type: timer_list",
            "refcount_t: underflow; use-after-free.",
            "unreferenced object 0xffff888003e0f000 (size 64):",
            "Oops: general protection fault, probably for non-canonical address",
            "rust_kernel: panicked at x.rs:1:2:",
        ] {
            assert!(is_alarm(line), "{line}");
        }
    }

    #[test]
    fn the_rest_is_left_alone() {
        for line in [
            "",
            "virtio_vfio_pci_rs: loading out-of-tree module taints kernel.",
            "AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x1]",
            "debug: unmapping init memory",
            "rcu: \tRCU debug extended QS entry/exit.",
            "kmemleak: Kernel memory leak detector initialized",
            "Lock dependency validator: Copyright (c) 2006 Red Hat, Inc.",
        ] {
            assert!(!is_alarm(line), "{line}");
        }
    }

    #[test]
    fn a_log_is_read_line_by_line() {
        let log = "[ 0.1] Linux version\r\n[ 4.0] WARNING: x\r\n[ 5.0] BUG: y\r\n";
        let found: Vec<_> = in_log(log).collect();
        assert_eq!(found, ["[ 4.0] WARNING: x", "[ 5.0] BUG: y"]);
    }
}
