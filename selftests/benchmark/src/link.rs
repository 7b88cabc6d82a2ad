// SPDX-License-Identifier: GPL-2.0
//! The way of a stream from source to target, as a VMM has one: a pipe, or a connection.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::pipe;
use vvp_harness::vfio::DataFd;

/// Bytes that VMMs read from and write to a data descriptor at once (QEMU has 1 MiB).
pub const CHUNK: usize = 1 << 20;

/// How the stream gets to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Pipe,
    Tcp,
}

impl Transport {
    /// As results have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Tcp => "tcp",
        }
    }

    /// A link that nothing has passed.
    pub fn open(self) -> Result<(Sender, Receiver)> {
        let (write, read): (Box<dyn Write + Send>, Box<dyn Read + Send>) = match self {
            Self::Pipe => {
                let (read, write) = pipe().context("a pipe")?;
                fcntl(&write, FcntlArg::F_SETPIPE_SZ(CHUNK as i32)).context("size of a pipe")?;
                (Box::new(File::from(write)), Box::new(File::from(read)))
            }
            Self::Tcp => {
                let listener =
                    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a TCP socket")?;
                let write = TcpStream::connect(listener.local_addr()?).context("connecting")?;
                let (read, _) = listener.accept().context("accepting")?;
                write.set_nodelay(true).context("TCP_NODELAY")?;
                (Box::new(write), Box::new(read))
            }
        };
        Ok((
            Sender {
                write,
                chunk: vec![1; CHUNK],
            },
            Receiver {
                read,
                chunk: vec![1; CHUNK],
            },
        ))
    }
}

/// Bytes of what precedes a piece of the stream: its length. 0 ends the stream.
const LENGTH: usize = 4;

/// The source's end.
pub struct Sender {
    write: Box<dyn Write + Send>,
    chunk: Vec<u8>,
}

impl Sender {
    /// Sends what `from` has, to its end; gives the number of bytes.
    pub fn send(&mut self, from: &mut DataFd) -> Result<u64> {
        let mut sent = 0;
        loop {
            let count = from.read_some(&mut self.chunk)?.unwrap_or(0);
            let length = (count as u32).to_le_bytes();
            self.write.write_all(&length).context("sending")?;
            if count == 0 {
                return Ok(sent);
            }
            let piece = &self.chunk[..count];
            self.write.write_all(piece).context("sending")?;
            sent += count as u64;
        }
    }
}

/// The target's end.
pub struct Receiver {
    read: Box<dyn Read + Send>,
    chunk: Vec<u8>,
}

impl Receiver {
    /// Gives `to` what comes, to the end of the stream.
    pub fn receive(&mut self, to: &mut DataFd) -> Result<()> {
        loop {
            let mut length = [0; LENGTH];
            self.read.read_exact(&mut length).context("receiving")?;
            let count = u32::from_le_bytes(length) as usize;
            if count == 0 {
                return Ok(());
            }
            ensure!(count <= self.chunk.len(), "a piece of {count} bytes");
            let piece = &mut self.chunk[..count];
            self.read.read_exact(piece).context("receiving")?;
            to.write_all(piece).context("loading")?;
        }
    }
}

/// Gives `to` what `from` has now, without a link.
pub fn copy(from: &mut DataFd, to: &mut DataFd, chunk: &mut [u8]) -> Result<u64> {
    let mut copied = 0;
    while let Some(count) = from.read_some(chunk)? {
        to.write_all(&chunk[..count]).context("loading")?;
        copied += count as u64;
    }
    Ok(copied)
}
