// SPDX-License-Identifier: GPL-2.0
//! Receive filters: modes, address table, VLAN table (virtio 1.4, sections
//! 5.1.6.5.1 to 5.1.6.5.3).
//!
//! A driver that did not negotiate CTRL_RX gets every frame, and one that did
//! not negotiate CTRL_VLAN gets frames of every VLAN.

use std::collections::BTreeSet;

use super::Mac;
use crate::virtio::bytes::{array, u16_at};
use crate::virtio::features::{NET_CTRL_RX, NET_CTRL_VLAN};

const BROADCAST: Mac = [0xff; 6];
const ETHERTYPE_VLAN: u16 = 0x8100;
const VLAN_ID_MASK: u16 = 0x0fff;
/// VLAN identifiers are below this; 0xfff is reserved.
pub const VLAN_LIMIT: u16 = 0x0fff;

/// What the driver wants to receive.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub promiscuous: bool,
    pub all_multicast: bool,
    pub unicast: Vec<Mac>,
    pub multicast: Vec<Mac>,
    pub vlans: BTreeSet<u16>,
}

/// Whether the group bit is set: multicast or broadcast.
pub fn is_group(mac: &Mac) -> bool {
    mac[0] & 1 != 0
}

impl Filter {
    /// Whether a frame comes in at a device with address `own`.
    pub fn accepts(&self, features: u64, own: &Mac, frame: &[u8]) -> bool {
        let target: Mac = array(frame, 0);
        (features & NET_CTRL_RX == 0 || self.promiscuous || self.accepts_mac(own, &target))
            && (features & NET_CTRL_VLAN == 0 || self.accepts_vlan(frame))
    }

    fn accepts_mac(&self, own: &Mac, target: &Mac) -> bool {
        if target == own || *target == BROADCAST {
            return true;
        }
        match is_group(target) {
            true => self.all_multicast || self.multicast.contains(target),
            false => self.unicast.contains(target),
        }
    }

    fn accepts_vlan(&self, frame: &[u8]) -> bool {
        if u16_at(frame, 12).swap_bytes() != ETHERTYPE_VLAN {
            return true;
        }
        let id = u16_at(frame, 14).swap_bytes() & VLAN_ID_MASK;
        // Identifier 0 is a priority without a VLAN.
        id == 0 || self.vlans.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = [2, 0, 0, 0, 0, 1];
    const OTHER: Mac = [2, 0, 0, 0, 0, 2];
    const GROUP: Mac = [0x33, 0x33, 0, 0, 0, 1];

    fn to(mac: Mac) -> Vec<u8> {
        let mut frame = mac.to_vec();
        frame.resize(60, 0);
        frame
    }

    #[test]
    fn addresses() {
        let mut filter = Filter::default();
        let accepts = |filter: &Filter, mac| filter.accepts(NET_CTRL_RX, &OWN, &to(mac));
        assert!(accepts(&filter, OWN) && accepts(&filter, BROADCAST));
        assert!(!accepts(&filter, OTHER) && !accepts(&filter, GROUP));
        assert!(filter.accepts(0, &OWN, &to(OTHER)));
        filter.unicast = vec![OTHER];
        filter.multicast = vec![GROUP];
        assert!(accepts(&filter, OTHER) && accepts(&filter, GROUP));
        filter = Filter {
            all_multicast: true,
            ..Filter::default()
        };
        assert!(accepts(&filter, GROUP) && !accepts(&filter, OTHER));
        filter = Filter {
            promiscuous: true,
            ..Filter::default()
        };
        assert!(accepts(&filter, OTHER));
    }

    #[test]
    fn vlans() {
        let mut filter = Filter::default();
        let tagged = |id: u16| {
            let mut frame = to(OWN);
            frame[12..16].copy_from_slice(&[0x81, 0, 0x20 | (id >> 8) as u8, id as u8]);
            frame
        };
        assert!(!filter.accepts(NET_CTRL_VLAN, &OWN, &tagged(5)));
        assert!(filter.accepts(NET_CTRL_VLAN, &OWN, &tagged(0)));
        assert!(filter.accepts(0, &OWN, &tagged(5)));
        filter.vlans.insert(5);
        assert!(filter.accepts(NET_CTRL_VLAN, &OWN, &tagged(5)));
        assert!(!filter.accepts(NET_CTRL_VLAN, &OWN, &tagged(6)));
    }
}
