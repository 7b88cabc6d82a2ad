// SPDX-License-Identifier: GPL-2.0
//! Versions of the protocol.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A version of the protocol. What is added makes a new minor version, anything else a new
/// major one: whoever knows another major version must not go on.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Version {
    /// Changes when something that was there changes or goes.
    pub major: u16,
    /// Changes when something is added.
    pub minor: u16,
}

impl Version {
    /// What this crate speaks.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };

    /// Whether programs of these two versions understand each other.
    pub fn understands(self, other: Self) -> bool {
        self.major == other.major
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
