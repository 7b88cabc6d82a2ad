// SPDX-License-Identifier: GPL-2.0
//! A target and what it makes of a stream.

use std::sync::Arc;

use anyhow::{Context, Result};
use nix::errno::Errno;
use vvp_harness::vfio::{Device, Space, State};
use vvp_harness::{expect, expect_eq};

use crate::config::{Config, Driver};
use crate::framing::{self, Record};
use crate::rig;
use crate::work::Work;

/// A target, and a stream that it must take.
pub struct Loading {
    pub target: Device,
    /// Of a source with a driver in it.
    pub stream: Vec<u8>,
}

impl Loading {
    pub fn set_up(config: &Config) -> Result<Self> {
        let (vf, vf2) = (config.vf()?, config.vf2()?);
        let space = Arc::new(Space::new(config.access)?);
        let source = rig::open_in(config, &vf, Driver::Rs, &space)?;
        let work = Work::start(config, &vf, &source)?;
        let stream = rig::save(&source)?;
        drop((source, work));
        let target = rig::open_in(
            config,
            &vf2,
            Driver::Rs,
            &Arc::new(Space::new(config.access)?),
        )?;
        Ok(Self { target, stream })
    }

    /// The content of the stream's first data record.
    pub fn data(&self) -> Result<Vec<u8>> {
        let mut records = framing::records(&self.stream)?.into_iter();
        let data = records.find(|record| record.tag == framing::DATA);
        Ok(data.context("the stream has no device data")?.content)
    }

    /// The stream as the C driver would have saved it: the data record alone.
    pub fn plain(&self) -> Result<Vec<u8>> {
        Ok(Record::data(&self.data()?).bytes())
    }

    /// `stream` must be taken, and the device must run with it.
    pub fn accepts(&self, what: &str, stream: &[u8]) -> Result<()> {
        rig::recover(&self.target)?;
        rig::load(&self.target, stream).with_context(|| what.to_owned())?;
        self.target
            .go(State::Running)
            .with_context(|| what.to_owned())
    }

    /// `stream` must be refused as malformed, see [`refuses_with`](Self::refuses_with).
    pub fn refuses(&self, what: &str, stream: &[u8]) -> Result<()> {
        self.refuses_with(Errno::EINVAL, what, stream)
    }

    /// `stream` must be refused with this error, in the write or at the end, and
    /// the device must recover.
    pub fn refuses_with(&self, error: Errno, what: &str, stream: &[u8]) -> Result<()> {
        rig::recover(&self.target)?;
        let mut fd = rig::resume(&self.target)?;
        let written = fd.write_all(stream);
        if let Err(errno) = written {
            expect_eq!(errno, error, "{what}: error of the write");
        }
        let ended = self.target.set_state(State::Stop).map(drop);
        expect_eq!(
            ended,
            Err(error),
            "{what}: RESUMING -> STOP after write {written:?}"
        );
        let state = self.target.state()?;
        expect!(
            matches!(state, State::Resuming | State::Error),
            "{what}: left in {state}"
        );
        drop(fd);
        self.works_again()
            .with_context(|| format!("{what}: afterwards"))
    }

    fn works_again(&self) -> Result<()> {
        rig::recover(&self.target)?;
        rig::load(&self.target, &self.stream)?;
        self.target.go(State::Running)
    }
}
