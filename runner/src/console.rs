// SPDX-License-Identifier: GPL-2.0
//! What a kernel log says that it should not.

pub use supervise::tail;

/// The lines of a kernel log that report a fault of the kernel.
pub fn alarms(log: &str) -> Vec<&str> {
    kernel_alarms::in_log(log).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_faults_and_only_them() {
        let log = "[    0.1] Linux version 7.3.4\r\n\
                   [    3.0] virtio_vfio_pci_rs: loading out-of-tree module taints kernel.\r\n\
                   [    4.0] WARNING: CPU: 0 PID: 12 at drivers/vfio/vfio_main.c:12\r\n\
                   [    5.0] BUG: kernel NULL pointer dereference\r\n";
        assert_eq!(alarms(log).len(), 2);
        assert!(alarms(log)[0].ends_with("vfio_main.c:12"));
    }
}
