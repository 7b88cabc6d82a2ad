// SPDX-License-Identifier: GPL-2.0
//! What can be asked of a bench.

use serde::{Deserialize, Serialize};

/// A request. What it does not have is refused, so that nobody believes in a fault that was
/// never injected.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "cmd", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Who is there? Answered by [`crate::Hello`], in every version of the protocol.
    Hello {},
    /// Is anybody there?
    Ping {},
    /// Everything that can be seen. Answered by [`crate::State`].
    State {},
    /// The device parts of a function as they are now. Answered by
    /// [`crate::reply::DeviceParts`].
    Parts {
        /// `pf`, `vf1`, `vf2`, ...
        function: String,
    },
    /// Interferes with admin commands.
    Inject(Injection),
    /// Answers the commands that were silenced.
    Release {},
    /// Forgets what was injected and has not happened yet.
    ClearFaults {},
    /// Whether the IOMMU sets dirty bits.
    DirtyBits {
        /// If not, migration must lose data, and a test must notice.
        enabled: bool,
    },
    /// Which pages a function has written. Answered by [`crate::reply::DmaWrites`].
    DmaWrites {
        /// Whose list it is.
        function: String,
        /// Whether the list begins anew.
        #[serde(default)]
        clear: bool,
    },
    /// Changes a byte of the ballast in a function's device parts.
    PokeExtra {
        /// Whose ballast it is.
        function: String,
        /// The byte's place in it.
        position: usize,
        /// What it becomes.
        value: u8,
    },
    /// Gives a function's device parts ballast, in place of what it has.
    Ballast {
        /// Whose ballast it is.
        function: String,
        /// How many bytes it has.
        bytes: usize,
        /// How many of them are in a part.
        part_size: usize,
    },
    /// Changes a byte in each of some parts of the ballast.
    TouchBallast {
        /// Whose ballast it is.
        function: String,
        /// How many parts.
        parts: usize,
    },
    /// How long requests of block functions take.
    SlowDisk {
        /// 0 ends it.
        delay_ms: u64,
    },
    /// Whether a network function is connected to its switch.
    Link {
        /// Which function.
        function: String,
        /// If not, no frames come or go, and its driver is told.
        up: bool,
    },
    /// Asks the driver of a network function to announce itself (`--guest-announce`).
    Announce {
        /// Which function.
        function: String,
    },
    /// Makes the disk in memory larger or smaller, and tells the drivers.
    ResizeDisk {
        /// What it has from now on: whole sectors of 512.
        bytes: u64,
    },
    /// A function comes to need a reset.
    NeedReset {
        /// Which function.
        function: String,
    },
    /// Takes a function away without a word, or puts it back as if it were new.
    Remove {
        /// Which function.
        function: String,
        /// Whether it is away.
        gone: bool,
    },
    /// Ends the bench.
    Shutdown {},
}

/// An interference with admin commands.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// With which commands: see [`crate::opcode`].
    pub opcode: u16,
    /// Only those for this member of the group: VF n is member n.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<u64>,
    /// The first command that is hit, counted from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// How many are hit.
    #[serde(default = "one")]
    pub count: u64,
    /// What happens to them.
    pub action: Action,
}

fn one() -> u64 {
    1
}

/// What happens to an admin command.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub enum Action {
    /// It is not executed, and ends with this status and qualifier.
    Status {
        /// An errno of Linux.
        status: u16,
        /// What else is to be said.
        qualifier: u16,
    },
    /// It is executed, and answered this many milliseconds later.
    DelayMs(u64),
    /// It is executed this many milliseconds later, and then answered: until then the
    /// function goes on as it was.
    LateMs(u64),
    /// It is executed, and not answered before [`Request::Release`].
    Silence,
    /// The size that the metadata command reports; another result is cut or filled up to it.
    ResultSize(u32),
    /// Of the result only this many bytes are written, though the device claims to have
    /// written all.
    Withhold(u32),
    /// Each byte of the result becomes this one.
    ResultFill(u8),
}

/// Actions as they are written: each known by the names of its fields.
#[derive(Deserialize, Serialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = r#"an action is one of {"status":N,"qualifier":N}, {"delay_ms":N}, {"late_ms":N}, {"silence":true}, {"result_size":N}, {"written":N} and {"result_fill":N}"#
)]
enum Wire {
    Status { status: u16, qualifier: u16 },
    Delay { delay_ms: u64 },
    Late { late_ms: u64 },
    Silence { silence: bool },
    ResultSize { result_size: u32 },
    Withhold { written: u32 },
    ResultFill { result_fill: u8 },
}

impl From<Action> for Wire {
    fn from(action: Action) -> Self {
        match action {
            Action::Status { status, qualifier } => Self::Status { status, qualifier },
            Action::DelayMs(delay_ms) => Self::Delay { delay_ms },
            Action::LateMs(late_ms) => Self::Late { late_ms },
            Action::Silence => Self::Silence { silence: true },
            Action::ResultSize(result_size) => Self::ResultSize { result_size },
            Action::Withhold(written) => Self::Withhold { written },
            Action::ResultFill(result_fill) => Self::ResultFill { result_fill },
        }
    }
}

impl TryFrom<Wire> for Action {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, &'static str> {
        Ok(match wire {
            Wire::Status { status, qualifier } => Self::Status { status, qualifier },
            Wire::Delay { delay_ms } => Self::DelayMs(delay_ms),
            Wire::Late { late_ms } => Self::LateMs(late_ms),
            Wire::Silence { silence: true } => Self::Silence,
            Wire::Silence { silence: false } => return Err("silence is ended by \"release\""),
            Wire::ResultSize { result_size } => Self::ResultSize(result_size),
            Wire::Withhold { written } => Self::Withhold(written),
            Wire::ResultFill { result_fill } => Self::ResultFill(result_fill),
        })
    }
}
