// SPDX-License-Identifier: GPL-2.0

//! What the result of an admin command means to the caller.

/// Largest number of times a command is given again after EAGAIN.
pub const MAX_RETRIES: u32 = 5;

const EIO: i32 = 5;
const ENXIO: i32 = 6;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const EOPNOTSUPP: i32 = 95;

/// Maps the return value of a `virtio_pci_admin_*` function to an errno
/// (positive), or to 0 for success.
///
/// The PF driver returns the device's 16-bit status negated, so the value may
/// be none that the kernel defines, or one that it reserves for itself. The
/// specification (virtio 1.4, 2.13.1.1) has six status codes and wants others
/// treated as EINVAL; the rest of the list is what the PF driver returns on its
/// own account.
pub const fn errno(ret: i32) -> i32 {
    match ret.checked_neg() {
        Some(0) => 0,
        Some(
            e @ (EIO | ENXIO | EAGAIN | ENOMEM | EBUSY | ENODEV | EINVAL | ENOSPC | EOPNOTSUPP),
        ) => e,
        _ => EINVAL,
    }
}

/// Whether a command that ended with `errno` may be given again: the device
/// promises that it had no effect (virtio 1.4, 2.13.1.1).
pub const fn is_transient(errno: i32) -> bool {
    errno == EAGAIN
}

/// Milliseconds to wait before retry number `attempt`, which counts from 0: 2 at
/// first and twice as long each time, for a second at most.
pub const fn delay_ms(attempt: u32) -> i64 {
    2 << if attempt < 9 { attempt } else { 9 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_success() {
        assert_eq!(errno(0), 0);
    }

    #[test]
    fn specified_codes_pass() {
        for e in [6, 11, 12, 16, 22, 28] {
            assert_eq!(errno(-e), e);
        }
    }

    #[test]
    fn everything_else_is_einval() {
        // 512 is the kernel's private ERESTARTSYS; over 4095 is no errno at all.
        for ret in [-1, -14, -512, -4095, -4096, -65535, 1, i32::MAX, i32::MIN] {
            assert_eq!(errno(ret), 22, "{ret}");
        }
    }

    #[test]
    fn retries_are_bounded_in_time() {
        let total: i64 = (0..MAX_RETRIES).map(delay_ms).sum();
        assert_eq!(total, 62);
        assert_eq!(delay_ms(u32::MAX), 1024);
    }
}
