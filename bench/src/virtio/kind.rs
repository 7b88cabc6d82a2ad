// SPDX-License-Identifier: GPL-2.0
//! What a device type adds to the transport.
//!
//! The transport calls a [`Kind`] with the rings and the memory of its function
//! and never with those of another. A kind keeps no ring state of its own: a
//! buffer taken is completed, or given back, before the call returns, or at the
//! latest when the device is stopped ([`Kind::finish`]).

use std::time::{Duration, Instant};

use vfio_bench_protocol::Counters;

use super::chain::RingError;
use super::parts::{Part, PartWriter, Refusal};
use super::queue::Ring;
use crate::iommu::DmaMemory;

/// An Ethernet frame, from destination address to payload, without checksum.
pub type Frame = Vec<u8>;

/// One run of a kind on its rings.
pub struct Session<'a> {
    pub mem: &'a DmaMemory,
    /// Features the driver accepted.
    pub features: u64,
    /// Rings by queue index; `None` where the queue does not run.
    pub rings: &'a mut [Option<Ring>],
    pub counters: &'a mut Counters,
    /// Frames that leave the device.
    pub sent: Vec<Frame>,
    /// Queues of which the driver wants to hear.
    pub signal: Vec<u16>,
    /// The device configuration changed.
    pub config_changed: bool,
}

impl Session<'_> {
    /// The ring of a queue, if it runs.
    pub fn ring(&mut self, queue: u16) -> Option<&mut Ring> {
        self.rings.get_mut(usize::from(queue))?.as_mut()
    }

    /// Signals `queue` if its driver wants to hear of what was published.
    pub fn signal_if_wanted(&mut self, queue: u16) -> Result<(), RingError> {
        let mem = self.mem;
        if let Some(ring) = self.ring(queue) {
            if ring.wants_interrupt(mem)? {
                self.signal.push(queue);
            }
        }
        Ok(())
    }
}

/// A device type.
pub trait Kind: Send {
    /// The virtio device type number.
    fn device_type(&self) -> u16;

    /// PCI class code.
    fn pci_class(&self) -> u32;

    /// Features offered by the device type.
    fn features(&self) -> u64;

    /// Whether this subset of the offered features is consistent.
    fn acceptable(&self, features: u64) -> bool;

    /// Maximum sizes of the queues.
    fn queue_sizes(&self) -> Vec<u16>;

    /// The device configuration structure as it reads now.
    fn config(&self) -> Vec<u8>;

    /// Lengths of the fields of the device configuration, from its start on.
    fn config_fields(&self) -> Vec<usize> {
        vec![self.config().len()]
    }

    /// A legacy driver's write to the device configuration. Types whose legacy
    /// interface has nothing to write ignore it.
    fn write_legacy_config(&mut self, _at: usize, _data: &[u8]) {}

    /// Works on the buffers of a queue; true if it left some for later.
    fn service(&mut self, queue: u16, session: &mut Session) -> Result<bool, RingError>;

    /// Whether the receive filters let `frame` in.
    fn accepts(&self, _features: u64, _frame: &[u8]) -> bool {
        false
    }

    /// Delivers frames that were accepted. Those without room are dropped.
    fn receive(&mut self, _frames: &[&[u8]], _session: &mut Session) -> Result<(), RingError> {
        Ok(())
    }

    /// When a buffer that was taken is to be completed.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Completes the buffers that are due at `until`, or all that were taken.
    fn finish(&mut self, _until: Option<Instant>, _session: &mut Session) -> Result<(), RingError> {
        Ok(())
    }

    /// Whether buffers were taken that must be given back before the device stops.
    fn holds(&self) -> bool {
        false
    }

    /// Connects it to its switch, or not: whether that changed anything, if it has a link.
    fn set_link(&mut self, _up: bool) -> Option<bool> {
        None
    }

    /// Asks the driver to announce itself, if it has accepted that.
    fn announce(&mut self, _features: u64) -> bool {
        false
    }

    /// Forgets the buffers that were taken: their rings are no more.
    fn abandon(&mut self) {}

    /// Makes requests take this long; false if the type has no requests.
    fn set_delay(&mut self, _delay: Duration) -> bool {
        false
    }

    /// The address that the switch is to find at this device's port.
    fn mac(&self) -> Option<[u8; 6]> {
        None
    }

    /// Back to the power-on state.
    fn reset(&mut self);

    /// Appends the parts of this device type.
    fn save(&self, parts: &mut PartWriter);

    /// Upper bound of the bytes that `save` appends.
    fn max_saved(&self) -> usize;

    /// Takes over one part. Called on a copy that is dropped if anything is
    /// refused.
    fn load(&mut self, part: &Part) -> Result<(), Refusal>;

    /// A copy to try a change on.
    fn duplicate(&self) -> Box<dyn Kind>;
}
