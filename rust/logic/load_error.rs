// SPDX-License-Identifier: GPL-2.0

//! Why a stream is refused, with which errno and in which words.

use super::{
    parts::PartsError,
    record::Header, //
};
use core::fmt;

/// Why a stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// A record with a tag this loader does not know, not marked optional.
    UnknownRecord(Header),
    /// A record with flags that are not defined, or not for its tag.
    Flags(Header),
    /// A device data record without content.
    EmptyRecord,
    /// A device data record larger than a command to the device can be.
    Oversize {
        /// Size of the record's content in bytes.
        size: u64,
        /// Size of the largest content in bytes.
        limit: u64,
    },
    /// The parts in a device data record are not well formed.
    Parts(PartsError),
    /// The content of an identity or end record is none of such a record.
    Malformed,
    /// The stream is of another device type.
    DeviceType {
        /// Type of the device that was saved.
        stream: u16,
        /// Type of the device to load.
        device: u16,
    },
    /// A negotiated feature, by bit number, that the device does not offer.
    Feature(u32),
    /// A device data record with another number of parts than announced.
    PartCount {
        /// Parts announced by the identity.
        announced: u32,
        /// Parts in the record.
        found: u32,
    },
    /// The features in a device data record are not those that the identity has.
    OtherFeatures,
    /// Records are missing, or there are too many.
    RecordCount {
        /// Records that the end record counts.
        announced: u64,
        /// Records before it.
        found: u64,
    },
    /// The stream's bytes are not those that were saved.
    Checksum,
    /// There is more behind the end record.
    BehindEnd,
    /// The stream ended inside a record.
    Truncated,
    /// A stream that began with an identity ended without its end record.
    NoEnd,
    /// The stream ended before any device data.
    NoData,
}

// Errnos of Linux, which are the same for all architectures that have virtio
// functions behind an IOMMU.
const EINVAL: i32 = 22;
const EPROTO: i32 = 71;
const EBADMSG: i32 = 74;
const EILSEQ: i32 = 84;
const EMSGSIZE: i32 = 90;
const EOPNOTSUPP: i32 = 95;
const EMEDIUMTYPE: i32 = 124;

impl LoadError {
    /// The errno, positive, that tells userspace.
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Flags(_)
            | Self::EmptyRecord
            | Self::Parts(PartsError::TruncatedHeader | PartsError::PartTooLong)
            | Self::Malformed
            | Self::BehindEnd
            | Self::Truncated
            | Self::NoEnd
            | Self::NoData => EINVAL,
            Self::UnknownRecord(_) => EPROTO,
            Self::PartCount { .. }
            | Self::OtherFeatures
            | Self::RecordCount { .. }
            | Self::Checksum => EBADMSG,
            Self::Parts(PartsError::OutOfOrder(_)) => EILSEQ,
            Self::Oversize { .. } => EMSGSIZE,
            Self::Feature(_) => EOPNOTSUPP,
            Self::DeviceType { .. } => EMEDIUMTYPE,
        }
    }

    /// Whether more bytes could still make the stream whole.
    pub const fn is_premature_end(&self) -> bool {
        matches!(self, Self::Truncated | Self::NoEnd | Self::NoData)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRecord(header) => {
                write!(f, "unknown mandatory record (tag {:#x})", header.tag)
            }
            Self::Flags(header) => {
                write!(
                    f,
                    "record with flags {:#x} (tag {:#x})",
                    header.flags, header.tag
                )
            }
            Self::EmptyRecord => f.write_str("device data record without data"),
            Self::Oversize { size, limit } => {
                write!(f, "record of {size} bytes, an admin command takes {limit}")
            }
            Self::Parts(PartsError::OutOfOrder(part_type)) => {
                write!(f, "device part of type {part_type:#x} is out of order")
            }
            Self::Parts(_) => f.write_str("device parts do not add up to their record"),
            Self::Malformed => f.write_str("malformed identity or end record"),
            Self::DeviceType { stream, device } => {
                write!(
                    f,
                    "is of a device of type {stream}, this one has type {device}"
                )
            }
            Self::Feature(bit) => {
                write!(f, "uses feature {bit}, which this device does not offer")
            }
            Self::PartCount { announced, found } => {
                write!(f, "{found} device parts in a record of {announced}")
            }
            Self::OtherFeatures => f.write_str("device parts with other features than announced"),
            Self::RecordCount { announced, found } => {
                write!(f, "{found} records of {announced}")
            }
            Self::Checksum => f.write_str("checksum error"),
            Self::BehindEnd => f.write_str("goes on behind its end record"),
            Self::Truncated => f.write_str("ends inside a record"),
            Self::NoEnd => f.write_str("ends without its end record"),
            Self::NoData => f.write_str("has no device data"),
        }
    }
}
