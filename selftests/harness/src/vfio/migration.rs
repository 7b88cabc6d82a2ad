// SPDX-License-Identifier: GPL-2.0
//! Migration protocol, version 2: states, sizes, and the data stream.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::mem::size_of;
use std::os::fd::{AsFd, FromRawFd};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use vfio_bindings::bindings::vfio;

use super::call;
use super::device::{Device, FEATURE_HEADER};
use super::mapping::Mapping;

/// Device states, numbered as the uAPI header does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    Error = 0,
    Stop = 1,
    Running = 2,
    StopCopy = 3,
    Resuming = 4,
    RunningP2p = 5,
    PreCopy = 6,
    PreCopyP2p = 7,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Error,
        Self::Stop,
        Self::Running,
        Self::StopCopy,
        Self::Resuming,
        Self::RunningP2p,
        Self::PreCopy,
        Self::PreCopyP2p,
    ];

    fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u32 == number)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "ERROR",
            Self::Stop => "STOP",
            Self::Running => "RUNNING",
            Self::StopCopy => "STOP_COPY",
            Self::Resuming => "RESUMING",
            Self::RunningP2p => "RUNNING_P2P",
            Self::PreCopy => "PRE_COPY",
            Self::PreCopyP2p => "PRE_COPY_P2P",
        })
    }
}

/// What VFIO_DEVICE_FEATURE_MIGRATION reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u64);

impl Flags {
    pub const STOP_COPY: Self = Self(vfio::VFIO_MIGRATION_STOP_COPY as u64);
    pub const P2P: Self = Self(vfio::VFIO_MIGRATION_P2P as u64);
    pub const PRE_COPY: Self = Self(vfio::VFIO_MIGRATION_PRE_COPY as u64);

    /// Both sets together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Names of the optional parts of the protocol that are in it, as debugfs has them.
    pub fn names(self) -> Vec<&'static str> {
        let names = [
            (Self::STOP_COPY, "stop-copy"),
            (Self::P2P, "p2p"),
            (Self::PRE_COPY, "pre-copy"),
        ];
        let there = names.into_iter().filter(|(flag, _)| self.has(*flag));
        there.map(|(_, name)| name).collect()
    }

    /// Are all of `other` in it?
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, newer than the bindings.
const MIG_PRECOPY_INFO_V2: u32 = 12;
/// VFIO_PRECOPY_INFO_REINIT, likewise.
const PRECOPY_INFO_REINIT: u32 = 1;

/// Answer to VFIO_MIG_GET_PRECOPY_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precopy {
    pub initial_bytes: u64,
    pub dirty_bytes: u64,
    /// VFIO_PRECOPY_INFO_REINIT; means something after [`Device::precopy_v2`].
    pub reinit: bool,
}

/// The data descriptor of one transfer session.
pub struct DataFd(File);

impl DataFd {
    /// The file itself, for what a test wants to do wrong.
    pub fn file(&mut self) -> &mut File {
        &mut self.0
    }

    /// Another descriptor of the same file, for another thread.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self(
            self.0.try_clone().context("duplicating a descriptor")?,
        ))
    }

    /// Reads to the end of the stream.
    pub fn read_all(&mut self) -> Result<Vec<u8>> {
        let mut stream = Vec::new();
        self.0
            .read_to_end(&mut stream)
            .context("reading the migration stream")?;
        Ok(stream)
    }

    /// Reads what there is, up to the temporary end that pre-copy signals by ENOMSG.
    pub fn read_available(&mut self) -> Result<Vec<u8>> {
        let mut stream = Vec::new();
        let mut chunk = vec![0; 65536];
        while let Some(length) = self.read_some(&mut chunk)? {
            stream.extend_from_slice(&chunk[..length]);
        }
        Ok(stream)
    }

    /// Reads once; `None` at the end, for good or until there is more.
    pub fn read_some(&mut self, chunk: &mut [u8]) -> Result<Option<usize>> {
        loop {
            return match self.0.read(chunk) {
                Ok(0) => Ok(None),
                Ok(length) => Ok(Some(length)),
                Err(error) if error.raw_os_error() == Some(Errno::ENOMSG as i32) => Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error).context("reading the migration stream"),
            };
        }
    }

    /// Writes a whole stream.
    pub fn write_all(&mut self, stream: &[u8]) -> Result<(), Errno> {
        self.0.write_all(stream).map_err(errno_of)
    }

    /// One read(2).
    pub fn read_once(&mut self, out: &mut [u8]) -> Result<usize, Errno> {
        self.0.read(out).map_err(errno_of)
    }

    /// One write(2).
    pub fn write_once(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        self.0.write(bytes).map_err(errno_of)
    }

    /// One read(2) into `memory`, which may be a device's.
    pub fn read_into(&self, memory: &Mapping, length: usize) -> Result<usize, Errno> {
        memory.read_from(&self.0, length)
    }

    /// One write(2) from `memory`, which may be a device's.
    pub fn write_from(&self, memory: &Mapping, length: usize) -> Result<usize, Errno> {
        memory.write_to(&self.0, length)
    }

    /// How much pre-copy data is left.
    pub fn precopy(&self) -> Result<Precopy, Errno> {
        self.precopy_of_size(size_of::<vfio::vfio_precopy_info>() as u32)
    }

    /// Like [`Self::precopy`], for an `argsz` right or wrong.
    pub fn precopy_of_size(&self, argsz: u32) -> Result<Precopy, Errno> {
        let mut info = vfio::vfio_precopy_info {
            argsz,
            ..Default::default()
        };
        call::structure(self.0.as_fd(), call::vfio_request(21), &mut info)?;
        Ok(Precopy {
            initial_bytes: info.initial_bytes,
            dirty_bytes: info.dirty_bytes,
            reinit: info.flags & PRECOPY_INFO_REINIT != 0,
        })
    }

    /// Whether poll(2) finds the descriptor readable, now.
    pub fn is_readable(&self) -> Result<bool> {
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).context("poll of the data descriptor")?;
        Ok(polled[0].any().unwrap_or(false))
    }
}

/// The errno behind an error of `std::io`.
pub fn errno_of(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

impl Device {
    /// Names of the features of migration that there are: none on a device that
    /// cannot migrate.
    pub fn migration_features(&self) -> Result<Vec<&'static str>, Errno> {
        let mut found = Vec::new();
        for (name, feature) in [
            ("MIGRATION", vfio::VFIO_DEVICE_FEATURE_MIGRATION),
            (
                "MIG_DEVICE_STATE",
                vfio::VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
            ),
            ("MIG_DATA_SIZE", vfio::VFIO_DEVICE_FEATURE_MIG_DATA_SIZE),
        ] {
            match self.probe(vfio::VFIO_DEVICE_FEATURE_GET | feature) {
                Ok(()) => found.push(name),
                Err(Errno::ENOTTY) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(found)
    }

    /// Which optional states there are.
    pub fn migration_flags(&self) -> Result<Flags, Errno> {
        let mut payload = [0; 8];
        self.get_feature(vfio::VFIO_DEVICE_FEATURE_MIGRATION, &mut payload)?;
        Ok(Flags(u64::from_ne_bytes(payload)))
    }

    /// Moves to `state`; returns the data descriptor if a session has begun.
    pub fn set_state(&self, state: State) -> Result<Option<DataFd>, Errno> {
        self.set_state_number(state as u32)
    }

    /// Like [`Self::set_state`], for numbers that are no states.
    pub fn set_state_number(&self, state: u32) -> Result<Option<DataFd>, Errno> {
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&state.to_ne_bytes());
        payload[4..].copy_from_slice(&(-1_i32).to_ne_bytes());
        self.feature(
            vfio::VFIO_DEVICE_FEATURE_SET | vfio::VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
            (FEATURE_HEADER + payload.len()) as u32,
            &mut payload,
        )?;
        let fd = i32::from_ne_bytes([payload[4], payload[5], payload[6], payload[7]]);
        if fd < 0 {
            return Ok(None);
        }
        // SAFETY: the kernel has just installed this descriptor for us.
        Ok(Some(DataFd(unsafe { File::from_raw_fd(fd) })))
    }

    /// Moves to `state`, which must begin a session.
    pub fn begin(&self, state: State) -> Result<DataFd> {
        self.set_state(state)
            .with_context(|| format!("to {state}"))?
            .with_context(|| format!("{state} came without a data descriptor"))
    }

    /// Moves to `state`, which must not begin a session.
    pub fn go(&self, state: State) -> Result<()> {
        let fd = self
            .set_state(state)
            .with_context(|| format!("to {state}"))?;
        ensure!(fd.is_none(), "{state} came with a data descriptor");
        Ok(())
    }

    /// The present state.
    pub fn state(&self) -> Result<State> {
        let mut payload = [0; 8];
        self.get_feature(vfio::VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &mut payload)
            .context("asking for the state")?;
        let [a, b, c, d, fd @ ..] = payload;
        ensure!(
            i32::from_ne_bytes(fd) == -1,
            "GET returned a data descriptor"
        );
        let number = u32::from_ne_bytes([a, b, c, d]);
        State::from_number(number).with_context(|| format!("state {number} does not exist"))
    }

    /// Opts in to VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2.
    pub fn precopy_v2(&self) -> Result<(), Errno> {
        self.feature(
            vfio::VFIO_DEVICE_FEATURE_SET | MIG_PRECOPY_INFO_V2,
            FEATURE_HEADER as u32,
            &mut [],
        )
    }

    /// The estimated size of a stop-copy stream.
    pub fn data_size(&self) -> Result<u64, Errno> {
        let mut payload = [0; 8];
        self.get_feature(vfio::VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, &mut payload)?;
        Ok(u64::from_ne_bytes(payload))
    }

    fn get_feature(&self, feature: u32, payload: &mut [u8]) -> Result<(), Errno> {
        let argsz = (FEATURE_HEADER + payload.len()) as u32;
        self.feature(vfio::VFIO_DEVICE_FEATURE_GET | feature, argsz, payload)
    }
}
