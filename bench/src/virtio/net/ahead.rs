// SPDX-License-Identifier: GPL-2.0
//! Receive buffers that a device takes before there are frames for them, as hardware does
//! that cannot wait for memory when a frame comes. It gives back those it has not used
//! when it is stopped, with nothing written to them: device parts have no place for them.

use std::collections::VecDeque;

use crate::virtio::chain::{Chain, RingError};
use crate::virtio::kind::Session;

/// The buffers of all receive queues.
#[derive(Clone, Debug)]
pub struct Ahead {
    /// By queue pair.
    taken: Vec<VecDeque<Chain>>,
}

impl Ahead {
    pub fn new(pairs: u16) -> Self {
        Self {
            taken: vec![VecDeque::new(); pairs.into()],
        }
    }

    /// Takes all buffers that there are in a receive queue.
    pub fn take(&mut self, queue: u16, session: &mut Session) -> Result<(), RingError> {
        let mem = session.mem;
        let Some(ring) = session.ring(queue) else {
            return Ok(());
        };
        let taken = &mut self.taken[usize::from(queue / 2)];
        loop {
            while let Some(chain) = ring.pop(mem)? {
                taken.push_back(chain);
            }
            if !ring.wait(mem)? {
                return Ok(());
            }
        }
    }

    /// The buffers of a pair, the oldest first.
    pub fn of(&mut self, pair: usize) -> &mut VecDeque<Chain> {
        &mut self.taken[pair]
    }

    pub fn holds(&self) -> bool {
        self.taken.iter().any(|taken| !taken.is_empty())
    }

    /// Gives all buffers back.
    pub fn give_back(&mut self, session: &mut Session) -> Result<(), RingError> {
        let mem = session.mem;
        for (queue, taken) in (0..).step_by(2).zip(&mut self.taken) {
            let used: Vec<(u16, u32)> = taken.drain(..).map(|chain| (chain.head(), 0)).collect();
            session.counters.returned_buffers += used.len() as u64;
            if let Some(ring) = session.ring(queue) {
                ring.publish(mem, &used)?;
                session.signal_if_wanted(queue)?;
            }
        }
        Ok(())
    }

    pub fn forget(&mut self) {
        self.taken.iter_mut().for_each(VecDeque::clear);
    }
}
