// SPDX-License-Identifier: GPL-2.0
//! The control queue (virtio 1.4, section 5.1.6.5). A command that is refused
//! changes nothing.

use tracing::debug;

use super::Net;
use super::filter::{VLAN_LIMIT, is_group};
use crate::virtio::bytes::{array, u32_at};
use crate::virtio::chain::RingError;
use crate::virtio::features::{
    NET_CTRL_MAC_ADDR, NET_CTRL_RX, NET_CTRL_VLAN, NET_GUEST_ANNOUNCE, NET_MQ,
};
use crate::virtio::kind::Session;

pub const CLASS_RX: u8 = 0;
pub const RX_PROMISC: u8 = 0;
pub const RX_ALLMULTI: u8 = 1;
pub const CLASS_MAC: u8 = 1;
pub const MAC_TABLE_SET: u8 = 0;
pub const MAC_ADDR_SET: u8 = 1;
pub const CLASS_VLAN: u8 = 2;
pub const VLAN_ADD: u8 = 0;
const VLAN_DEL: u8 = 1;
pub const CLASS_MQ: u8 = 4;
pub const MQ_VQ_PAIRS_SET: u8 = 0;

const CLASS_ANNOUNCE: u8 = 3;
const ANNOUNCE_ACK: u8 = 0;

const ACK_OK: u8 = 0;
const ACK_ERR: u8 = 1;

/// Addresses in each of the two tables at most.
pub const MAX_MACS: usize = 128;
/// The longest command: two full tables.
pub const MAX_TABLES: usize = 2 * (4 + 6 * MAX_MACS);
/// Commands that one run executes.
const BUDGET: usize = 64;

impl Net {
    /// Executes commands; true if some are left.
    pub(super) fn control(&mut self, queue: u16, session: &mut Session) -> Result<bool, RingError> {
        let mem = session.mem;
        for _ in 0..BUDGET {
            let Some(ring) = session
                .rings
                .get_mut(usize::from(queue))
                .and_then(Option::as_mut)
            else {
                return Ok(false);
            };
            let Some(chain) = ring.pop(mem)? else {
                if ring.wait(mem)? {
                    continue;
                }
                return Ok(false);
            };
            if chain.readable() < 2 || chain.writable() < 1 {
                return Err(RingError::Malformed(
                    "control buffer without room for a command",
                ));
            }
            // One byte more than any command has, so that too long ones show.
            let command = chain.read(mem, 2 + MAX_TABLES + 1)?;
            let before = (self.mac, self.announcing);
            let done = self.execute(session.features, command[0], command[1], &command[2..]);
            debug!(
                class = command[0],
                command = command[1],
                accepted = done.is_some(),
                "control"
            );
            session.config_changed |= (self.mac, self.announcing) != before;
            let ack = if done.is_some() { ACK_OK } else { ACK_ERR };
            let written = chain.write(mem, &[ack])?;
            ring.publish(mem, &[(chain.head(), written)])?;
            if ring.wants_interrupt(mem)? {
                session.signal.push(queue);
            }
        }
        Ok(true)
    }

    /// Executes one command; `None` if it is refused.
    fn execute(&mut self, features: u64, class: u8, command: u8, data: &[u8]) -> Option<()> {
        let needed = match (class, command) {
            (CLASS_RX, _) | (CLASS_MAC, MAC_TABLE_SET) => NET_CTRL_RX,
            (CLASS_MAC, _) => NET_CTRL_MAC_ADDR,
            (CLASS_VLAN, _) => NET_CTRL_VLAN,
            (CLASS_ANNOUNCE, _) => NET_GUEST_ANNOUNCE,
            (CLASS_MQ, _) => NET_MQ,
            _ => return None,
        };
        if features & needed == 0 {
            return None;
        }
        if (class, command) == (CLASS_ANNOUNCE, ANNOUNCE_ACK) && data.is_empty() {
            self.announcing = false;
            return Some(());
        }
        if (class, command) == (CLASS_VLAN, VLAN_DEL) {
            self.filter.vlans.remove(&vlan(data)?);
            return Some(());
        }
        if (class, command) == (CLASS_VLAN, VLAN_ADD) {
            self.filter.vlans.insert(vlan(data)?);
            return Some(());
        }
        self.set(class, command, data)
    }

    /// Makes a setting that a command sets as a whole. Device parts have the
    /// same format as the commands.
    pub(super) fn set(&mut self, class: u8, command: u8, data: &[u8]) -> Option<()> {
        match (class, command) {
            (CLASS_RX, RX_PROMISC) => self.filter.promiscuous = flag(data)?,
            (CLASS_RX, RX_ALLMULTI) => self.filter.all_multicast = flag(data)?,
            (CLASS_MAC, MAC_TABLE_SET) => {
                let (unicast, rest) = table(data)?;
                let (multicast, rest) = table(rest)?;
                let sorted = !unicast.iter().any(is_group) && multicast.iter().all(is_group);
                if !rest.is_empty() || !sorted {
                    return None;
                }
                (self.filter.unicast, self.filter.multicast) = (unicast, multicast);
            }
            (CLASS_MAC, MAC_ADDR_SET) => {
                let mac = data.try_into().ok()?;
                if is_group(&mac) || mac == [0; 6] {
                    return None;
                }
                self.mac = mac;
            }
            (CLASS_MQ, MQ_VQ_PAIRS_SET) => {
                let pairs = u16::from_le_bytes(data.try_into().ok()?);
                if !(1..=self.offer.max_pairs).contains(&pairs) {
                    return None;
                }
                self.pairs = pairs;
            }
            _ => return None,
        }
        Some(())
    }
}

fn flag(data: &[u8]) -> Option<bool> {
    match data {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

fn vlan(data: &[u8]) -> Option<u16> {
    let id = u16::from_le_bytes(data.try_into().ok()?);
    (id < VLAN_LIMIT).then_some(id)
}

/// A `struct virtio_net_ctrl_mac` and what follows it.
fn table(data: &[u8]) -> Option<(Vec<super::Mac>, &[u8])> {
    if data.len() < 4 {
        return None;
    }
    let entries = usize::try_from(u32_at(data, 0)).ok()?;
    if entries > MAX_MACS || data.len() < 4 + 6 * entries {
        return None;
    }
    let (table, rest) = data[4..].split_at(6 * entries);
    Some((
        table.chunks_exact(6).map(|mac| array(mac, 0)).collect(),
        rest,
    ))
}
