// SPDX-License-Identifier: GPL-2.0
//! Names of feature bits (virtio 1.4, sections 5.1.3, 5.2.3 and 6).

use super::names::{BLOCK, NETWORK};

const TRANSPORT: &[(u32, &str)] = &[
    (24, "NOTIFY_ON_EMPTY"),
    (27, "ANY_LAYOUT"),
    (28, "INDIRECT_DESC"),
    (29, "EVENT_IDX"),
    (32, "VERSION_1"),
    (33, "ACCESS_PLATFORM"),
    (34, "RING_PACKED"),
    (35, "IN_ORDER"),
    (36, "ORDER_PLATFORM"),
    (37, "SR_IOV"),
    (38, "NOTIFICATION_DATA"),
    (39, "NOTIF_CONFIG_DATA"),
    (40, "RING_RESET"),
    (41, "ADMIN_VQ"),
];

const NET: &[(u32, &str)] = &[
    (0, "CSUM"),
    (1, "GUEST_CSUM"),
    (2, "CTRL_GUEST_OFFLOADS"),
    (3, "MTU"),
    (5, "MAC"),
    (7, "GUEST_TSO4"),
    (8, "GUEST_TSO6"),
    (9, "GUEST_ECN"),
    (10, "GUEST_UFO"),
    (11, "HOST_TSO4"),
    (12, "HOST_TSO6"),
    (13, "HOST_ECN"),
    (14, "HOST_UFO"),
    (15, "MRG_RXBUF"),
    (16, "STATUS"),
    (17, "CTRL_VQ"),
    (18, "CTRL_RX"),
    (19, "CTRL_VLAN"),
    (20, "CTRL_RX_EXTRA"),
    (21, "GUEST_ANNOUNCE"),
    (22, "MQ"),
    (23, "CTRL_MAC_ADDR"),
    (51, "DEVICE_STATS"),
    (52, "VQ_NOTF_COAL"),
    (53, "NOTF_COAL"),
    (54, "GUEST_USO4"),
    (55, "GUEST_USO6"),
    (56, "HOST_USO"),
    (57, "HASH_REPORT"),
    (59, "GUEST_HDRLEN"),
    (60, "RSS"),
    (61, "RSC_EXT"),
    (62, "STANDBY"),
    (63, "SPEED_DUPLEX"),
];

const BLK: &[(u32, &str)] = &[
    (1, "SIZE_MAX"),
    (2, "SEG_MAX"),
    (4, "GEOMETRY"),
    (5, "RO"),
    (6, "BLK_SIZE"),
    (9, "FLUSH"),
    (10, "TOPOLOGY"),
    (11, "CONFIG_WCE"),
    (12, "MQ"),
    (13, "DISCARD"),
    (14, "WRITE_ZEROES"),
    (15, "LIFETIME"),
    (16, "SECURE_ERASE"),
    (17, "ZONED"),
];

/// Names of the bits in `words`; those of a device type need it to be known.
pub fn feature_names(words: &[u64], device_type: Option<u16>) -> Vec<String> {
    let own = match device_type {
        Some(NETWORK) => NET,
        Some(BLOCK) => BLK,
        _ => &[],
    };
    let bits = (0u32..).zip(words).flat_map(|(index, word)| {
        let set = (0..64).filter(move |bit| word >> bit & 1 != 0);
        set.map(move |bit| 64 * index + bit)
    });
    bits.map(|bit| {
        let known = TRANSPORT.iter().chain(own).find(|(known, _)| *known == bit);
        known.map_or_else(|| format!("bit {bit}"), |(_, name)| (*name).to_owned())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_named_by_device_type() {
        let words = [1 << 32 | 1 << 5, 1];
        assert_eq!(
            feature_names(&words, Some(NETWORK)),
            ["MAC", "VERSION_1", "bit 64"]
        );
        assert_eq!(feature_names(&words, Some(BLOCK))[0], "RO");
        assert_eq!(feature_names(&words, None)[0], "bit 5");
    }
}
