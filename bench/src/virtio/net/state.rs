// SPDX-License-Identifier: GPL-2.0
//! Device parts of the network device (virtio 1.4, section 5.1.5.2): one for
//! each setting of the control queue, in the format of the command that makes
//! it. VLAN_ADD carries the whole VLAN table, as 16-bit identifiers in ascending
//! order.
//!
//! The address moves with the parts: after a load two functions have the same
//! one until the source is reset, when it gets back its own. The switch sends
//! to the one that was resumed (unless it learns from frames only), or spoke, last.

use super::Net;
use super::control::{
    CLASS_MAC, CLASS_MQ, CLASS_RX, CLASS_VLAN, MAC_ADDR_SET, MAC_TABLE_SET, MAX_TABLES,
    MQ_VQ_PAIRS_SET, RX_ALLMULTI, RX_PROMISC, VLAN_ADD,
};
use super::filter::VLAN_LIMIT;
use crate::virtio::bytes::u16_at;
use crate::virtio::parts::codec::HEADER;
use crate::virtio::parts::{NET_CVQ_CFG, Part, PartWriter, Refusal};

/// Size of all parts with all tables full.
pub const MAX_SAVED: usize = 6 * HEADER + 1 + 1 + MAX_TABLES + 6 + 2 * VLAN_LIMIT as usize + 2;

impl Net {
    pub(super) fn save_parts(&self, parts: &mut PartWriter) {
        let mut push = |class, command, value: &[u8]| {
            parts.push(NET_CVQ_CFG, [class, command, 0, 0, 0, 0, 0, 0], value);
        };
        let filter = &self.filter;
        push(CLASS_RX, RX_PROMISC, &[filter.promiscuous.into()]);
        push(CLASS_RX, RX_ALLMULTI, &[filter.all_multicast.into()]);
        let mut tables = Vec::new();
        for table in [&filter.unicast, &filter.multicast] {
            tables.extend((table.len() as u32).to_le_bytes());
            tables.extend(table.as_flattened());
        }
        push(CLASS_MAC, MAC_TABLE_SET, &tables);
        push(CLASS_MAC, MAC_ADDR_SET, &self.mac);
        let vlans: Vec<u8> = filter
            .vlans
            .iter()
            .flat_map(|id| id.to_le_bytes())
            .collect();
        push(CLASS_VLAN, VLAN_ADD, &vlans);
        push(CLASS_MQ, MQ_VQ_PAIRS_SET, &self.pairs.to_le_bytes());
    }

    pub(super) fn load_part(&mut self, part: &Part) -> Result<(), Refusal> {
        let [class, command, 0, 0, 0, 0, 0, 0] = part.selector else {
            return Err(part.refuse("reserved selector bytes are set"));
        };
        let done = match (class, command) {
            (CLASS_VLAN, VLAN_ADD) => self.load_vlans(part.value),
            _ => self.set(class, command, part.value),
        };
        done.ok_or(part.refuse("no setting of this device"))
    }

    fn load_vlans(&mut self, value: &[u8]) -> Option<()> {
        let ids: Vec<u16> = value.chunks(2).map(|id| u16_at(id, 0)).collect();
        let ascending = ids.windows(2).all(|pair| pair[0] < pair[1]);
        if value.len() % 2 != 0 || !ascending || ids.iter().any(|&id| id >= VLAN_LIMIT) {
            return None;
        }
        self.filter.vlans = ids.into_iter().collect();
        Some(())
    }
}
