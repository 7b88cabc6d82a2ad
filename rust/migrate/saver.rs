// SPDX-License-Identifier: GPL-2.0

//! The outgoing stream: records of device parts.
//!
//! Without pre-copy it is one record, the context of the stopped device. With
//! pre-copy it begins with the context of the running device; what follows are
//! changes. The specification has no way to ask what changed, so the whole
//! context is read again and compared, and not more often than once per
//! interval: reading it costs the device a snapshot of everything, while the
//! guest runs, and userspace asks in a tight loop.

use super::params;
use crate::{
    logic::{
        delta::{
            self,
            Change, //
        },
        parts,
        precopy::{
            Account,
            RateLimit, //
        },
        record::{
            Header,
            HEADER_LEN, //
        }, //
    },
    vfio,
    virtio::{
        GetParts,
        Member, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// Stream of a device's state.
pub(crate) struct Saver {
    /// Where more comes from; `None` once the stream is complete.
    source: Option<Source>,
    /// Records on the stream.
    records: KVVec<u8>,
    /// Bytes of `records` that were read.
    position: usize,
    account: Account,
}

/// A device in pre-copy.
struct Source {
    device: GetParts,
    /// The context a target has that has read and loaded the whole stream.
    context: KVVec<u8>,
    started: Instant<Monotonic>,
    limit: RateLimit,
    /// Userspace knows of repeated initial data.
    reinit: bool,
}

/// The device's context as it is now.
///
/// # Errors
///
/// ENOMEM, what the device answers, or EIO if what it gives are no parts.
fn read_context(device: &GetParts) -> Result<KVVec<u8>> {
    let pieces = device.get()?;
    if parts::check(pieces.pieces()).is_err() {
        dev_warn!(
            device.device(),
            "device parts do not add up to the device's context\n"
        );
        return Err(EIO);
    }
    let mut context = KVVec::with_capacity(pieces.len(), GFP_KERNEL_ACCOUNT)?;
    for piece in pieces.pieces() {
        context.extend_from_slice(piece, GFP_KERNEL_ACCOUNT)?;
    }
    Ok(context)
}

/// The most bytes that a record of the device's whole context may have.
///
/// # Errors
///
/// What the device answers.
fn max_record(device: &GetParts) -> Result<u64> {
    Ok(HEADER_LEN as u64 + u64::from(device.max_size()?))
}

/// The most bytes that a stream of this device may have in STOP_COPY.
///
/// # Errors
///
/// What the device answers.
pub(super) fn estimate(member: &Arc<Member>) -> Result<u64> {
    max_record(&member.get_parts()?)
}

impl Saver {
    /// The stream of a stopped device, which is not needed afterwards.
    ///
    /// # Errors
    ///
    /// As [`read_context`].
    pub(super) fn stopped(member: &Arc<Member>) -> Result<Self> {
        let mut saver = Self::empty();
        let context = read_context(&member.get_parts()?)?;
        saver.account.initial = saver.append(context.len(), core::iter::once(&context[..]))?;
        Ok(saver)
    }

    /// The stream of a device in pre-copy.
    ///
    /// # Errors
    ///
    /// As [`read_context`].
    pub(super) fn running(member: &Arc<Member>, reinit: bool) -> Result<Self> {
        let mut saver = Self::empty();
        let device = member.get_parts()?;
        let context = read_context(&device)?;
        saver.account.initial = saver.append(context.len(), core::iter::once(&context[..]))?;
        saver.source = Some(Source {
            device,
            context,
            started: Instant::now(),
            limit: RateLimit::new(params::precopy_interval_ms(), 0),
            reinit,
        });
        Ok(saver)
    }

    const fn empty() -> Self {
        Self {
            source: None,
            records: KVVec::new(),
            position: 0,
            account: Account {
                initial: 0,
                dirty: 0,
            },
        }
    }

    /// Puts a record on the stream, whole or not at all; gives its length.
    fn append<'a>(&mut self, size: usize, content: impl Iterator<Item = &'a [u8]>) -> Result<u64> {
        if self.position == self.records.len() {
            self.records.clear();
            self.position = 0;
        }
        let length = HEADER_LEN + size;
        self.records.reserve(length, GFP_KERNEL_ACCOUNT)?;
        let header = Header::device_data(size as u64).encode();
        // Both are within what was reserved.
        self.records
            .extend_from_slice(&header, GFP_KERNEL_ACCOUNT)?;
        for part in content {
            self.records.extend_from_slice(part, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(length as u64)
    }

    /// Puts on the stream what it lacks of the device's state, as of now. Says
    /// whether that was initial data.
    fn update(&mut self) -> Result<bool> {
        let Some(source) = self.source.take() else {
            return Err(EINVAL);
        };
        let (source, result) = self.update_from(source);
        self.source = Some(source);
        result
    }

    fn update_from(&mut self, mut source: Source) -> (Source, Result<bool>) {
        let result = (|| {
            let context = read_context(&source.device)?;
            let change = match delta::compare(&source.context, &context) {
                Change::Values(_) if !params::precopy_delta() => Change::Shape,
                change => change,
            };
            let mut initial = false;
            match change {
                Change::Nothing => return Ok(false),
                Change::Values(size) => {
                    let parts = delta::changed(&source.context, &context);
                    self.account.dirty += self.append(size, parts)?;
                }
                Change::Shape => {
                    let length = self.append(context.len(), core::iter::once(&context[..]))?;
                    // Initial bytes lie before all dirty ones.
                    initial = source.reinit && self.account.is_drained();
                    if initial {
                        self.account.initial += length;
                    } else {
                        self.account.dirty += length;
                    }
                }
            }
            source.context = context;
            Ok(initial)
        })();
        (source, result)
    }

    /// Completes the stream with the state of the stopped device.
    ///
    /// # Errors
    ///
    /// As [`read_context`]; the stream is as it was.
    pub(super) fn complete(&mut self) -> Result {
        self.update()?;
        self.source = None;
        Ok(())
    }

    /// Length of what STOP_COPY still has, or at most has.
    ///
    /// # Errors
    ///
    /// What the device answers.
    pub(super) fn stop_copy_size(&self) -> Result<u64> {
        match &self.source {
            Some(source) => max_record(&source.device),
            None => Ok(self.records.len() as u64),
        }
    }
}

impl vfio::SaveStream for Saver {
    fn peek(&self, buf: &mut [u8]) -> usize {
        let ahead = self.records.get(self.position..).unwrap_or(&[]);
        let count = ahead.len().min(buf.len());
        buf[..count].copy_from_slice(&ahead[..count]);
        count
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
        self.account.take(count as u64);
    }

    fn has_data(&self) -> bool {
        !self.account.is_drained()
    }

    fn is_complete(&self) -> bool {
        self.source.is_none()
    }

    fn precopy_info(&mut self) -> Result<vfio::PrecopyInfo> {
        let source = self.source.as_mut().ok_or(EINVAL)?;
        let opted_in = source.reinit;
        let now = u64::try_from(source.started.elapsed().as_millis()).unwrap_or(0);
        // As long as something is unread there is no need to ask for more.
        let reinit = self.account.is_drained() && source.limit.allow(now) && self.update()?;
        Ok(vfio::PrecopyInfo {
            initial_bytes: self.account.initial,
            dirty_bytes: self.account.dirty,
            reinit: opted_in.then_some(reinit),
        })
    }
}
