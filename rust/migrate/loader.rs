// SPDX-License-Identifier: GPL-2.0

//! The incoming stream: each device data record goes to the device when it is
//! whole.

use super::{
    context::Context,
    outgoing::crc32c,
    Objects, //
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
        parts,
        stats::Phase, //
    },
    observe::Traffic,
    vfio::{
        self,
        ArcError, //
    },
    virtio::{
        Buffer,
        Member,
        SetParts, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Stream that loads a device.
pub(crate) struct Loader {
    member: Arc<Member>,
    target: SetParts,
    parser: load::Loader,
    /// Device data of the record under way.
    record: Buffer,
    /// What the device answered to a record that it refused.
    refused: Option<Error>,
    traffic: Traffic,
}

impl Loader {
    /// Prepares a stopped device to be loaded. A record may be as large as the
    /// device's own largest context: one that does not fit there is none of its.
    ///
    /// # Errors
    ///
    /// As [`Context::read`].
    pub(super) fn new(member: &Arc<Member>, objects: &Objects) -> Result<Self> {
        let (limit, context) = objects.with_get(|device| {
            let limit = device.max_size()?;
            Ok((limit, Context::read_within(device, limit)?))
        })?;
        Ok(Self {
            target: member.set_parts()?,
            member: member.clone(),
            parser: load::Loader::new(Target {
                limit: limit.into(),
                device_type: member.device_type(),
                offered: parts::offered(&context.bytes),
                crc32c,
            }),
            record: Buffer::new(),
            refused: None,
            traffic: Traffic::new(member.observer()),
        })
    }

    /// Says why the stream is refused, and with which errno.
    fn explain(&self, error: LoadError) -> Error {
        self.member
            .observer()
            .refuse(Cause::Stream(error), errno(error))
    }
}

fn errno(error: LoadError) -> Error {
    Error::from_errno(-error.errno())
}

impl vfio::ResumeStream for Loader {
    fn write(&mut self, mut bytes: &[u8]) -> Result {
        if let Some(error) = self.refused {
            return Err(error);
        }
        while !bytes.is_empty() {
            // Said when it was refused; saying it again is for nobody's benefit.
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
                self.record.extend(head)?;
            }
            match self
                .parser
                .take(head)
                .map_err(|error| self.explain(error))?
            {
                Progress::More | Progress::DataAhead(_) => {}
                Progress::DataComplete => {
                    self.target.set(&self.record).inspect_err(|&error| {
                        self.refused = Some(error);
                    })?;
                    self.record.clear();
                }
            }
            self.traffic.pass(Phase::Resuming, head);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ArcError> {
        if let Some(error) = self.refused {
            return Err(ArcError::Undefined(error));
        }
        match self.parser.finish() {
            Ok(()) => Ok(()),
            // The rest may still come.
            Err(error) if error.is_premature_end() => Err(ArcError::Unchanged(self.explain(error))),
            Err(error) => Err(ArcError::Undefined(errno(error))),
        }
    }
}
