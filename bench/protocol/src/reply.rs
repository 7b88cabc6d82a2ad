// SPDX-License-Identifier: GPL-2.0
//! What a bench answers. A client ignores fields that it does not know: a later minor version
//! may have more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::version::Version;
use crate::{Error, Result, hex};

/// Answer to `hello`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hello {
    /// `vfio-bench`.
    pub program: String,
    /// Its version.
    pub version: String,
    /// The version of the protocol that it speaks.
    pub protocol: Version,
}

/// Answer to `parts`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DeviceParts {
    /// As DEV_PARTS_GET would return them.
    #[serde(with = "hex::bytes")]
    pub parts: Vec<u8>,
}

/// Answer to `dma-writes`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DmaWrites {
    /// Addresses of pages of 4 KiB, as the function sees them.
    #[serde(with = "hex::numbers")]
    pub pages: Vec<u64>,
}

/// What one virtqueue looks like.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Queue {
    /// Its number.
    pub index: u16,
    /// Descriptors.
    pub size: u16,
    /// Whether the driver has enabled it.
    pub enabled: bool,
    /// Its MSI-X vector.
    pub vector: u16,
    /// Address of the descriptors.
    #[serde(with = "hex::number")]
    pub desc: u64,
    /// Address of the driver's area.
    #[serde(with = "hex::number")]
    pub driver: u64,
    /// Address of the device's area.
    #[serde(with = "hex::number")]
    pub device: u64,
    /// Where the device looks for buffers next.
    pub next_avail: u16,
    /// Where the device returns buffers next.
    pub next_used: u16,
}

/// What a function has counted since the bench began.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Counters {
    /// Frames that the driver has sent.
    pub tx_frames: u64,
    /// Bytes of them.
    pub tx_bytes: u64,
    /// Frames that could not be sent.
    pub tx_dropped: u64,
    /// Frames that the driver was given.
    pub rx_frames: u64,
    /// Bytes of them.
    pub rx_bytes: u64,
    /// Frames for which there was no room, or nobody.
    pub rx_dropped: u64,
    /// Block requests, those that failed among them.
    pub requests: u64,
    /// Block requests that failed.
    pub failed_requests: u64,
    /// Requests that were in flight when the device was stopped.
    pub drained_requests: u64,
    /// Receive buffers that were given back unused when the device was stopped.
    pub returned_buffers: u64,
    /// Bytes read from the disk.
    pub read_bytes: u64,
    /// Bytes written to the disk.
    pub written_bytes: u64,
    /// Flushes of the disk.
    pub flushes: u64,
    /// Interrupts raised.
    pub interrupts: u64,
    /// Pages that the page writer has written.
    pub page_writes: u64,
}

/// One PCI function of the bench.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FunctionState {
    /// `pf`, `vf1`, `vf2`, ...
    pub name: String,
    /// Device status register.
    pub status: u8,
    /// Features that the driver has accepted.
    #[serde(with = "hex::number")]
    pub features: u64,
    /// In the admin command set's STOPPED mode.
    pub stopped: bool,
    /// It exists: the PF always, a VF if the PF's driver has enabled it.
    pub enabled: bool,
    /// Its address; zeroes for a block function.
    pub mac: String,
    /// Its queues.
    pub queues: Vec<Queue>,
    /// What it has counted.
    pub counters: Counters,
}

/// The IOMMU.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct IommuState {
    /// The driver has switched it on.
    pub enabled: bool,
    /// Accesses that were refused.
    pub faults: u64,
    /// Page tables that were walked.
    pub walks: u64,
    /// Translations that were remembered.
    pub iotlb_hits: u64,
    /// Dirty bits that were set.
    pub dirty_bits_set: u64,
    /// Whether it sets any: see [`crate::Request::DirtyBits`].
    pub dirty_bits: bool,
    /// Accesses that were permitted and met no memory.
    pub outside: u64,
    /// Commands, by name.
    pub commands: BTreeMap<String, u64>,
}

/// A resource object of the admin queue.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AdminObject {
    /// Its identifier.
    pub id: u32,
    /// 0 to get device parts with, 1 to set them with.
    #[serde(rename = "type")]
    pub kind: u8,
    /// The VF that it is for.
    pub member: u64,
}

/// The admin queue's side.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct AdminState {
    /// Objects that exist.
    pub objects: Vec<AdminObject>,
    /// Commands seen, by opcode (`0x..`).
    pub commands: BTreeMap<String, u64>,
}

/// What kind of device the functions are where the standard leaves that open, or says
/// SHOULD only.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Choices {
    /// DEV_PARTS_SET verifies PCI_COMMON_CFG parts and does not apply them.
    pub verify_common_cfg: bool,
    /// DEV_PARTS_GET gives with selected parts those that must precede them.
    pub get_predecessors: bool,
    /// A ring keeps its positions, whatever is set, as long as it is the same ring.
    pub private_ring_positions: bool,
    /// No queue repeats its notification when a device with new parts resumes.
    pub quiet_resume: bool,
    /// The switch knows an address from frames only, not from the function that has it.
    pub no_mac_learning: bool,
}

/// The link of the switch to that of another bench.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct LinkState {
    /// The other bench is there.
    pub up: bool,
    /// Frames that were not taken to it: it was away, or did not keep up.
    pub dropped: u64,
}

/// Answer to `state`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct State {
    /// The PF's first.
    pub functions: Vec<FunctionState>,
    /// What kind of device they are.
    pub choices: Choices,
    /// The link to another bench's switch, if it has one.
    #[serde(default)]
    pub link: Option<LinkState>,
    /// The IOMMU in front of them.
    pub iommu: IommuState,
    /// The administration virtqueue.
    pub admin: AdminState,
}

impl State {
    /// The function called `name`.
    pub fn function(&self, name: &str) -> Result<&FunctionState> {
        self.functions
            .iter()
            .find(|function| function.name == name)
            .ok_or_else(|| Error::NoFunction(name.to_owned()))
    }

    /// How many commands the bench has executed.
    pub fn all_commands(&self) -> u64 {
        self.admin.commands.values().sum()
    }

    /// How often the bench has executed `opcode`.
    pub fn commands(&self, opcode: u16) -> u64 {
        let key = format!("{opcode:#x}");
        self.admin.commands.get(&key).copied().unwrap_or(0)
    }
}
