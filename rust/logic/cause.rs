// SPDX-License-Identifier: GPL-2.0

//! Why something was refused: more than an errno can say, in one line, for the
//! kernel log and debugfs.

use super::{
    admin_command,
    load_error::LoadError, //
};
use core::fmt;

/// Why an arc, a read, a write or a question failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The incoming stream is not one to load.
    Stream(LoadError),
    /// The device, or the PF's driver, refused an admin command.
    Command {
        /// The command's opcode.
        opcode: u16,
    },
    /// The device's answer to how large its context may be: nothing, or more than
    /// can be read.
    ContextSize {
        /// The answer in bytes.
        size: u32,
        /// The most bytes that can be read.
        limit: usize,
    },
    /// The device says that it wrote nothing, or more than there was room for.
    Written {
        /// What it says, in bytes.
        written: u32,
        /// The room in bytes.
        room: usize,
    },
    /// What the device gave as its parts does not add up.
    DeviceParts,
    /// A resource object could not be destroyed: its id stays taken, in the
    /// device and in the PF's driver, until the PF is reset.
    ObjectLost {
        /// The id.
        id: u32,
    },
    /// Nothing more is known than the errno.
    Unexplained,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => write!(f, "migration stream: {error}"),
            Self::Command { opcode } => {
                write!(f, "admin command {} failed", admin_command::name(*opcode))
            }
            Self::ContextSize { size: 0, .. } => f.write_str("device says that it has no context"),
            Self::ContextSize { size, limit } => write!(
                f,
                "context of up to {size} bytes: an admin command takes {limit}"
            ),
            Self::Written { written, room } => {
                write!(f, "device says that it wrote {written} bytes of {room}")
            }
            Self::DeviceParts => f.write_str("device parts do not add up to the device's context"),
            Self::ObjectLost { id } => write!(f, "resource object {id} not destroyed"),
            Self::Unexplained => f.write_str("no cause known"),
        }
    }
}

/// A cause and the errno that went with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// What userspace got, positive.
    pub errno: i32,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (errno {})", self.cause, self.errno)
    }
}

/// The last failure, and whether it is news.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastFailure {
    last: Option<Failure>,
    /// It was not reported since things were last in order.
    stale: bool,
}

impl LastFailure {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            last: None,
            stale: true,
        }
    }

    /// Keeps `failure`. Says whether it is news: a failure that userspace merely
    /// ran into again is none.
    pub fn set(&mut self, failure: Failure) -> bool {
        let news = self.stale || self.last != Some(failure);
        self.last = Some(failure);
        self.stale = false;
        news
    }

    /// Keeps that something failed with `errno`, unless a cause of just that is
    /// known. Says whether it is news.
    pub fn set_errno(&mut self, errno: i32) -> bool {
        if !self.stale && self.last.is_some_and(|last| last.errno == errno) {
            return false;
        }
        self.set(Failure {
            cause: Cause::Unexplained,
            errno,
        })
    }

    /// Things are in order again: the same failure would be a new one.
    pub fn recovered(&mut self) {
        self.stale = true;
    }

    /// The last failure.
    pub const fn get(&self) -> Option<Failure> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Header;
    use super::*;

    const FAILURE: Failure = Failure {
        cause: Cause::Command { opcode: 0x0f },
        errno: 22,
    };

    #[test]
    fn texts() {
        assert_eq!(
            FAILURE.to_string(),
            "admin command DEV_PARTS_GET failed (errno 22)"
        );
        let error = LoadError::UnknownRecord(Header {
            size: 1,
            flags: 2,
            tag: 3,
        });
        assert_eq!(
            Cause::Stream(error).to_string(),
            "migration stream: unknown mandatory record (tag 0x3)"
        );
    }

    #[test]
    fn one_line_each() {
        for cause in [
            Cause::Stream(LoadError::Oversize { size: 9, limit: 8 }),
            Cause::Stream(LoadError::NoData),
            Cause::ContextSize { size: 0, limit: 1 },
            Cause::ContextSize {
                size: u32::MAX,
                limit: 1,
            },
            Cause::Written {
                written: 7,
                room: 6,
            },
            Cause::DeviceParts,
            Cause::ObjectLost { id: 1 },
            Cause::Unexplained,
        ] {
            let text = cause.to_string();
            assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
        }
    }

    #[test]
    fn the_same_again_is_no_news() {
        let mut last = LastFailure::new();
        assert_eq!(last.get(), None);
        assert!(last.set(FAILURE));
        assert!(!last.set(FAILURE));
        let other = Failure {
            errno: 5,
            ..FAILURE
        };
        assert!(last.set(other));
        assert!(last.set(FAILURE));
        last.recovered();
        assert_eq!(last.get(), Some(FAILURE));
        assert!(last.set(FAILURE));
    }

    #[test]
    fn an_errno_does_not_hide_its_cause() {
        let mut last = LastFailure::new();
        last.set(FAILURE);
        assert!(!last.set_errno(22));
        assert_eq!(last.get(), Some(FAILURE));
        assert!(last.set_errno(12));
        assert_eq!(last.get().map(|f| f.cause), Some(Cause::Unexplained));
        last.set(FAILURE);
        last.recovered();
        assert!(last.set_errno(22));
        assert_eq!(last.get().map(|f| f.cause), Some(Cause::Unexplained));
    }
}
