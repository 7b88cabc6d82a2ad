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
    estimate::{
        self,
        Prepared, //
    },
    outgoing::Outgoing,
    params::{
        self,
        PrecopyInterval, //
    }, //
};
use crate::{
    logic::{
        delta::{
            Change,
            Span,
            MAX_SPANS, //
        },
        parts::HEADER_LEN,
        precopy::{
            Account,
            RateLimit, //
        },
        stats::Phase, //
    },
    observe::Traffic,
    vfio,
    virtio::{
        ContextMemory,
        SlotUse, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    },
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// Stream of a device's state.
pub(crate) struct Saver {
    session: SlotUse,
    /// Where more comes from; `None` once the stream is complete.
    running: Option<Running>,
    /// What is of no use any more, and would take time to free while the guest stands still.
    retired: Option<Running>,
    /// Likewise, without pre-copy.
    _kept: Option<Context>,
    outgoing: Outgoing,
    account: Account,
    traffic: Traffic,
}

/// A device in pre-copy. Contexts are read into two memories by turns.
struct Running {
    /// The context a target has that has read and loaded the whole stream.
    context: Context,
    /// Memory for the next one: when the guest stands still is no time to look for some.
    spare: Option<UniqueArc<ContextMemory>>,
    /// Where the last two contexts differ.
    notes: KVVec<Span>,
    started: Instant<Monotonic>,
    interval: Arc<PrecopyInterval>,
    limit: RateLimit,
}

impl Saver {
    /// The stream of a stopped device, which is not needed afterwards; with a `checksum` or
    /// without.
    ///
    /// # Errors
    ///
    /// As [`Context::read`].
    pub(super) fn stopped(session: SlotUse, prepared: Prepared, checksum: bool) -> Result<Self> {
        let Prepared { max_size, memory } = prepared;
        let context = session.get(|device| Context::read(&device, max_size, memory))?;
        let mut saver = Self::begin(session, &context, checksum)?;
        saver.account.initial += saver.outgoing.end()?;
        saver._kept = Some(context);
        Ok(saver)
    }

    /// The stream of a device in pre-copy, with a `checksum` or without.
    ///
    /// # Errors
    ///
    /// As [`Context::read`].
    pub(super) fn running(
        session: SlotUse,
        prepared: Prepared,
        checksum: bool,
        interval: &Arc<PrecopyInterval>,
    ) -> Result<Self> {
        // The guest runs, and its device may have more to say by now.
        let context = session.get(|device| Context::read(&device, None, prepared.memory))?;
        let mut saver = Self::begin(session, &context, checksum)?;
        saver.running = Some(Running {
            context,
            spare: None,
            notes: KVVec::new(),
            started: Instant::now(),
            limit: RateLimit::new(interval.ms(), 0),
            interval: interval.clone(),
        });
        saver.prepare();
        Ok(saver)
    }

    /// A stream that begins with `context`.
    fn begin(session: SlotUse, context: &Context, checksum: bool) -> Result<Self> {
        let mut outgoing = Outgoing::new(checksum);
        let initial = outgoing.context(context)?;
        Ok(Self {
            running: None,
            retired: None,
            _kept: None,
            outgoing,
            account: Account { initial, dirty: 0 },
            traffic: Traffic::new(session.member().observer()),
            session,
        })
    }

    /// Puts on the stream what it lacks of the device's state, as of now. Says
    /// whether that was initial data, which it is only if userspace knows of `repeated`
    /// initial data. `ask` the device first how much its state is, or take it to be as much
    /// as before.
    fn update(&mut self, ask: bool, repeated: bool) -> Result<bool> {
        let running = self.running.as_mut().ok_or(EINVAL)?;
        let spare = running.spare.take();
        let (context, change) = self.session.get(|device| {
            running
                .context
                .read_again(&device, ask, spare, &mut running.notes)
        })?;
        let mut initial = false;
        let appended = match change {
            Change::Nothing => Ok(0),
            Change::Values(values) if params::precopy_delta() => {
                let old = running.context.bytes();
                let places = values.ranges(old, context.bytes(), &running.notes);
                // All parts are referred to where they are, and take no memory.
                let all = 0..context.bytes().len();
                self.outgoing
                    .delta(&context, places)
                    .or_else(|_| self.outgoing.delta(&context, core::iter::once(all)))
            }
            Change::Values(_) | Change::Shape => {
                // Initial bytes lie before all dirty ones. The last change is none of them: there
                // is no question that would tell of it.
                initial = repeated && self.account.is_drained();
                self.outgoing.context(&context)
            }
        };
        let length = match appended {
            Ok(length) => length,
            Err(error) => {
                running.spare = context.into_memory();
                return Err(error);
            }
        };
        if initial {
            self.account.initial += length;
        } else {
            self.account.dirty += length;
        }
        let old = core::mem::replace(&mut running.context, context);
        running.spare = old.into_memory();
        Ok(initial)
    }

    /// Has memory at hand for the next context, and for notes on it. Without, it is allocated
    /// when it is needed, and missed then.
    fn prepare(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        let max_size = running.context.max_size();
        let member = self.session.member();
        let fits = |spare: &UniqueArc<ContextMemory>| member.is_spare(spare, max_size);
        if !running.spare.as_ref().is_some_and(fits) {
            running.spare = member.spare_memory(max_size);
        }
        // Between two spans there is a part, of a header at least.
        let spans = MAX_SPANS.min(max_size / (2 * HEADER_LEN) + 1);
        if spans > running.notes.len() {
            let flags = GFP_KERNEL_ACCOUNT;
            let _ = running.notes.resize(spans, Span::default(), flags);
        }
    }

    /// Completes the stream with the state of the stopped device.
    ///
    /// # Errors
    ///
    /// As [`Context::read`]; the stream can still be completed.
    pub(super) fn complete(&mut self) -> Result {
        // The guest is stopped, and each question takes the device a round trip.
        self.update(false, false)?;
        self.account.dirty += self.outgoing.end()?;
        self.retired = self.running.take();
        Ok(())
    }

    /// Length of what the stream still has if the device is stopped now, at most by what the
    /// device has said last: it is not asked for an estimate.
    pub(super) fn stop_copy_size(&self) -> u64 {
        let more = match &self.running {
            Some(running) => estimate::most_bytes(running.context.max_size()),
            None => 0,
        };
        self.outgoing.len() + more
    }
}

impl vfio::SaveStream for Saver {
    type Chunk = vfio::Bytes;

    fn head(&self) -> Option<vfio::Bytes> {
        self.outgoing.head().cloned()
    }

    fn consume(&mut self, count: usize) {
        let phase = match self.running {
            Some(_) => Phase::PreCopy,
            None => Phase::StopCopy,
        };
        if let Some(read) = self.outgoing.head() {
            self.traffic.pass(phase, read.get(..count).unwrap_or(read));
        }
        self.outgoing.consume(count);
        self.account.take(count as u64);
    }

    fn is_complete(&self) -> bool {
        self.running.is_none()
    }

    fn precopy_info(&mut self, device: &vfio::OpenDevice) -> Result<vfio::PrecopyInfo> {
        let running = self.running.as_mut().ok_or(EINVAL)?;
        running.limit.set_interval(running.interval.ms());
        let now = u64::try_from(running.started.elapsed().as_millis()).unwrap_or(0);
        // As long as something is unread there is no need to ask for more.
        let mut reinit = Ok(false);
        if self.account.is_drained() && running.limit.allow(now) {
            // Userspace may have opted in after the session has begun.
            reinit = self.update(true, device.has_precopy_info_v2());
            self.prepare();
        }
        Ok(vfio::PrecopyInfo {
            reinit: reinit?,
            initial_bytes: self.account.initial,
            dirty_bytes: self.account.dirty,
        })
    }
}
