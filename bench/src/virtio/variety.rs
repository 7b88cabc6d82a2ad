// SPDX-License-Identifier: GPL-2.0
//! What devices have, or lack, beside what the bench's have by default. See
//! Documentation/bench.rst.

use std::str::FromStr;

use clap::Args;

use super::features;

/// How all functions vary, and how single ones do.
#[derive(Args, Clone, Debug, Default)]
pub struct Variety {
    /// Do not offer event indices
    #[arg(long)]
    pub no_event_idx: bool,

    /// Offer VIRTIO_F_ORDER_PLATFORM
    #[arg(long)]
    pub order_platform: bool,

    /// Offer VIRTIO_F_NOTIFICATION_DATA
    #[arg(long)]
    pub notification_data: bool,

    /// Offer VIRTIO_F_RING_RESET
    #[arg(long)]
    pub ring_reset: bool,

    /// Offer VIRTIO_NET_F_MTU with this value
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(68..))]
    pub mtu: Option<u16>,

    /// Offer VIRTIO_NET_F_GUEST_ANNOUNCE
    #[arg(long)]
    pub guest_announce: bool,

    /// Offer VIRTIO_NET_F_CSUM: the device completes checksums
    #[arg(long)]
    pub checksum: bool,

    /// Take receive buffers before there are frames for them
    #[arg(long)]
    pub receive_ahead: bool,

    /// Offer the disk for reading only
    #[arg(long)]
    pub read_only: bool,

    /// Make one function another kind of device than the others, such as vf2:no-event-idx
    #[arg(long = "differ", value_name = "FUNCTION:HOW")]
    pub differences: Vec<Difference>,
}

/// How one function differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `pf`, `vf1`, ...
    pub function: String,
    /// In what.
    pub how: How,
}

/// In what functions can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// These features of the transport or the device type are not offered.
    Lacks(u64),
    /// No queue but the administration virtqueue has more descriptors.
    QueueSize(u16),
    /// There are so many MSI-X vectors.
    Vectors(u16),
    /// There are so many bytes of ballast in the device parts.
    ExtraParts(usize),
}

impl FromStr for Difference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (function, how) = text.split_once(':').ok_or("FUNCTION:HOW is needed")?;
        let (name, value) = match how.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (how, None),
        };
        let how = match (name, value) {
            ("no-mrg-rxbuf", None) => How::Lacks(features::NET_MRG_RXBUF),
            ("no-ctrl-vlan", None) => How::Lacks(features::NET_CTRL_VLAN),
            ("no-discard", None) => How::Lacks(features::BLK_DISCARD),
            ("no-indirect", None) => How::Lacks(features::RING_INDIRECT_DESC),
            ("no-event-idx", None) => How::Lacks(features::RING_EVENT_IDX),
            ("queue-size", Some(size)) => match size.parse::<u16>() {
                Ok(size) if size.is_power_of_two() && size >= 2 => How::QueueSize(size),
                _ => return Err("queue-size: a power of two".into()),
            },
            ("vectors", Some(count)) => match count.parse() {
                Ok(count @ 1..=64) => How::Vectors(count),
                _ => return Err("vectors: 1 to 64".into()),
            },
            ("extra-parts", Some(bytes)) => How::ExtraParts(
                bytes
                    .parse()
                    .map_err(|_| "extra-parts: a number of bytes")?,
            ),
            _ => {
                return Err(
                    "no-mrg-rxbuf, no-ctrl-vlan, no-discard, no-indirect, no-event-idx, \
                            queue-size=N, vectors=N or extra-parts=BYTES"
                        .into(),
                );
            }
        };
        Ok(Self {
            function: function.into(),
            how,
        })
    }
}

impl Variety {
    /// Features of the transport that functions with this variety offer, of those that there
    /// are by default, and beside them.
    pub fn transport(&self, by_default: u64) -> u64 {
        let mut offered = by_default;
        if self.no_event_idx {
            offered &= !features::RING_EVENT_IDX;
        }
        for (wanted, feature) in [
            (self.order_platform, features::ORDER_PLATFORM),
            (self.notification_data, features::NOTIFICATION_DATA),
            (self.ring_reset, features::RING_RESET),
        ] {
            if wanted {
                offered |= feature;
            }
        }
        offered
    }

    /// In what the function called `name` differs.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = How> + 'a {
        let all = self.differences.iter();
        all.filter(move |difference| difference.function == name)
            .map(|difference| difference.how)
    }
}
