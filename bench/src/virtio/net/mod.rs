// SPDX-License-Identifier: GPL-2.0
//! The network device (virtio 1.4, section 5.1). No checksum or segmentation
//! offloads: the guest sums, every frame is as it would be on a wire.
//!
//! - [`data`]: transmit and receive queues;
//! - [`control`]: the control queue;
//! - [`filter`]: receive filters;
//! - [`state`]: device parts;
//! - [`steering`]: which receive queue a frame goes to.

use self::filter::Filter;
use self::steering::Steering;
use super::chain::RingError;
use super::features::{
    NET_CTRL_MAC_ADDR, NET_CTRL_RX, NET_CTRL_VLAN, NET_CTRL_VQ, NET_MAC, NET_MQ, NET_MRG_RXBUF,
    NET_STATUS,
};
use super::kind::{Kind, Session};
use super::parts::{Part, PartWriter, Refusal};

pub mod control;
pub mod data;
pub mod filter;
pub mod state;
pub mod steering;

pub type Mac = [u8; 6];

/// Queue pairs at most.
pub const MAX_PAIRS: u16 = 8;

const DEVICE_TYPE: u16 = 1;
const PCI_CLASS_ETHERNET: u32 = 0x02_0000;
const DATA_QUEUE_SIZE: u16 = 256;
const CONTROL_QUEUE_SIZE: u16 = 64;
const STATUS_LINK_UP: u16 = 1;

/// A network device.
#[derive(Clone, Debug)]
pub struct Net {
    default_mac: Mac,
    max_pairs: u16,
    merge: bool,
    mac: Mac,
    /// Queue pairs in use.
    pairs: u16,
    filter: Filter,
    steering: Steering,
}

impl Net {
    pub fn new(mac: Mac, max_pairs: u16, merge: bool) -> Self {
        let filter = Filter::default();
        Self {
            default_mac: mac,
            max_pairs,
            merge,
            mac,
            pairs: 1,
            filter,
            steering: Steering::default(),
        }
    }

    /// What a queue is for, which depends on the number of queues in use.
    fn role(&self, features: u64, queue: u16) -> Role {
        let pairs = if features & NET_MQ != 0 {
            self.max_pairs
        } else {
            1
        };
        match queue {
            q if q == 2 * pairs && features & NET_CTRL_VQ != 0 => Role::Control,
            q if q >= 2 * pairs => Role::None,
            q if q % 2 == 0 => Role::Receive,
            _ => Role::Transmit,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Receive,
    Transmit,
    Control,
    None,
}

impl Kind for Net {
    fn device_type(&self) -> u16 {
        DEVICE_TYPE
    }

    fn pci_class(&self) -> u32 {
        PCI_CLASS_ETHERNET
    }

    fn features(&self) -> u64 {
        let mut features =
            NET_MAC | NET_STATUS | NET_CTRL_VQ | NET_CTRL_RX | NET_CTRL_VLAN | NET_CTRL_MAC_ADDR;
        if self.merge {
            features |= NET_MRG_RXBUF;
        }
        if self.max_pairs > 1 {
            features |= NET_MQ;
        }
        features
    }

    fn acceptable(&self, features: u64) -> bool {
        let need_control = NET_CTRL_RX | NET_CTRL_VLAN | NET_CTRL_MAC_ADDR | NET_MQ;
        features & NET_CTRL_VQ != 0 || features & need_control == 0
    }

    fn queue_sizes(&self) -> Vec<u16> {
        let mut sizes = vec![DATA_QUEUE_SIZE; 2 * usize::from(self.max_pairs)];
        sizes.push(CONTROL_QUEUE_SIZE);
        sizes
    }

    fn config(&self) -> Vec<u8> {
        let mut config = self.mac.to_vec();
        config.extend(STATUS_LINK_UP.to_le_bytes());
        config.extend(self.max_pairs.to_le_bytes());
        config
    }

    fn config_fields(&self) -> Vec<usize> {
        vec![size_of::<Mac>(), 2, 2]
    }

    /// Without the command for it, the address is set where it is read.
    fn write_legacy_config(&mut self, at: usize, data: &[u8]) {
        for (byte, new) in self.mac.iter_mut().skip(at).zip(data) {
            *byte = *new;
        }
    }

    fn service(&mut self, queue: u16, session: &mut Session) -> Result<bool, RingError> {
        match self.role(session.features, queue) {
            Role::Transmit => {
                let before = session.sent.len();
                let result = data::transmit(queue, session);
                for frame in &session.sent[before..] {
                    self.steering.learn(frame, queue / 2);
                }
                result
            }
            Role::Control => self.control(queue, session),
            // Receive buffers are taken when there is a frame for them.
            Role::Receive | Role::None => Ok(false),
        }
    }

    fn accepts(&self, features: u64, frame: &[u8]) -> bool {
        self.filter.accepts(features, &self.mac, frame)
    }

    fn receive(&mut self, frames: &[&[u8]], session: &mut Session) -> Result<(), RingError> {
        data::receive(self.pairs, &self.steering, frames, session)
    }

    fn mac(&self) -> Option<Mac> {
        Some(self.mac)
    }

    fn reset(&mut self) {
        *self = Self::new(self.default_mac, self.max_pairs, self.merge);
    }

    fn save(&self, parts: &mut PartWriter) {
        self.save_parts(parts);
    }

    fn max_saved(&self) -> usize {
        state::MAX_SAVED
    }

    fn load(&mut self, part: &Part) -> Result<(), Refusal> {
        self.load_part(part)
    }

    fn duplicate(&self) -> Box<dyn Kind> {
        Box::new(self.clone())
    }
}
