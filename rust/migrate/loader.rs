// SPDX-License-Identifier: GPL-2.0

//! The incoming stream: each device data record goes to the device when it is
//! whole.

use super::{
    context,
    outgoing::crc32c, //
};
use crate::{
    compat::{
        self,
        EOPNOTSUPP, //
    },
    logic::{
        admin_command,
        cause::Cause,
        load::{
            self,
            Next,
            Progress,
            TargetDevice, //
        },
        load_error::LoadError,
        stats::Phase, //
    },
    observe::Traffic,
    vfio::{
        self,
        OpenDevice,
        TransitionError, //
    },
    virtio::{
        Buffer,
        Lent,
        SlotUse, //
    }, //
};
use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::prelude::*;

/// Bytes of what the device does not get that are taken at a time.
const SCRATCH_LEN: usize = 512;

/// Stream that loads a device.
pub(crate) struct Loader {
    session: SlotUse,
    parser: load::Parser,
    /// Device data of the record under way.
    record: Buffer,
    /// For everything else; lent, too.
    scratch: KVec<u8>,
    traffic: Traffic,
}

impl Loader {
    /// Prepares a stopped device to be loaded. How large its context is now says
    /// nothing about what it can be given: it has just been reset, and is to become
    /// a device in operation.
    ///
    /// # Errors
    ///
    /// ENOMEM, or what the device answers.
    pub(super) fn new(session: SlotUse) -> Result<Self> {
        // Fails here, if at all, and not when all has been sent.
        session.set(|_| Ok(()))?;
        let capacity = session.member().capacity();
        Ok(Self {
            parser: load::Parser::new(TargetDevice {
                limit: capacity.bytes() as u64,
                device_type: session.member().device_type(),
                crc32c,
            }),
            record: Buffer::new(capacity),
            scratch: compat::zeroed(SCRATCH_LEN, GFP_KERNEL_ACCOUNT)?,
            traffic: Traffic::new(session.member().observer()),
            session,
        })
    }

    /// Says why the stream is refused, and with which errno.
    fn explain(&self, error: LoadError) -> Error {
        self.session
            .member()
            .observer()
            .refuse(Cause::Stream(error), errno(error))
    }
}

fn errno(error: LoadError) -> Error {
    Error::from_errno(-error.errno())
}

/// A place for the next bytes of a stream.
pub(crate) enum Place {
    /// In the record, for device data.
    Record(Lent),
    /// Elsewhere.
    Scratch { memory: KVec<u8>, len: usize },
}

impl Deref for Place {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Record(lent) => lent,
            Self::Scratch { memory, len } => memory.get(..*len).unwrap_or_default(),
        }
    }
}

impl DerefMut for Place {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Record(lent) => lent,
            Self::Scratch { memory, len } => memory.get_mut(..*len).unwrap_or_default(),
        }
    }
}

impl Loader {
    /// The stream ends here: whether the device has a whole state. The object that it was
    /// given it by stays, and the memory, since a guest waits for the device.
    pub(super) fn finish(&mut self) -> Result<(), TransitionError> {
        match self.parser.finish() {
            Ok(()) => {
                let memory = self.take_record();
                self.session.leave(memory);
                Ok(())
            }
            // The rest may still come.
            Err(error) if error.is_premature_end() => {
                Err(TransitionError::Unchanged(self.explain(error)))
            }
            Err(error) => Err(TransitionError::Undefined(errno(error))),
        }
    }

    /// What has come of the record; there is none afterwards.
    fn take_record(&mut self) -> Buffer {
        let none = Buffer::new(self.session.member().capacity());
        core::mem::replace(&mut self.record, none)
    }

    fn load_record(&mut self) -> Result {
        let loaded = self.session.set(|device| device.set(&self.record));
        loaded.map_err(|error| {
            // The stream is refused for good.
            self.take_record();
            // These are a device's that has verified its parts.
            let verified = error == EINVAL || error == EOPNOTSUPP;
            let missing = if verified {
                self.missing_feature()
            } else {
                None
            };
            missing.unwrap_or_else(|| {
                let opcode = admin_command::DEV_PARTS_SET;
                let observer = self.session.member().observer();
                observer.refuse(Cause::Command { opcode }, error)
            })
        })
    }

    /// Why the device does not take its parts, if it is for a feature that it lacks: it
    /// verifies them, and names none. What it offers is not asked for before, since a guest
    /// may be waiting for a device that lacks nothing.
    fn missing_feature(&self) -> Option<Error> {
        let offered = self
            .session
            .get(|device| context::offered_features(&device));
        let missing = self.parser.missing_feature(&offered.ok()??)?;
        Some(self.explain(LoadError::Feature(missing)))
    }

    fn scratch(&mut self, wanted: usize) -> Place {
        let memory = core::mem::take(&mut self.scratch);
        Place::Scratch {
            len: wanted.min(memory.len()),
            memory,
        }
    }
}

impl vfio::ResumeStream for Loader {
    type Place = Place;

    fn place(&mut self, most: usize) -> Result<Place> {
        Ok(match self.parser.next().map_err(errno)? {
            Next::Header(count) | Next::Control(count) => self.scratch(count.min(most)),
            Next::Skip(count) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                self.scratch(count.min(most))
            }
            Next::Data(count) => {
                let announced = usize::try_from(count).unwrap_or(usize::MAX);
                Place::Record(self.record.lend(announced)?)
            }
        })
    }

    fn filled(&mut self, _device: &OpenDevice, place: Place, count: usize) -> Result {
        let mut complete = false;
        if count > 0 {
            let bytes = place.get(..count).ok_or(EINVAL)?;
            let progress = self.parser.take(bytes);
            complete = matches!(
                progress.map_err(|error| self.explain(error))?,
                Progress::DataComplete
            );
        }
        // Bytes count as moved when the device has not refused what they complete.
        match place {
            Place::Record(lent) => {
                self.record.put(lent, count)?;
                if complete {
                    self.load_record()?;
                }
                if let Some(last) = self.record.pieces().last() {
                    let start = last.len().saturating_sub(count);
                    self.traffic
                        .pass(Phase::Resuming, last.get(start..).unwrap_or_default());
                }
                if complete {
                    self.record.clear();
                }
            }
            Place::Scratch { memory, .. } => {
                if complete {
                    self.load_record()?;
                }
                self.traffic
                    .pass(Phase::Resuming, memory.get(..count).unwrap_or_default());
                self.scratch = memory;
            }
        }
        Ok(())
    }
}
