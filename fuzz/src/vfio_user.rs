// SPDX-License-Identifier: GPL-2.0
//! Whatever a client of a function's vfio-user socket sends, the function survives it and
//! serves the next one. A byte for the function, one for the handshake, and messages as
//! [`Message`] has them.
//!
//! `vfio_user` itself panics on some messages, which Documentation/fuzzing.rst lists. The
//! bench outlives that, so it is no failure here; a panic elsewhere is one.

use std::cell::RefCell;
use std::io::{IoSlice, Read};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use nix::sys::eventfd::EventFd;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use vfio_bench::assembly::Assembly;
use vfio_bench::server::{Broken, Socket};
use vfio_bench::virtio::machine::{Config, Machine};

use crate::bytes::Bytes;

/// So many messages fit into a socket that nobody reads yet.
const MESSAGES: usize = 40;
/// Bytes of the file that the guest's memory is.
const FILE: u64 = 1 << 20;
const HEADER: usize = 16;
const HANDSHAKE: &[u8] = br#"{"capabilities":{"max_msg_fds":8}}"#;

struct Bench {
    dir: PathBuf,
    /// The PF, a VF and the IOMMU.
    sockets: Vec<(PathBuf, Socket)>,
    memory: OwnedFd,
    event: EventFd,
    /// To whoever reads the replies, and back when there are no more.
    replies: Sender<UnixStream>,
    read: Receiver<()>,
    _assembly: Assembly,
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
}

impl Bench {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("vvp-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let (ending, _) = mpsc::channel();
        let devices =
            |ports| Machine::new(Config::default(), ports).map_err(|error| error.to_string());
        let assembly = Assembly::new(1, 1, 0, devices, ending).expect("a bench");
        let names = ["pf", "vf1", "iommu"];
        let paths = names.map(|name| dir.join(format!("{name}.sock")));
        for path in &paths {
            let _ = std::fs::remove_file(path);
        }
        let sockets = assembly.sockets(&dir).expect("sockets");
        let memory = memfd_create(c"guest", MFdFlags::empty()).expect("memory");
        nix::unistd::ftruncate(&memory, FILE as i64).expect("memory");
        let (replies, taken) = mpsc::channel::<UnixStream>();
        let (done, read) = mpsc::channel();
        thread::spawn(move || {
            for mut stream in taken {
                let mut buffer = vec![0; 1 << 16];
                while stream.read(&mut buffer).is_ok_and(|length| length > 0) {}
                if done.send(()).is_err() {
                    return;
                }
            }
        });
        Self {
            dir,
            sockets: paths.into_iter().zip(sockets).collect(),
            memory,
            event: EventFd::new().expect("an eventfd"),
            replies,
            read,
            _assembly: assembly,
        }
    }

    fn serve(&mut self, bytes: &mut Bytes<'_>) {
        let which = usize::from(bytes.u8()) % self.sockets.len();
        let client = UnixStream::connect(&self.sockets[which].0).expect("the socket listens");
        let handshake = bytes.u8() & 7;
        if handshake != 7 {
            let length = 4 + HANDSHAKE.len() + 1;
            let mut body = vec![0, 0, 1, 0];
            body.extend(HANDSHAKE);
            body.push(0);
            send(&client, &message(1, 0, length as u32, &body), &[]);
        }
        for _ in 0..MESSAGES {
            if bytes.is_empty() {
                break;
            }
            let message = Message::take(bytes);
            let (memory, event) = (self.memory.as_raw_fd(), self.event.as_raw_fd());
            let fds = &[memory, event, memory, event, event][..message.fds];
            let fds = if message.events {
                &[event; 5][..message.fds]
            } else {
                fds
            };
            send(&client, &message.bytes, fds);
        }
        client.shutdown(Shutdown::Write).expect("a connection");
        self.replies.send(client).expect("a thread that reads");
        match self.sockets[which].1.serve() {
            Ok(()) | Err(Broken::Message | Broken::Connection(_)) => {}
        }
        self.read.recv().expect("a thread that reads");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A message: a byte each for its command, flags, the deviation of its length, and the
/// files with it; then what it has, or bytes.
struct Message {
    bytes: Vec<u8>,
    fds: usize,
    events: bool,
}

impl Message {
    fn take(bytes: &mut Bytes<'_>) -> Self {
        let (command, flags, longer, files) = (bytes.u8(), bytes.u8(), bytes.u8(), bytes.u8());
        let body = match command & 15 {
            // A mapping that often is right.
            2 => body(&[
                &32u32.to_le_bytes(),
                &u32::from(bytes.u8()).to_le_bytes(),
                &(u64::from(bytes.u8()) << 12).to_le_bytes(),
                &(u64::from(bytes.u8()) << 12).to_le_bytes(),
                &size(bytes).to_le_bytes(),
            ]),
            3 => body(&[
                &24u32.to_le_bytes(),
                &u32::from(bytes.u8()).to_le_bytes(),
                &(u64::from(bytes.u8()) << 12).to_le_bytes(),
                &size(bytes).to_le_bytes(),
            ]),
            4 => body(&[&16u32.to_le_bytes(), &[0; 12]]),
            5 => body(&[
                &32u32.to_le_bytes(),
                &[0; 4],
                &u32::from(bytes.u8() % 12).to_le_bytes(),
                &[0; 20],
            ]),
            7 => body(&[
                &16u32.to_le_bytes(),
                &[0; 4],
                &u32::from(bytes.u8() % 7).to_le_bytes(),
                &[0; 4],
            ]),
            8 => body(&[
                &20u32.to_le_bytes(),
                &u32::from(bytes.u8()).to_le_bytes(),
                &u32::from(bytes.u8() % 6).to_le_bytes(),
                &number(bytes).to_le_bytes(),
                &number(bytes).to_le_bytes(),
            ]),
            9 => body(&[
                &offset(bytes).to_le_bytes(),
                &u32::from(bytes.u8() % 10).to_le_bytes(),
                &number(bytes).to_le_bytes(),
            ]),
            10 => {
                let (offset, region) = (offset(bytes), bytes.u8() % 10);
                let length = usize::from(bytes.u8() % 17);
                let data = bytes.take(length);
                body(&[
                    &offset.to_le_bytes(),
                    &u32::from(region).to_le_bytes(),
                    &(length as u32).to_le_bytes(),
                    data,
                ])
            }
            13 => Vec::new(),
            _ => {
                let length = usize::from(bytes.u8() % 64);
                bytes.take(length).to_vec()
            }
        };
        let length = match longer {
            0xff => u32::MAX - HEADER as u32,
            0..0x80 => body.len() as u32,
            _ => (body.len() as u32).saturating_sub(u32::from(longer & 15)),
        };
        let mut bytes = message(command, flags, length, &body);
        if command == 0xff {
            // Not even a header.
            bytes.truncate(usize::from(longer & 15));
        }
        Self {
            bytes,
            fds: usize::from(files) % 6,
            events: files & 0x80 != 0,
        }
    }
}

fn body(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.concat()
}

fn message(command: u8, flags: u8, body_length: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![7, 0, command, 0];
    bytes.extend(body_length.saturating_add(HEADER as u32).to_le_bytes());
    bytes.extend([flags, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(body);
    bytes
}

/// A number that is small, or as large as can be.
fn number(bytes: &mut Bytes<'_>) -> u32 {
    match bytes.u8() {
        0xff => u32::MAX,
        0xfe => (1 << 20) + 1,
        small => small.into(),
    }
}

fn size(bytes: &mut Bytes<'_>) -> u64 {
    match bytes.u8() {
        0xff => u64::MAX - 0xfff,
        0xfe => 17,
        pages => u64::from(pages) << 12,
    }
}

fn offset(bytes: &mut Bytes<'_>) -> u64 {
    match bytes.u16() {
        0xffff => u64::MAX - 3,
        offset => offset.into(),
    }
}

fn send(client: &UnixStream, bytes: &[u8], fds: &[RawFd]) {
    let rights = [ControlMessage::ScmRights(fds)];
    let rights = if fds.is_empty() { &[][..] } else { &rights[..] };
    // Without bytes no files are sent, and nobody is told.
    if !bytes.is_empty() {
        let pieces = [IoSlice::new(bytes)];
        sendmsg::<()>(
            client.as_raw_fd(),
            &pieces,
            rights,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )
        .expect("room in the socket");
    }
}

pub fn run(data: &[u8]) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let fatal = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let elsewhere = panic.location().is_some_and(|place| {
                Path::new(place.file()).iter().any(|part| {
                    part.to_str()
                        .is_some_and(|name| name.starts_with("vfio_user-"))
                })
            });
            if !elsewhere {
                fatal(panic);
            }
        }));
    });
    BENCH.with_borrow_mut(|bench| bench.serve(&mut Bytes::new(data)));
}
