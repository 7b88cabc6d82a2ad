// SPDX-License-Identifier: GPL-2.0
//! A port of the switch that leads to the switch of another bench: a UNIX stream socket,
//! on which each frame comes after its length, 32 bits in network byte order. QEMU's
//! `-netdev stream` speaks the same.
//!
//! One end listens, the other connects, and it does not matter which is there first. When
//! the other end goes away, or says what is no frame, the connection is given up and the
//! next one awaited. Frames that the other end is too slow for are dropped, as are those
//! for which there is no other end.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use tracing::{info, warn};

use super::kind::Frame;

/// Bytes of the length before each frame.
const HEADER: usize = 4;
const MIN_FRAME: usize = 14;
/// The largest frame: 64 KiB that the sender has not cut into segments, and headers.
const MAX_FRAME: usize = 65536 + 17;
/// Frames that wait for the other end at most.
const WAITING: usize = 256;
/// How often a thread that waits looks up, and how soon it tries again.
const PATIENCE: Duration = Duration::from_millis(100);

/// How to find the other bench.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Wait for it at this socket.
    Listen(PathBuf),
    /// Look for it there.
    Connect(PathBuf),
}

impl Place {
    /// The socket's path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Listen(path) | Self::Connect(path) => path,
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("listen", path)) if !path.is_empty() => Ok(Self::Listen(path.into())),
            Some(("connect", path)) if !path.is_empty() => Ok(Self::Connect(path.into())),
            _ => Err("listen:PATH or connect:PATH".to_string()),
        }
    }
}

/// What arrives at the port.
pub enum Arrival {
    /// A frame.
    Frame(Frame),
    /// The other end is gone, and with it all that was behind it.
    Gone,
}

/// The port. Its two threads are the caller's: [`Link::receive`] and [`Link::deliver`].
#[derive(Debug)]
pub struct Link {
    place: Place,
    listener: Option<UnixListener>,
    waiting: SyncSender<Frame>,
    queue: Mutex<Receiver<Frame>>,
    /// The connection, for the thread that sends.
    peer: Mutex<Option<Arc<UnixStream>>>,
    dropped: AtomicU64,
}

impl Link {
    /// Makes the port. A socket of an earlier run is cleared away, another file is not.
    pub fn new(place: &Place) -> io::Result<Self> {
        let listener = match place {
            Place::Connect(_) => None,
            Place::Listen(path) => {
                clear(path)?;
                let listener = UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                Some(listener)
            }
        };
        let (waiting, queue) = sync_channel(WAITING);
        Ok(Self {
            place: place.clone(),
            listener,
            waiting,
            queue: Mutex::new(queue),
            peer: Mutex::default(),
            dropped: AtomicU64::new(0),
        })
    }

    /// Hands a frame to the sending thread, or drops it. Never waits.
    pub fn send(&self, frame: &[u8]) {
        let fits = (MIN_FRAME..=MAX_FRAME).contains(&frame.len());
        if !fits || self.peer().is_none() || self.waiting.try_send(frame.to_vec()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Frames that the other end did not get.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether there is another end.
    pub fn is_up(&self) -> bool {
        self.peer().is_some()
    }

    /// The receiving thread: finds the other end, as often as it takes.
    pub fn receive(&self, ending: &AtomicBool, mut arrive: impl FnMut(Arrival)) {
        while !ending.load(Ordering::SeqCst) {
            let stream = match self.find() {
                Ok(Some(stream)) => Arc::new(stream),
                Ok(None) => {
                    sleep(PATIENCE);
                    continue;
                }
                Err(error) => {
                    warn!(%error, "the link to the other bench failed");
                    sleep(PATIENCE);
                    continue;
                }
            };
            info!(path = %self.place.path().display(), "linked to another bench");
            self.set_peer(Some(stream.clone()));
            let end = listen(&stream, ending, &mut |frame| arrive(Arrival::Frame(frame)));
            self.set_peer(None);
            // The sending thread may be at it.
            let _ = stream.shutdown(std::net::Shutdown::Both);
            arrive(Arrival::Gone);
            match end {
                Ok(()) => info!("the other bench is gone"),
                Err(error) => {
                    warn!(%error, "the link to the other bench is given up");
                    // Whoever is at the other end does not get to keep us busy.
                    sleep(PATIENCE);
                }
            }
        }
    }

    /// The sending thread.
    pub fn deliver(&self, ending: &AtomicBool) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while !ending.load(Ordering::SeqCst) {
            let frame = match queue.recv_timeout(PATIENCE) {
                Ok(frame) => frame,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let Some(stream) = self.peer() else {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let mut message = (frame.len() as u32).to_be_bytes().to_vec();
            message.extend_from_slice(&frame);
            if write_all(&stream, &message, ending).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                // What follows would not be understood. The receiving thread notices.
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        }
    }

    /// The other end, if it is there.
    fn find(&self) -> io::Result<Option<UnixStream>> {
        let found = match &self.listener {
            Some(listener) => listener.accept().map(|(stream, _)| stream),
            None => UnixStream::connect(self.place.path()),
        };
        let stream = match found {
            Ok(stream) => stream,
            Err(error) => {
                return match error.kind() {
                    ErrorKind::WouldBlock
                    | ErrorKind::Interrupted
                    | ErrorKind::NotFound
                    | ErrorKind::ConnectionRefused => Ok(None),
                    _ => Err(error),
                };
            }
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Some(stream))
    }

    fn peer(&self) -> Option<Arc<UnixStream>> {
        self.peer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_peer(&self, peer: Option<Arc<UnixStream>>) {
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = peer;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Place::Listen(path) = &self.place {
            // The file may be gone already, and then there is nothing to do.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes a socket that nobody listens at any more.
fn clear(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "is in the way and not a socket",
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes frames until the other end is gone.
fn listen(
    stream: &UnixStream,
    ending: &AtomicBool,
    arrive: &mut impl FnMut(Frame),
) -> io::Result<()> {
    loop {
        let mut header = [0; HEADER];
        if !read_exact(stream, &mut header, ending)? {
            return Ok(());
        }
        let length = u32::from_be_bytes(header) as usize;
        if !(MIN_FRAME..=MAX_FRAME).contains(&length) {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("a frame of {length} bytes"),
            ));
        }
        let mut frame = vec![0; length];
        if !read_exact(stream, &mut frame, ending)? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        arrive(frame);
    }
}

/// Whether a call was only waiting for too long.
fn is_patience(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// Fills `buffer`. False if the other end, or we, ended before its first byte.
fn read_exact(mut stream: &UnixStream, buffer: &mut [u8], ending: &AtomicBool) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if is_patience(&error) => {
                if ending.load(Ordering::SeqCst) {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Writes all of `message`, however slow the other end is, unless we are to end.
fn write_all(mut stream: &UnixStream, message: &[u8], ending: &AtomicBool) -> io::Result<()> {
    let mut written = 0;
    while written < message.len() {
        match stream.write(&message[written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if is_patience(&error) && !ending.load(Ordering::SeqCst) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_say_who_waits_for_whom() {
        assert_eq!("listen:/a:b".parse(), Ok(Place::Listen("/a:b".into())));
        assert_eq!("connect:c".parse(), Ok(Place::Connect("c".into())));
        for bad in ["", "/a", "listen:", "connect:", "accept:/a"] {
            assert!(bad.parse::<Place>().is_err(), "{bad:?}");
        }
    }
}
