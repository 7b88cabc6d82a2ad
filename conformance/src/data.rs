// SPDX-License-Identifier: GPL-2.0
//! The descriptor of a session, over which the stream flows.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd;

use crate::call;
use crate::lies;
use crate::memory::{Memory, Structure};
use crate::uapi;

/// No device that is tested has more state than this.
const LIMIT: usize = 4 << 30;

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing at the moment: ENOMSG.
    TemporaryEnd,
    /// Nothing any more: 0.
    End,
}

/// Answer to VFIO_MIG_GET_PRECOPY_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precopy {
    pub flags: u32,
    pub initial: u64,
    pub dirty: u64,
}

/// The descriptor of a session.
#[derive(Debug)]
pub struct Data(OwnedFd);

impl Data {
    /// Takes over a descriptor.
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// The descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Another descriptor of the same session.
    pub fn dup(&self) -> Result<Self> {
        Ok(Self(
            self.0.try_clone().context("duplicating the descriptor")?,
        ))
    }

    /// read(2), as it is.
    pub fn read_raw(&self, out: &mut [u8]) -> Result<usize, Errno> {
        lies::read(unistd::read(&self.0, out), out.len())
    }

    /// read(2) into `memory`, as far as there is any.
    pub fn read_into(&self, memory: &Memory, offset: usize, length: usize) -> Result<usize, Errno> {
        // SAFETY: memory that is only accessed by volatile operations, and pages behind it
        // that cannot be accessed.
        let done = unsafe {
            libc::read(
                self.0.as_raw_fd(),
                (memory.address() + offset as u64) as *mut libc::c_void,
                length,
            )
        };
        Errno::result(done).map(|done| done as usize)
    }

    /// write(2) from `memory`, as far as there is any.
    pub fn write_from(
        &self,
        memory: &Memory,
        offset: usize,
        length: usize,
    ) -> Result<usize, Errno> {
        // SAFETY: as for `read_into`.
        let done = unsafe {
            libc::write(
                self.0.as_raw_fd(),
                (memory.address() + offset as u64) as *const libc::c_void,
                length,
            )
        };
        Errno::result(done).map(|done| done as usize)
    }

    /// read(2), and what it means.
    pub fn read(&self, out: &mut [u8]) -> Result<Read, Errno> {
        loop {
            return match self.read_raw(out) {
                Ok(0) => Ok(Read::End),
                Ok(length) => Ok(Read::Bytes(length)),
                Err(Errno::ENOMSG) => Ok(Read::TemporaryEnd),
                Err(Errno::EINTR) => continue,
                Err(errno) => Err(errno),
            };
        }
    }

    /// Reads to an end, temporary or not, `chunk` bytes at a time.
    pub fn read_to_end(&self, chunk: usize) -> Result<(Vec<u8>, Read)> {
        let mut stream = Vec::new();
        let mut buffer = vec![0; chunk];
        loop {
            match self.read(&mut buffer).context("reading the stream")? {
                Read::Bytes(length) => stream.extend_from_slice(&buffer[..length]),
                end => return Ok((stream, end)),
            }
            if stream.len() > LIMIT {
                bail!("the stream has no end: more than {LIMIT} bytes");
            }
        }
    }

    /// Reads to the permanent end.
    pub fn read_all(&self) -> Result<Vec<u8>> {
        match self.read_to_end(1 << 16)? {
            (stream, Read::End) => Ok(stream),
            (stream, end) => bail!(
                "after {} bytes in STOP_COPY: {end:?}, not the end",
                stream.len()
            ),
        }
    }

    /// write(2), as it is.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        if lies::is_told("writes_are_lost") {
            return Ok(bytes.len());
        }
        lies::written(unistd::write(&self.0, bytes), bytes.len())
    }

    /// Writes all of `bytes`, `chunk` at a time.
    pub fn write_all(&self, bytes: &[u8], chunk: usize) -> Result<(), Errno> {
        for mut piece in bytes.chunks(chunk.max(1)) {
            while !piece.is_empty() {
                match self.write(piece) {
                    Ok(0) => return Err(Errno::EIO),
                    Ok(done) => piece = &piece[done.min(piece.len())..],
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
        Ok(())
    }

    /// What poll(2) says within `patience` milliseconds; nothing if that passes.
    pub fn poll(&self, events: PollFlags, patience: u16) -> Result<Option<PollFlags>> {
        let mut polled = [PollFd::new(self.fd(), events)];
        let ready =
            poll(&mut polled, PollTimeout::from(patience)).context("poll of the descriptor")?;
        if lies::is_told("polls_are_ready") {
            return Ok((patience == 0).then_some(events));
        }
        Ok((ready > 0).then(|| polled[0].revents().unwrap_or(PollFlags::empty())))
    }

    /// Whether poll(2) says at once that a read would not wait.
    pub fn is_readable(&self) -> Result<bool> {
        let found = self.poll(PollFlags::POLLIN, 0)?;
        Ok(found.is_some_and(|flags| flags.contains(PollFlags::POLLIN)))
    }

    /// VFIO_MIG_GET_PRECOPY_INFO.
    pub fn precopy(&self) -> Result<Precopy, Errno> {
        self.precopy_with(uapi::PRECOPY_INFO, 0)
    }

    /// The same with another `argsz`, and something in its flags.
    pub fn precopy_with(&self, argsz: u32, flags: u32) -> Result<Precopy, Errno> {
        let mut info = Structure::of_u32(&[argsz, flags]);
        call::structure(self.fd(), uapi::MIG_GET_PRECOPY_INFO, &mut info)?;
        Ok(Precopy {
            flags: info.u32(4),
            initial: info.u64(8),
            dirty: info.u64(16),
        })
    }
}
