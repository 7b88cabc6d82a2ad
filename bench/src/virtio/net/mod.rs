// SPDX-License-Identifier: GPL-2.0
//! The network device (virtio 1.4, section 5.1). No segmentation offloads, and checksums on
//! request only: every frame is as it would be on a wire.
//!
//! - [`ahead`]: receive buffers that were taken before there were frames;
//! - [`checksum`]: completing checksums;
//! - [`data`]: transmit and receive queues;
//! - [`control`]: the control queue;
//! - [`filter`]: receive filters;
//! - [`state`]: device parts;
//! - [`steering`]: which receive queue a frame goes to.

use std::time::Instant;

use self::ahead::Ahead;
use self::filter::Filter;
use self::steering::Steering;
use super::chain::RingError;
use super::features::{
    NET_CSUM, NET_CTRL_MAC_ADDR, NET_CTRL_RX, NET_CTRL_VLAN, NET_CTRL_VQ, NET_GUEST_ANNOUNCE,
    NET_MAC, NET_MQ, NET_MRG_RXBUF, NET_MTU, NET_STATUS,
};
use super::kind::{Kind, Session};
use super::parts::{Part, PartWriter, Refusal};

mod ahead;
mod checksum;
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
const STATUS_ANNOUNCE: u16 = 2;
/// What a frame has beside the packet: addresses, type, a VLAN tag.
const MAX_FRAME_HEADER: usize = 18;

/// What network devices offer.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Queue pairs.
    pub max_pairs: u16,
    /// Frames in several buffers.
    pub merge: bool,
    /// The size of the largest packet, if it is told.
    pub mtu: Option<u16>,
    /// Asking the driver to announce itself.
    pub announce: bool,
    /// Completing checksums.
    pub checksum: bool,
    /// Not a feature: it takes receive buffers before there are frames for them.
    pub receive_ahead: bool,
}

/// A network device.
#[derive(Clone, Debug)]
pub struct Net {
    default_mac: Mac,
    offer: Offer,
    mac: Mac,
    link_up: bool,
    /// The driver is to announce itself.
    announcing: bool,
    /// Queue pairs in use.
    pairs: u16,
    filter: Filter,
    steering: Steering,
    ahead: Ahead,
}

impl Net {
    pub fn new(mac: Mac, offer: Offer) -> Self {
        let filter = Filter::default();
        Self {
            default_mac: mac,
            offer,
            mac,
            link_up: true,
            announcing: false,
            pairs: 1,
            filter,
            steering: Steering::default(),
            ahead: Ahead::new(offer.max_pairs),
        }
    }

    /// Drops the frames from number `before` on that the switch or its cable do not take.
    fn drop_what_cannot_be_sent(&self, before: usize, session: &mut Session) {
        let longest = self
            .offer
            .mtu
            .map_or(usize::MAX, |mtu| usize::from(mtu) + MAX_FRAME_HEADER);
        let frames = session.sent.split_off(before);
        for frame in frames {
            if self.link_up && frame.len() <= longest {
                session.sent.push(frame);
            } else {
                session.counters.tx_frames -= 1;
                session.counters.tx_bytes -= frame.len() as u64;
                session.counters.tx_dropped += 1;
            }
        }
    }

    /// What a queue is for, which depends on the number of queues in use.
    fn role(&self, features: u64, queue: u16) -> Role {
        let pairs = if features & NET_MQ != 0 {
            self.offer.max_pairs
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
        let offer = self.offer;
        for (offered, feature) in [
            (offer.merge, NET_MRG_RXBUF),
            (offer.max_pairs > 1, NET_MQ),
            (offer.mtu.is_some(), NET_MTU),
            (offer.announce, NET_GUEST_ANNOUNCE),
            (offer.checksum, NET_CSUM),
        ] {
            if offered {
                features |= feature;
            }
        }
        features
    }

    fn acceptable(&self, features: u64) -> bool {
        let need_control =
            NET_CTRL_RX | NET_CTRL_VLAN | NET_CTRL_MAC_ADDR | NET_MQ | NET_GUEST_ANNOUNCE;
        features & NET_CTRL_VQ != 0 || features & need_control == 0
    }

    fn queue_sizes(&self) -> Vec<u16> {
        let mut sizes = vec![DATA_QUEUE_SIZE; 2 * usize::from(self.offer.max_pairs)];
        sizes.push(CONTROL_QUEUE_SIZE);
        sizes
    }

    fn config(&self) -> Vec<u8> {
        let mut config = self.mac.to_vec();
        let mut status = 0;
        if self.link_up {
            status |= STATUS_LINK_UP;
        }
        if self.announcing {
            status |= STATUS_ANNOUNCE;
        }
        config.extend(status.to_le_bytes());
        config.extend(self.offer.max_pairs.to_le_bytes());
        if let Some(mtu) = self.offer.mtu {
            config.extend(mtu.to_le_bytes());
        }
        config
    }

    fn config_fields(&self) -> Vec<usize> {
        let mut fields = vec![size_of::<Mac>(), 2, 2];
        fields.extend(self.offer.mtu.map(|_| 2));
        fields
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
                self.drop_what_cannot_be_sent(before, session);
                for frame in &session.sent[before..] {
                    self.steering.learn(frame, queue / 2);
                }
                result
            }
            Role::Control => self.control(queue, session),
            Role::Receive if self.offer.receive_ahead => {
                self.ahead.take(queue, session)?;
                Ok(false)
            }
            // Receive buffers are taken when there is a frame for them.
            Role::Receive | Role::None => Ok(false),
        }
    }

    fn accepts(&self, features: u64, frame: &[u8]) -> bool {
        self.link_up && self.filter.accepts(features, &self.mac, frame)
    }

    fn receive(&mut self, frames: &[&[u8]], session: &mut Session) -> Result<(), RingError> {
        data::receive(self.pairs, &self.steering, &mut self.ahead, frames, session)
    }

    fn holds(&self) -> bool {
        self.ahead.holds()
    }

    fn finish(&mut self, until: Option<Instant>, session: &mut Session) -> Result<(), RingError> {
        match until {
            Some(_) => Ok(()),
            None => self.ahead.give_back(session),
        }
    }

    fn abandon(&mut self) {
        self.ahead.forget();
    }

    fn set_link(&mut self, up: bool) -> Option<bool> {
        Some(std::mem::replace(&mut self.link_up, up) != up)
    }

    fn announce(&mut self, features: u64) -> bool {
        let asked = features & NET_GUEST_ANNOUNCE != 0;
        self.announcing |= asked;
        asked
    }

    fn mac(&self) -> Option<Mac> {
        Some(self.mac)
    }

    fn reset(&mut self) {
        // The cable stays where it is.
        let link_up = self.link_up;
        *self = Self {
            link_up,
            ..Self::new(self.default_mac, self.offer)
        };
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
