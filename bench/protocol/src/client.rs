// SPDX-License-Identifier: GPL-2.0
//! A client.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::O_NONBLOCK;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::reply::{DeviceParts, DmaWrites, Hello, State};
use crate::request::{Action, Injection, Request};
use crate::version::Version;
use crate::{Error, MAX_ANSWER, MAX_REQUEST, PORT, Result};

/// What a bench calls itself.
pub const PROGRAM: &str = "vfio-bench";

/// How long a bench may take to answer.
const ANSWER: Duration = Duration::from_secs(20);

/// How long a port is listened to for what was not for us.
const LEFT_OVER: Duration = Duration::from_millis(5);

/// A connection to a bench.
#[derive(Debug)]
pub struct Client {
    wire: OwnedFd,
    /// Bytes received behind the last answer.
    rest: Vec<u8>,
    longest: usize,
}

/// What all answers have.
#[derive(Deserialize)]
struct Verdict {
    ok: bool,
    #[serde(default)]
    error: Option<String>,
}

impl Client {
    /// Connects to the control socket at `path`.
    pub fn connect(path: &Path) -> Result<Self> {
        let open = || {
            let stream = UnixStream::connect(path)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let stream = open().map_err(|error| Error::Open(path.to_owned(), error))?;
        Self::over(stream.into())
    }

    /// Opens the virtio-serial port [`PORT`], if this machine has it.
    pub fn open_port() -> Result<Option<Self>> {
        let Some(path) = find_port(PORT)? else {
            return Ok(None);
        };
        let port = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(O_NONBLOCK)
            .open(&path)
            .map_err(|error| Error::Open(path, error))?;
        Self::over(port.into()).map(Some)
    }

    /// The bench of this machine: `VFIO_BENCH` (a socket's path) or the port.
    pub fn find() -> Result<Option<Self>> {
        match std::env::var_os("VFIO_BENCH") {
            Some(path) => Self::connect(Path::new(&path)).map(Some),
            None => Self::open_port(),
        }
    }

    /// Talks over `wire`, which does not block, and makes sure that both sides understand
    /// each other.
    pub fn over(wire: OwnedFd) -> Result<Self> {
        Self::over_with(wire, MAX_ANSWER)
    }

    fn over_with(wire: OwnedFd, longest: usize) -> Result<Self> {
        let mut client = Self {
            wire,
            rest: Vec::new(),
            longest,
        };
        // A predecessor that was killed may have left an answer unread on the port.
        while client.wait(PollFlags::POLLIN, LEFT_OVER)? && client.receive()? > 0 {}
        client.rest.clear();
        client.greet()?;
        Ok(client)
    }

    fn greet(&mut self) -> Result<()> {
        let ours = Version::CURRENT;
        let hello = match self.hello() {
            // A bench from before there were versions.
            Err(Error::Refused { .. }) => {
                let theirs = Version::default();
                return Err(Error::Version { theirs, ours });
            }
            hello => hello?,
        };
        if hello.program != PROGRAM {
            return Err(Error::Stranger(hello.program));
        }
        let theirs = hello.protocol;
        match ours.understands(theirs) {
            true => Ok(()),
            false => Err(Error::Version { theirs, ours }),
        }
    }

    fn wait(&self, events: PollFlags, limit: Duration) -> Result<bool> {
        let mut fds = [PollFd::new(self.wire.as_fd(), events)];
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(Error::Io(errno.into())),
        }
    }

    /// Reads what is there; 0 means nothing was.
    fn receive(&mut self) -> Result<usize> {
        let mut chunk = [0; 65536];
        match nix::unistd::read(&self.wire, &mut chunk) {
            // A port whose other end is away looks the same, and comes back.
            Ok(length) => {
                self.rest.extend_from_slice(&chunk[..length]);
                Ok(length)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(errno) => Err(Error::Io(errno.into())),
        }
    }

    fn send(&self, line: &[u8]) -> Result<()> {
        let mut sent = 0;
        while sent < line.len() {
            match nix::unistd::write(&self.wire, &line[sent..]) {
                Ok(length) => sent += length,
                Err(Errno::EINTR) => (),
                Err(Errno::EPIPE) => return Err(Error::Closed),
                Err(Errno::EAGAIN) if self.wait(PollFlags::POLLOUT, ANSWER)? => (),
                Err(Errno::EAGAIN) => return Err(Error::Deaf("take requests")),
                Err(errno) => return Err(Error::Io(errno.into())),
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<Vec<u8>> {
        let start = Instant::now();
        let mut searched = 0;
        loop {
            let found = self.rest[searched..].iter().position(|byte| *byte == b'\n');
            let end = found.map(|found| searched + found);
            if end.unwrap_or(self.rest.len()) >= self.longest {
                return Err(Error::Endless);
            }
            if let Some(end) = end {
                let mut line: Vec<u8> = self.rest.drain(..=end).collect();
                line.pop();
                return Ok(line);
            }
            searched = self.rest.len();
            if start.elapsed() >= ANSWER {
                return Err(Error::Deaf("answer"));
            }
            // A socket that can be read and has nothing is at its end.
            if self.wait(PollFlags::POLLIN, Duration::from_secs(1))? && self.receive()? == 0 {
                return Err(Error::Closed);
            }
        }
    }

    /// Makes a request, and returns what the bench answered to it.
    pub fn request<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T> {
        let garbled = |request: &str, error| Error::Garbled {
            request: request.to_owned(),
            error,
        };
        let text = serde_json::to_string(request).map_err(|error| garbled("?", error))?;
        if text.len() >= MAX_REQUEST {
            return Err(Error::TooLong);
        }
        self.send(format!("{text}\n").as_bytes())?;
        let answer = self.line()?;
        let verdict: Verdict =
            serde_json::from_slice(&answer).map_err(|error| garbled(&text, error))?;
        if !verdict.ok {
            let reason = verdict
                .error
                .unwrap_or_else(|| "no reason given".to_owned());
            return Err(Error::Refused {
                request: text,
                reason,
            });
        }
        serde_json::from_slice(&answer).map_err(|error| garbled(&text, error))
    }

    /// Makes a request to which nothing is answered but that it was done.
    pub fn tell(&mut self, request: &Request) -> Result<()> {
        self.request::<Verdict>(request).map(drop)
    }

    /// Who is there?
    pub fn hello(&mut self) -> Result<Hello> {
        self.request(&Request::Hello {})
    }

    /// Is it there?
    pub fn ping(&mut self) -> Result<()> {
        self.tell(&Request::Ping {})
    }

    /// Counters and state of everything.
    pub fn state(&mut self) -> Result<State> {
        self.request(&Request::State {})
    }

    /// The device parts of `function` as they are now.
    pub fn parts(&mut self, function: &str) -> Result<Vec<u8>> {
        let function = function.to_owned();
        let answer: DeviceParts = self.request(&Request::Parts { function })?;
        Ok(answer.parts)
    }

    /// Applies `action` to the `nth` matching command from now and `count - 1` following ones.
    pub fn inject(&mut self, opcode: u16, nth: u32, count: u32, action: Action) -> Result<()> {
        self.tell(&Request::Inject(Injection {
            opcode,
            member: None,
            nth: nth.into(),
            count: count.into(),
            action,
        }))
    }

    /// Lets silenced commands complete.
    pub fn release(&mut self) -> Result<()> {
        self.tell(&Request::Release {})
    }

    /// Removes pending injections.
    pub fn clear_faults(&mut self) -> Result<()> {
        self.tell(&Request::ClearFaults {})
    }

    /// Changes a byte of the ballast in a function's context (`--extra-parts`).
    pub fn poke_extra(&mut self, function: &str, position: usize, value: u8) -> Result<()> {
        self.tell(&Request::PokeExtra {
            function: function.to_owned(),
            position,
            value,
        })
    }

    /// Gives a function's context this much ballast, in parts of this size.
    pub fn ballast(&mut self, function: &str, bytes: usize, part_size: usize) -> Result<()> {
        self.tell(&Request::Ballast {
            function: function.to_owned(),
            bytes,
            part_size,
        })
    }

    /// Changes a byte in each of so many parts of a function's ballast.
    pub fn touch_ballast(&mut self, function: &str, parts: usize) -> Result<()> {
        self.tell(&Request::TouchBallast {
            function: function.to_owned(),
            parts,
        })
    }

    /// Makes block requests take this long from now on.
    pub fn slow_disk(&mut self, delay_ms: u64) -> Result<()> {
        self.tell(&Request::SlowDisk { delay_ms })
    }

    /// Lets the IOMMU set dirty bits, or not.
    pub fn dirty_bits(&mut self, enabled: bool) -> Result<()> {
        self.tell(&Request::DirtyBits { enabled })
    }

    /// The 4 KiB pages that `function` has written, as the model itself saw it.
    pub fn dma_writes(&mut self, function: &str, clear: bool) -> Result<Vec<u64>> {
        let function = function.to_owned();
        let answer: DmaWrites = self.request(&Request::DmaWrites { function, clear })?;
        Ok(answer.pages)
    }

    /// Connects a network function to its switch, or not.
    pub fn link(&mut self, function: &str, up: bool) -> Result<()> {
        let function = function.to_owned();
        self.tell(&Request::Link { function, up })
    }

    /// Asks the driver of a network function to announce itself.
    pub fn announce(&mut self, function: &str) -> Result<()> {
        let function = function.to_owned();
        self.tell(&Request::Announce { function })
    }

    /// Makes the disk in memory larger or smaller.
    pub fn resize_disk(&mut self, bytes: u64) -> Result<()> {
        self.tell(&Request::ResizeDisk { bytes })
    }

    /// Makes a function need a reset.
    pub fn need_reset(&mut self, function: &str) -> Result<()> {
        let function = function.to_owned();
        self.tell(&Request::NeedReset { function })
    }

    /// Takes a function away, or puts it back.
    pub fn remove(&mut self, function: &str, gone: bool) -> Result<()> {
        let function = function.to_owned();
        self.tell(&Request::Remove { function, gone })
    }

    /// Ends the bench.
    pub fn shutdown(&mut self) -> Result<()> {
        self.tell(&Request::Shutdown {})
    }
}

/// The device node of the virtio-serial port called `name`.
fn find_port(name: &str) -> io::Result<Option<PathBuf>> {
    let Ok(ports) = fs::read_dir("/sys/class/virtio-ports") else {
        return Ok(None);
    };
    for port in ports {
        let port = port?;
        let found = fs::read_to_string(port.path().join("name")).unwrap_or_default();
        if found.trim_end() == name {
            return Ok(Some(Path::new("/dev").join(port.file_name())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
