// SPDX-License-Identifier: GPL-2.0
//! Names of what a stream consists of (virtio 1.4, sections 2.13.8, 4.1.4.3, 5 and
//! 5.1.6.5).

use logic::record::{TAG_DEVICE_DATA, TAG_END, TAG_IDENTITY};

pub const NETWORK: u16 = 1;
pub const BLOCK: u16 = 2;

/// A queue's configuration.
pub const VQ_CFG: u16 = 0x104;
/// How a queue is notified.
pub const VQ_NOTIFY_CFG: u16 = 0x105;
/// A field of the common configuration.
pub const PCI_COMMON_CFG: u16 = 0x102;
/// The device status.
pub const DEVICE_STATUS: u16 = 0x103;
/// A setting that the control queue made.
pub const NET_CVQ_CFG: u16 = 0x200;

/// What a record with this tag is.
pub fn record_name(tag: u32) -> &'static str {
    match tag {
        TAG_DEVICE_DATA => "device data",
        TAG_IDENTITY => "identity",
        TAG_END => "end",
        _ => "unknown",
    }
}

/// The name of a virtio device type.
pub fn device_type(number: u16) -> String {
    let name = match number {
        NETWORK => "network",
        BLOCK => "block",
        3 => "console",
        4 => "entropy",
        8 => "SCSI host",
        16 => "GPU",
        19 => "socket",
        20 => "crypto",
        26 => "file system",
        _ => return format!("type {number}"),
    };
    name.to_owned()
}

/// The name of a part type.
pub fn part_name(kind: u16) -> String {
    let name = match kind {
        0x100 => "DEV_FEATURES",
        0x101 => "DRV_FEATURES",
        PCI_COMMON_CFG => "PCI_COMMON_CFG",
        DEVICE_STATUS => "DEVICE_STATUS",
        VQ_CFG => "VQ_CFG",
        VQ_NOTIFY_CFG => "VQ_NOTIFY_CFG",
        NET_CVQ_CFG => "NET_CVQ_CFG",
        _ => return format!("{kind:#x}"),
    };
    name.to_owned()
}

/// Which of the parts of its type a part is, if the type has several.
pub fn selector(kind: u16, selector: &[u8; 8]) -> Option<String> {
    let number = u64::from_le_bytes(*selector);
    match kind {
        0x100 | 0x101 | DEVICE_STATUS if number == 0 => None,
        PCI_COMMON_CFG => Some(common_field(number)),
        VQ_CFG | VQ_NOTIFY_CFG => Some(format!("queue {number}")),
        NET_CVQ_CFG => Some(setting(selector[0], selector[1])),
        _ => Some(format!("selector {number:#x}")),
    }
}

fn common_field(offset: u64) -> String {
    let name = match offset {
        0x00 => "device_feature_select",
        0x04 => "device_feature",
        0x08 => "driver_feature_select",
        0x0c => "driver_feature",
        0x10 => "config_msix_vector",
        0x12 => "num_queues",
        0x14 => "device_status",
        0x15 => "config_generation",
        0x16 => "queue_select",
        0x18 => "queue_size",
        0x1a => "queue_msix_vector",
        0x1c => "queue_enable",
        0x1e => "queue_notify_off",
        0x20 => "queue_desc",
        0x28 => "queue_driver",
        0x30 => "queue_device",
        0x38 => "queue_notif_config_data",
        0x3a => "queue_reset",
        0x3c => "admin_queue_index",
        0x3e => "admin_queue_num",
        _ => return format!("field {offset:#x}"),
    };
    name.to_owned()
}

fn setting(class: u8, command: u8) -> String {
    let name = match (class, command) {
        (0, 0) => "RX PROMISC",
        (0, 1) => "RX ALLMULTI",
        (0, 2) => "RX ALLUNI",
        (0, 3) => "RX NOMULTI",
        (0, 4) => "RX NOUNI",
        (0, 5) => "RX NOBCAST",
        (1, 0) => "MAC TABLE_SET",
        (1, 1) => "MAC ADDR_SET",
        (2, 0) => "VLAN ADD",
        (3, 0) => "ANNOUNCE ACK",
        (4, 0) => "MQ VQ_PAIRS_SET",
        (4, 1) => "MQ RSS_CONFIG",
        (4, 2) => "MQ HASH_CONFIG",
        _ => return format!("class {class} command {command}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_names() {
        assert_eq!(part_name(0x104), "VQ_CFG");
        assert_eq!(part_name(0x5ff), "0x5ff");
        assert_eq!(selector(0x100, &[0; 8]), None);
        assert_eq!(
            selector(0x102, &[0x12, 0, 0, 0, 0, 0, 0, 0]).unwrap(),
            "num_queues"
        );
        assert_eq!(
            selector(0x105, &[3, 0, 0, 0, 0, 0, 0, 0]).unwrap(),
            "queue 3"
        );
        assert_eq!(
            selector(0x200, &[1, 1, 0, 0, 0, 0, 0, 0]).unwrap(),
            "MAC ADDR_SET"
        );
        assert_eq!(
            selector(0x5ff, &[0, 1, 0, 0, 0, 0, 0, 0]).unwrap(),
            "selector 0x100"
        );
    }
}
