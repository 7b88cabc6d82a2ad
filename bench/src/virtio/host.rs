// SPDX-License-Identifier: GPL-2.0
//! The host's port of the switch: a UNIX datagram socket, one frame a datagram.
//!
//! A program on the host binds a socket of its own and sends frames to the
//! bench's; the bench sends frames to whoever sent to it last. Until somebody
//! has, and while that socket is full, frames to the host are dropped.

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::kind::Frame;

/// Room for the largest frame, and one byte more to tell those that are larger.
const BUFFER: usize = 65536 + 18;
const MIN_FRAME: usize = 14;
/// How often a thread that waits for frames looks up.
const PATIENCE: Duration = Duration::from_millis(200);

/// The bound socket.
#[derive(Debug)]
pub struct HostSocket {
    socket: UnixDatagram,
    path: PathBuf,
    peer: Mutex<Option<SocketAddr>>,
    /// Sends without waiting; shares the receiving socket's address.
    sender: UnixDatagram,
}

impl HostSocket {
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // O_NONBLOCK belongs to the open socket, which a duplicate would share:
        // the sender is a socket of its own.
        let sender = UnixDatagram::unbound()?;
        sender.set_nonblocking(true)?;
        Ok(Self {
            socket,
            path: path.to_owned(),
            peer: Mutex::default(),
            sender,
        })
    }

    /// Waits a while for a frame.
    pub fn receive(&self) -> io::Result<Option<Frame>> {
        let mut buffer = vec![0; BUFFER];
        let (length, from) = match self.socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::Interrupted => Ok(None),
                    _ => Err(error),
                };
            }
        };
        if !from.is_unnamed() {
            *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
        }
        buffer.truncate(length);
        let fits = (MIN_FRAME..BUFFER).contains(&length);
        Ok(fits.then_some(buffer))
    }

    /// Sends a frame, or drops it; true if it was sent.
    pub fn send(&self, frame: &[u8]) -> bool {
        let peer = self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        peer.as_ref()
            .is_some_and(|peer| self.sender.send_to_addr(frame, peer).is_ok())
    }
}

impl Drop for HostSocket {
    fn drop(&mut self) {
        // The file may be gone already, and then there is nothing to do.
        let _ = std::fs::remove_file(&self.path);
    }
}
