// SPDX-License-Identifier: GPL-2.0
//! The device's states and the arcs between them, from the text above
//! `enum vfio_device_mig_state`.

use std::collections::VecDeque;
use std::fmt;

use crate::uapi::{MIGRATION_P2P, MIGRATION_PRE_COPY, MIGRATION_STOP_COPY};

/// `enum vfio_device_mig_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    Error = 0,
    Stop = 1,
    Running = 2,
    StopCopy = 3,
    Resuming = 4,
    RunningP2p = 5,
    PreCopy = 6,
    PreCopyP2p = 7,
}

use State::{Error, PreCopy, PreCopyP2p, Resuming, Running, RunningP2p, Stop, StopCopy};

impl State {
    pub const ALL: [Self; 8] = [
        Error, Stop, Running, StopCopy, Resuming, RunningP2p, PreCopy, PreCopyP2p,
    ];

    /// The state with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u32 == number)
    }

    /// The flags that a device must announce to have it.
    fn needs(self) -> u64 {
        match self {
            Error | Running => 0,
            Stop | StopCopy | Resuming => MIGRATION_STOP_COPY,
            RunningP2p => MIGRATION_STOP_COPY | MIGRATION_P2P,
            PreCopy => MIGRATION_STOP_COPY | MIGRATION_PRE_COPY,
            PreCopyP2p => MIGRATION_STOP_COPY | MIGRATION_P2P | MIGRATION_PRE_COPY,
        }
    }

    /// Whether a device with these flags has it.
    pub fn exists(self, flags: u64) -> bool {
        self.needs() & flags == self.needs()
    }

    /// One of the group that shares a session for saving.
    pub fn saves(self) -> bool {
        matches!(self, PreCopy | PreCopyP2p | StopCopy)
    }

    /// One of the two in which VFIO_MIG_GET_PRECOPY_INFO is valid.
    pub fn is_precopy(self) -> bool {
        matches!(self, PreCopy | PreCopyP2p)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error => "ERROR",
            Stop => "STOP",
            Running => "RUNNING",
            StopCopy => "STOP_COPY",
            Resuming => "RESUMING",
            RunningP2p => "RUNNING_P2P",
            PreCopy => "PRE_COPY",
            PreCopyP2p => "PRE_COPY_P2P",
        })
    }
}

/// The arcs that the text names, in its order.
const ARCS: [(State, State); 15] = [
    (RunningP2p, Stop),
    (StopCopy, Stop),
    (Resuming, Stop),
    (PreCopy, Running),
    (RunningP2p, Running),
    (PreCopyP2p, RunningP2p),
    (Running, RunningP2p),
    (Stop, RunningP2p),
    (Running, PreCopy),
    (RunningP2p, PreCopyP2p),
    (Stop, StopCopy),
    (PreCopy, PreCopyP2p),
    (PreCopyP2p, PreCopy),
    (PreCopyP2p, StopCopy),
    (Stop, Resuming),
];

/// What the text wants of a request to change the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arc {
    /// Refused, and why.
    Refused(&'static str),
    /// Made, by way of these states; the last one is the one asked for.
    Path(Vec<State>),
}

/// What must become of the session that belongs to the state before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// There was none, and there is none.
    None,
    /// Begins: a descriptor is returned.
    Begins,
    /// Goes on with the descriptor that there is.
    Continues,
    /// Ends.
    Ends,
    /// The one ends, and another begins.
    Replaced,
}

/// What must happen on a request to go `from` one state `to` another.
pub fn arc(from: State, to: State, flags: u64) -> Arc {
    if to == Error {
        return Arc::Refused("ERROR cannot be specified as a device state");
    }
    if !to.exists(flags) {
        return Arc::Refused("the device does not announce the state");
    }
    if from == Error {
        return Arc::Refused("only a reset leads out of ERROR");
    }
    if from == StopCopy && matches!(to, PreCopy | PreCopyP2p) {
        return Arc::Refused("the arc is not permitted");
    }
    match shortest(from, to) {
        // States that the device does not have are passed over.
        Some(path) => Arc::Path(
            path.into_iter()
                .filter(|state| state.exists(flags))
                .collect(),
        ),
        None => Arc::Refused("no arc leads there"),
    }
}

/// What must become of a session on the way.
pub fn session(from: State, path: &[State]) -> Session {
    let Some(&to) = path.last() else {
        return if from.saves() || from == Resuming {
            Session::Continues
        } else {
            Session::None
        };
    };
    let had = from.saves() || from == Resuming;
    if from.saves() && path.iter().all(|state| state.saves()) {
        return Session::Continues;
    }
    match (had, to.saves() || to == Resuming) {
        (false, false) => Session::None,
        (false, true) => Session::Begins,
        (true, false) => Session::Ends,
        (true, true) => Session::Replaced,
    }
}

/// The shortest path with no state of the saving group in between. A way that stays within
/// that group passes through it all the same: moving there continues the session.
fn shortest(from: State, to: State) -> Option<Vec<State>> {
    let within = from.saves() && to.saves();
    let mut queue = VecDeque::from([(from, Vec::new())]);
    let mut seen = vec![from];
    while let Some((at, path)) = queue.pop_front() {
        if at == to {
            return Some(path);
        }
        if at != from && at.saves() && !within {
            continue;
        }
        for (_, next) in ARCS.into_iter().filter(|(start, _)| *start == at) {
            if !seen.contains(&next) {
                seen.push(next);
                let mut longer = path.clone();
                longer.push(next);
                queue.push_back((next, longer));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = MIGRATION_STOP_COPY | MIGRATION_P2P | MIGRATION_PRE_COPY;

    fn path(from: State, to: State, flags: u64) -> Vec<State> {
        match arc(from, to, flags) {
            Arc::Path(path) => path,
            refused => panic!("{from} to {to}: {refused:?}"),
        }
    }

    /// The list in the comment of `vfio_mig_get_next_state()`, which the text refers to.
    #[test]
    fn the_kernels_own_list() {
        let list: [&[State]; 25] = [
            &[PreCopy, PreCopyP2p, StopCopy],
            &[PreCopy, Running, RunningP2p],
            &[PreCopy, Running, RunningP2p, Stop],
            &[PreCopy, Running, RunningP2p, Stop, Resuming],
            &[PreCopyP2p, RunningP2p, Running],
            &[PreCopyP2p, RunningP2p, Stop],
            &[PreCopyP2p, RunningP2p, Stop, Resuming],
            &[Resuming, Stop, RunningP2p],
            &[Resuming, Stop, RunningP2p, PreCopyP2p],
            &[Resuming, Stop, RunningP2p, Running],
            &[Resuming, Stop, RunningP2p, Running, PreCopy],
            &[Resuming, Stop, StopCopy],
            &[Running, RunningP2p, PreCopyP2p],
            &[Running, RunningP2p, Stop],
            &[Running, RunningP2p, Stop, Resuming],
            &[Running, RunningP2p, Stop, StopCopy],
            &[RunningP2p, Running, PreCopy],
            &[RunningP2p, Stop, Resuming],
            &[RunningP2p, Stop, StopCopy],
            &[Stop, RunningP2p, PreCopyP2p],
            &[Stop, RunningP2p, Running],
            &[Stop, RunningP2p, Running, PreCopy],
            &[StopCopy, Stop, Resuming],
            &[StopCopy, Stop, RunningP2p],
            &[StopCopy, Stop, RunningP2p, Running],
        ];
        for states in list {
            let (from, to) = (states[0], states[states.len() - 1]);
            assert_eq!(path(from, to, ALL), &states[1..], "{from} to {to}");
        }
        let (mut made, mut still) = (0, 0);
        for from in State::ALL {
            for to in State::ALL {
                match arc(from, to, ALL) {
                    Arc::Path(path) if path.is_empty() => still += 1,
                    Arc::Path(_) => made += 1,
                    Arc::Refused(_) => {}
                }
            }
        }
        // Of 49 pairs: 7 of a state with itself, 2 that are blocked, the 25, and the 15 arcs.
        assert_eq!((made, still), (40, 7));
    }

    #[test]
    fn states_that_the_device_has_not_are_passed_over() {
        let plain = MIGRATION_STOP_COPY;
        assert_eq!(path(Running, StopCopy, plain), [Stop, StopCopy]);
        assert_eq!(path(Stop, Running, plain), [Running]);
        assert!(matches!(arc(Running, PreCopy, plain), Arc::Refused(_)));
        assert!(matches!(arc(Running, RunningP2p, plain), Arc::Refused(_)));
        let precopy = plain | MIGRATION_PRE_COPY;
        assert_eq!(path(PreCopy, StopCopy, precopy), [StopCopy]);
        assert_eq!(path(PreCopy, Stop, precopy), [Running, Stop]);
        assert!(matches!(arc(Running, PreCopyP2p, precopy), Arc::Refused(_)));
        let p2p = plain | MIGRATION_P2P;
        assert_eq!(path(Running, Stop, p2p), [RunningP2p, Stop]);
        assert!(matches!(arc(RunningP2p, PreCopyP2p, p2p), Arc::Refused(_)));
    }

    #[test]
    fn sessions() {
        let of = |from, to| session(from, &path(from, to, ALL));
        assert_eq!(of(Running, StopCopy), Session::Begins);
        assert_eq!(of(PreCopy, StopCopy), Session::Continues);
        assert_eq!(of(StopCopy, StopCopy), Session::Continues);
        assert_eq!(of(PreCopy, Stop), Session::Ends);
        assert_eq!(of(StopCopy, Resuming), Session::Replaced);
        assert_eq!(of(Resuming, PreCopy), Session::Replaced);
        assert_eq!(of(Stop, Running), Session::None);
    }
}
