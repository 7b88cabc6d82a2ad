// SPDX-License-Identifier: GPL-2.0

//! The incoming stream: each device data record goes to the device when it is
//! whole.

use crate::{
    logic::{
        load::{
            self,
            LoadError,
            Next,
            Progress, //
        },
        record::HEADER_LEN, //
    },
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
}

impl Loader {
    /// Prepares a stopped device to be loaded. A record may be as large as the
    /// device's own largest context: one that does not fit there is none of its.
    ///
    /// # Errors
    ///
    /// ENOMEM, or what the device answers.
    pub(super) fn new(member: &Arc<Member>) -> Result<Self> {
        let limit = member.get_parts()?.max_size()?;
        Ok(Self {
            target: member.set_parts()?,
            member: member.clone(),
            parser: load::Loader::new(limit.into()),
            record: Buffer::new(),
            refused: None,
        })
    }

    /// Says why the stream is refused, and with which errno.
    fn explain(&self, error: LoadError) -> Error {
        let device = self.member.device();
        match error {
            LoadError::UnknownRecord(header) => dev_warn!(
                device,
                "migration stream: unknown mandatory record (tag {}, flags {:#x})\n",
                header.tag,
                header.flags
            ),
            LoadError::EmptyRecord => {
                dev_warn!(
                    device,
                    "migration stream: device data record without data\n"
                )
            }
            LoadError::Oversize { size, limit } => dev_warn!(
                device,
                "migration stream: record of {} bytes, the device has at most {}\n",
                size,
                limit
            ),
            LoadError::Parts(_) => dev_warn!(
                device,
                "migration stream: device parts do not add up to their record\n"
            ),
            LoadError::Truncated => {
                dev_warn!(device, "migration stream: ends inside a record\n")
            }
            LoadError::NoData => dev_warn!(device, "migration stream: has no device data\n"),
        }
        EINVAL
    }
}

impl vfio::ResumeStream for Loader {
    fn write(&mut self, mut bytes: &[u8]) -> Result {
        if let Some(error) = self.refused {
            return Err(error);
        }
        while !bytes.is_empty() {
            // Said when it was refused; saying it again is for nobody's benefit.
            let next = self.parser.next().map_err(|_| EINVAL)?;
            let want = match next {
                Next::Header(count) => count.min(HEADER_LEN),
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
            Err(error @ (LoadError::Truncated | LoadError::NoData)) => {
                Err(ArcError::Unchanged(self.explain(error)))
            }
            Err(_) => Err(ArcError::Undefined(EINVAL)),
        }
    }
}
