// SPDX-License-Identifier: GPL-2.0
//! The block device (virtio 1.4, section 5.2), without device parts of its own:
//! the specification defines none.
//!
//! - [`disk`]: the medium, which all functions share;
//! - [`request`]: what a single request does;
//! - [`held`]: requests whose completion a slow disk holds back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::disk::{Disk, Medium, SECTOR};
use self::held::Held;
use super::chain::RingError;
use super::features::{
    BLK_BLK_SIZE, BLK_DISCARD, BLK_FLUSH, BLK_MQ, BLK_RO, BLK_SEG_MAX, BLK_WRITE_ZEROES,
};
use super::kind::{Kind, Session};
use super::parts::{Part, PartWriter, Refusal};

pub mod disk;
mod held;
mod request;

/// Queues of a function at most.
pub const MAX_QUEUES: u16 = 8;

const DEVICE_TYPE: u16 = 2;
/// A mass storage controller of no other sort.
const PCI_CLASS_STORAGE: u32 = 0x01_8000;
const QUEUE_SIZE: u16 = 128;
/// Segments of data: header and status need a descriptor each.
const SEG_MAX: u32 = QUEUE_SIZE as u32 - 2;
/// Requests that one run takes before it lets others have their turn.
const BUDGET: usize = 64;

/// What the block devices of a machine are to be like.
#[derive(Clone, Debug)]
pub struct Config {
    /// Request queues of each function.
    pub queues: u16,
    /// What is behind all functions.
    pub medium: Medium,
}

/// A block device.
#[derive(Clone, Debug)]
pub struct Blk {
    disk: Arc<Disk>,
    queues: u16,
    read_only: bool,
    held: Held,
}

impl Blk {
    pub fn new(disk: Arc<Disk>, queues: u16, read_only: bool) -> Self {
        Self {
            disk,
            queues,
            read_only,
            held: Held::default(),
        }
    }

    /// The features that requests go by. The disk is for reading only whether the driver has
    /// accepted to know it or not.
    fn rights(&self, features: u64) -> u64 {
        match self.read_only {
            true => features | BLK_RO,
            false => features & !BLK_RO,
        }
    }

    /// Whether requests may be made on this queue.
    fn in_use(&self, features: u64, queue: u16) -> bool {
        let queues = if features & BLK_MQ != 0 {
            self.queues
        } else {
            1
        };
        queue < queues
    }

    /// Executes requests; true if some are left.
    fn work(&mut self, queue: u16, session: &mut Session) -> Result<bool, RingError> {
        let mem = session.mem;
        for _ in 0..BUDGET {
            let Some(ring) = session.ring(queue) else {
                return Ok(false);
            };
            let Some(chain) = ring.pop(mem)? else {
                if ring.wait(mem)? {
                    continue;
                }
                return Ok(false);
            };
            let written = request::execute(
                &chain,
                mem,
                self.rights(session.features),
                &self.disk,
                session.counters,
            )?;
            if !self.held.hold(queue, (chain.head(), written)) {
                if let Some(ring) = session.ring(queue) {
                    ring.publish(mem, &[(chain.head(), written)])?;
                }
            }
        }
        Ok(true)
    }
}

impl Kind for Blk {
    fn device_type(&self) -> u16 {
        DEVICE_TYPE
    }

    fn pci_class(&self) -> u32 {
        PCI_CLASS_STORAGE
    }

    fn features(&self) -> u64 {
        let mut features = BLK_SEG_MAX | BLK_BLK_SIZE | BLK_FLUSH;
        features |= match self.read_only {
            true => BLK_RO,
            false => BLK_DISCARD | BLK_WRITE_ZEROES,
        };
        match self.queues {
            1 => features,
            _ => features | BLK_MQ,
        }
    }

    fn acceptable(&self, _features: u64) -> bool {
        true
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; self.queues.into()]
    }

    /// `struct virtio_blk_config` up to the fields for WRITE ZEROES. Those of
    /// features that are not offered are zero.
    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; 60];
        let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.disk.sectors().to_le_bytes());
        put(12, &SEG_MAX.to_le_bytes());
        put(20, &(SECTOR as u32).to_le_bytes());
        put(34, &self.queues.to_le_bytes());
        // Discarding, its alignment, writing zeroes, which may unmap.
        put(36, &request::MAX_RANGE_SECTORS.to_le_bytes());
        put(40, &request::MAX_RANGES.to_le_bytes());
        put(44, &1u32.to_le_bytes());
        put(48, &request::MAX_RANGE_SECTORS.to_le_bytes());
        put(52, &request::MAX_RANGES.to_le_bytes());
        put(56, &[1]);
        config
    }

    fn service(&mut self, queue: u16, session: &mut Session) -> Result<bool, RingError> {
        if !self.in_use(session.features, queue) {
            return Ok(false);
        }
        let result = self.work(queue, session);
        // What was done before a failure stays done.
        session.signal_if_wanted(queue)?;
        result
    }

    fn holds(&self) -> bool {
        self.held.due().is_some()
    }

    fn due(&self) -> Option<Instant> {
        self.held.due()
    }

    fn finish(&mut self, until: Option<Instant>, session: &mut Session) -> Result<(), RingError> {
        let released = self.held.release(until);
        if until.is_none() {
            session.counters.drained_requests += released.len() as u64;
        }
        for (queue, used) in released {
            let mem = session.mem;
            if let Some(ring) = session.ring(queue) {
                ring.publish(mem, &[used])?;
                session.signal_if_wanted(queue)?;
            }
        }
        Ok(())
    }

    fn set_delay(&mut self, delay: Duration) -> bool {
        self.held.set_delay(delay);
        true
    }

    fn abandon(&mut self) {
        self.held.forget();
    }

    fn reset(&mut self) {}

    fn save(&self, _parts: &mut PartWriter) {}

    fn max_saved(&self) -> usize {
        0
    }

    fn load(&mut self, part: &Part) -> Result<(), Refusal> {
        Err(part.refuse("block devices have no such part"))
    }

    fn duplicate(&self) -> Box<dyn Kind> {
        Box::new(self.clone())
    }
}
