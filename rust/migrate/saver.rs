// SPDX-License-Identifier: GPL-2.0

//! The outgoing stream: one record with all parts of the stopped device.

use crate::{
    logic::{
        parts,
        record::{
            Header,
            HEADER_LEN, //
        }, //
    },
    vfio,
    virtio::{
        Buffer,
        Member, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Stream of a device's state.
pub(crate) struct Saver {
    header: [u8; HEADER_LEN],
    parts: Buffer,
    /// Bytes taken off the stream.
    position: usize,
}

impl Saver {
    /// Reads the state of the stopped device. The device is not needed afterwards.
    ///
    /// # Errors
    ///
    /// ENOMEM, what the device answers, or EIO if what it gives are no parts.
    pub(super) fn new(member: &Arc<Member>) -> Result<Self> {
        let parts = member.get_parts()?.get()?;
        if parts::check(parts.pieces()).is_err() {
            dev_warn!(
                member.device(),
                "device parts do not add up to the device's context\n"
            );
            return Err(EIO);
        }
        Ok(Self {
            header: Header::device_data(parts.len() as u64).encode(),
            parts,
            position: 0,
        })
    }

    /// Length of the whole stream in bytes.
    pub(super) fn stream_size(&self) -> u64 {
        (HEADER_LEN + self.parts.len()) as u64
    }
}

/// The most bytes that a stream of this device may have.
///
/// # Errors
///
/// What the device answers.
pub(super) fn estimate(member: &Arc<Member>) -> Result<u64> {
    let parts = member.get_parts()?.max_size()?;
    Ok(HEADER_LEN as u64 + u64::from(parts))
}

impl vfio::SaveStream for Saver {
    fn peek(&self, buf: &mut [u8]) -> usize {
        let header = self.header.get(self.position..).unwrap_or(&[]);
        let count = header.len().min(buf.len());
        let (head, rest) = buf.split_at_mut(count);
        head.copy_from_slice(&header[..count]);
        let offset = self.position.saturating_sub(HEADER_LEN);
        count + self.parts.copy_to(offset, rest)
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}
