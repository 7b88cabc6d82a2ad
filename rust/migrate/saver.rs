// SPDX-License-Identifier: GPL-2.0

//! The outgoing stream: what is put on it, and when.
//!
//! Without pre-copy it is the context of the stopped device. With pre-copy it
//! begins with the context of the running device; what follows are changes. The
//! specification has no way to ask what changed, so the whole context is read
//! again and compared, and not more often than once per interval: reading it
//! costs the device a snapshot of everything, while the guest runs, and userspace
//! asks in a tight loop.

use super::{
    context::Context,
    outgoing::{
        Outgoing,
        OVERHEAD, //
    },
    params::{
        self,
        PrecopyInterval, //
    }, //
};
use crate::{
    logic::{
        delta::{
            self,
            Change, //
        },
        precopy::{
            Account,
            RateLimit, //
        },
        stats::Phase, //
    },
    observe::Traffic,
    vfio,
    virtio::{
        GetParts,
        Session, //
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
    session: Session,
    /// Where more comes from; `None` once the stream is complete.
    source: Option<Source>,
    outgoing: Outgoing,
    account: Account,
    traffic: Traffic,
}

/// A device in pre-copy.
struct Source {
    /// The context a target has that has read and loaded the whole stream.
    context: Context,
    started: Instant<Monotonic>,
    interval: Arc<PrecopyInterval>,
    limit: RateLimit,
    /// Userspace knows of repeated initial data.
    reinit: bool,
}

/// The most bytes that a stream of this device may have in STOP_COPY, as far as
/// can be told now.
///
/// # Errors
///
/// What the device answers.
pub(super) fn most_bytes(device: &GetParts<'_>) -> Result<u64> {
    Ok(OVERHEAD + device.max_size()? as u64)
}

impl Saver {
    /// The stream of a stopped device, which is not needed afterwards.
    ///
    /// # Errors
    ///
    /// As [`Context::read`].
    pub(super) fn stopped(session: Session) -> Result<Self> {
        let context = session.get(|device| Context::read(&device))?;
        let mut saver = Self::begin(session, &context)?;
        saver.account.initial += saver.outgoing.end()?;
        Ok(saver)
    }

    /// The stream of a device in pre-copy.
    ///
    /// # Errors
    ///
    /// As [`Context::read`].
    pub(super) fn running(
        session: Session,
        interval: &Arc<PrecopyInterval>,
        reinit: bool,
    ) -> Result<Self> {
        let context = session.get(|device| Context::read(&device))?;
        let mut saver = Self::begin(session, &context)?;
        saver.source = Some(Source {
            context,
            started: Instant::now(),
            limit: RateLimit::new(interval.ms(), 0),
            interval: interval.clone(),
            reinit,
        });
        Ok(saver)
    }

    /// A stream that begins with `context`.
    fn begin(session: Session, context: &Context) -> Result<Self> {
        let mut outgoing = Outgoing::new();
        let initial = outgoing.context(&context.identity, &context.bytes)?;
        Ok(Self {
            source: None,
            outgoing,
            account: Account { initial, dirty: 0 },
            traffic: Traffic::new(session.member().observer()),
            session,
        })
    }

    /// Puts on the stream what it lacks of the device's state, as of now. Says
    /// whether that was initial data.
    fn update(&mut self) -> Result<bool> {
        let source = self.source.as_mut().ok_or(EINVAL)?;
        let context = self.session.get(|device| Context::read(&device))?;
        let change = match delta::compare(&source.context.bytes, &context.bytes) {
            Change::Values(_) if !params::precopy_delta() => Change::Shape,
            change => change,
        };
        let mut initial = false;
        match change {
            Change::Nothing => return Ok(false),
            Change::Values(size) => {
                let parts = delta::delta(&source.context.bytes, &context.bytes);
                self.account.dirty += self.outgoing.delta(size, parts)?;
            }
            Change::Shape => {
                let length = self.outgoing.context(&context.identity, &context.bytes)?;
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
    }

    /// Completes the stream with the state of the stopped device.
    ///
    /// # Errors
    ///
    /// As [`Context::read`]; the stream can still be completed.
    pub(super) fn complete(&mut self) -> Result {
        self.update()?;
        self.account.dirty += self.outgoing.end()?;
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
            Some(_) => self.session.get(|device| most_bytes(&device)),
            None => Ok(self.outgoing.ahead().len() as u64),
        }
    }
}

impl vfio::SaveStream for Saver {
    fn peek(&self, buf: &mut [u8]) -> usize {
        let ahead = self.outgoing.ahead();
        let count = ahead.len().min(buf.len());
        buf[..count].copy_from_slice(&ahead[..count]);
        count
    }

    fn consume(&mut self, count: usize) {
        let phase = match self.source {
            Some(_) => Phase::PreCopy,
            None => Phase::StopCopy,
        };
        let read = self.outgoing.ahead();
        self.traffic.pass(phase, read.get(..count).unwrap_or(read));
        self.outgoing.consume(count);
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
        source.limit.set_interval(source.interval.ms());
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
