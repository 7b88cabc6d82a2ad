// SPDX-License-Identifier: GPL-2.0

//! Pre-copy accounting: what an outgoing stream has ahead of its reader, and
//! how often the device is asked.

/// Bytes on a stream that have not been read.
///
/// The terms are those of `struct vfio_precopy_info`: *initial* bytes are what
/// the target needs before it can make use of anything that follows; *dirty*
/// bytes are changes since. Record headers count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Unread initial bytes.
    pub initial: u64,
    /// Unread dirty bytes, which lie behind the initial ones.
    pub dirty: u64,
}

impl Account {
    /// Whether everything was read.
    pub const fn is_drained(&self) -> bool {
        self.initial == 0 && self.dirty == 0
    }

    /// `count` bytes were read.
    pub fn take(&mut self, count: u64) {
        let initial = count.min(self.initial);
        self.initial -= initial;
        self.dirty = self.dirty.saturating_sub(count - initial);
    }
}

/// Lets something happen once per interval.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    interval_ms: u64,
    last_ms: u64,
}

impl RateLimit {
    /// A limit under which the thing has just happened, at `now_ms`.
    pub const fn new(interval_ms: u64, now_ms: u64) -> Self {
        Self {
            interval_ms,
            last_ms: now_ms,
        }
    }

    /// Changes the interval from the last time on.
    pub fn set_interval(&mut self, interval_ms: u64) {
        self.interval_ms = interval_ms;
    }

    /// Whether it may happen now; if so, it is taken to happen. Time does not
    /// run backwards, but if it does, nothing bad comes of it.
    pub fn allow(&mut self, now_ms: u64) -> bool {
        let allowed = now_ms.saturating_sub(self.last_ms) >= self.interval_ms;
        if allowed {
            self.last_ms = now_ms;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_bytes_go_first() {
        let mut account = Account {
            initial: 10,
            dirty: 5,
        };
        account.take(4);
        assert_eq!((account.initial, account.dirty), (6, 5));
        account.take(8);
        assert_eq!((account.initial, account.dirty), (0, 3));
        assert!(!account.is_drained());
        account.take(3);
        assert!(account.is_drained());
    }

    #[test]
    fn once_per_interval() {
        let mut limit = RateLimit::new(1000, 5000);
        assert!(!limit.allow(5000));
        assert!(!limit.allow(5999));
        assert!(limit.allow(6000));
        assert!(!limit.allow(6999));
        assert!(limit.allow(20000));
        assert!(!limit.allow(3000));
        assert!(limit.allow(21000));
    }

    #[test]
    fn a_new_interval_counts_from_the_last_time() {
        let mut limit = RateLimit::new(1000, 0);
        limit.set_interval(50);
        assert!(!limit.allow(49));
        assert!(limit.allow(50));
        limit.set_interval(u64::MAX);
        assert!(!limit.allow(u64::MAX - 1));
    }

    #[test]
    fn no_interval_is_no_limit() {
        let mut limit = RateLimit::new(0, 0);
        assert!(limit.allow(0) && limit.allow(0));
    }
}
