// SPDX-License-Identifier: GPL-2.0

//! The incoming stream: each device data record goes to the device when it is
//! whole.

use super::{
    context,
    outgoing::crc32c, //
};
use crate::{
    logic::{
        cause::Cause,
        load::{
            self,
            Next,
            Progress,
            Target, //
        },
        load_error::LoadError,
        pieces,
        stats::Phase, //
    },
    observe::Traffic,
    vfio::{
        self,
        ArcError, //
    },
    virtio::{
        Buffer,
        Session, //
    }, //
};
use kernel::prelude::*;

/// Stream that loads a device.
pub(crate) struct Loader {
    session: Session,
    parser: load::Loader,
    /// Device data of the record under way.
    record: Buffer,
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
    pub(super) fn new(session: Session) -> Result<Self> {
        // To tell early, and by name, which feature is missing. The device verifies them, too,
        // so that one which does not say what it offers can be loaded.
        let offered = session
            .get(|device| context::offered_features(&device))
            .unwrap_or(None);
        // Fails here, if at all, and not when all has been sent.
        session.set(|_| Ok(()))?;
        Ok(Self {
            parser: load::Loader::new(Target {
                limit: pieces::MAX_LEN as u64,
                device_type: session.member().device_type(),
                offered,
                crc32c,
            }),
            record: Buffer::new(),
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

impl vfio::ResumeStream for Loader {
    fn write(&mut self, mut bytes: &[u8]) -> Result {
        while !bytes.is_empty() {
            let next = self.parser.next().map_err(errno)?;
            let want = match next {
                Next::Header(count) | Next::Control(count) => count,
                Next::Data(count) | Next::Skip(count) => {
                    usize::try_from(count).unwrap_or(usize::MAX)
                }
            };
            let (head, rest) = bytes.split_at(want.min(bytes.len()));
            bytes = rest;
            if matches!(next, Next::Data(_)) {
                self.record.extend(head, want)?;
            }
            match self
                .parser
                .take(head)
                .map_err(|error| self.explain(error))?
            {
                Progress::More | Progress::DataAhead(_) => {}
                Progress::DataComplete => {
                    self.session.set(|device| device.set(&self.record))?;
                    self.record.clear();
                }
            }
            self.traffic.pass(Phase::Resuming, head);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ArcError> {
        match self.parser.finish() {
            Ok(()) => Ok(()),
            // The rest may still come.
            Err(error) if error.is_premature_end() => Err(ArcError::Unchanged(self.explain(error))),
            Err(error) => Err(ArcError::Undefined(errno(error))),
        }
    }
}
