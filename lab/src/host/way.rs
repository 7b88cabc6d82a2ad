// SPDX-License-Identifier: GPL-2.0
//! The way that a guest takes from one VMM to another.

/// Where a guest is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// To who listens at this address.
    Tcp(String),
    /// Into a file.
    File(&'static str),
}

/// How a guest gets from one VMM to another.
#[derive(Clone, Debug)]
pub struct Transfer {
    pub route: Route,
    /// Bytes of memory sent in a second, at most.
    pub bandwidth: u64,
    /// Connections for memory beside the first.
    pub channels: Option<u32>,
    /// The source waits for the target's word before it stops the guest.
    pub switchover_ack: bool,
}

/// QEMU's default.
pub const BANDWIDTH: u64 = 128 << 20;
/// So few that a guest's memory takes a minute, all of which is pre-copy.
const CRAWL: u64 = 512 << 10;

impl Transfer {
    /// From one VMM to another that waits for it.
    pub fn live() -> Self {
        Self {
            route: Route::Tcp("127.0.0.1:7010".into()),
            bandwidth: BANDWIDTH,
            channels: None,
            switchover_ack: false,
        }
    }

    /// The same so slowly that there is time to do something during pre-copy.
    pub fn crawling() -> Self {
        Self {
            bandwidth: CRAWL,
            ..Self::live()
        }
    }
}
