// SPDX-License-Identifier: GPL-2.0
//! The link between the switches of two benches.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use vfio_bench::virtio::link::Place;
use vfio_bench::virtio::machine::Config;

use crate::driver::{BROADCAST, Driver, frame};
use crate::rig::Rig;
use crate::wire::{CTRL_RX, CTRL_RX_PROMISC};

/// A peer that never answers fails the test after this long.
const STUCK: Duration = Duration::from_secs(60);
const ANNOUNCEMENT: usize = 60;
const RARP: [u8; 2] = [0x80, 0x35];

fn socket() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("vfio-bench-{}-link-{number}", std::process::id()))
}

fn rig(link: Place, mac_block: u8, vfs: u16) -> Rig {
    let config = Config {
        link: Some(link),
        mac_block,
        ..Config::default()
    };
    Rig::new(config, vfs)
}

fn listening(path: &Path) -> Rig {
    rig(Place::Listen(path.into()), 1, 1)
}

fn connecting(path: &Path) -> Rig {
    rig(Place::Connect(path.into()), 2, 1)
}

/// Sends `sent` until it arrives: a link that is not up yet drops frames.
fn send_until_taken(from: &mut Driver, to: &mut Driver, sent: &[u8]) {
    let offered = to.offer(2048);
    loop {
        from.send(sent);
        match to.take(offered) {
            Some(got) if got == sent => return,
            // An announcement, or what was sent before.
            Some(_) => return send_until_taken(from, to, sent),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn takes(driver: &mut Driver, offered: (u16, u64)) -> Vec<u8> {
    loop {
        match driver.take(offered) {
            Some(got) => return got,
            None => std::thread::yield_now(),
        }
    }
}

/// What a bench that listens is connected to by a test.
fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("a bench that listens");
    stream.set_read_timeout(Some(STUCK)).expect("a timeout");
    stream
}

fn message(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_be_bytes()[..], frame].concat()
}

fn read_message(stream: &mut UnixStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a length");
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).expect("a frame");
    frame
}

/// Whether the bench closes the connection without a word.
fn is_hung_up(stream: &mut UnixStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn frames_cross_whichever_end_is_first() {
    for connector_first in [false, true] {
        let path = socket();
        let (a, b) = if connector_first {
            let b = connecting(&path);
            (listening(&path), b)
        } else {
            let a = listening(&path);
            (a, connecting(&path))
        };
        let (mut here, mut there) = (Driver::up(&a, 1, 0), Driver::up(&b, 1, 0));
        assert_ne!(
            here.mac(),
            there.mac(),
            "addresses of linked benches differ"
        );
        let there_and = frame(there.mac(), here.mac(), b"there and");
        send_until_taken(&mut here, &mut there, &there_and);
        let back = frame(here.mac(), there.mac(), b"back");
        send_until_taken(&mut there, &mut here, &back);
    }
}

#[test]
fn an_address_that_has_crossed_is_found_there() {
    let path = socket();
    let (a, b) = (rig(Place::Listen(path.clone()), 1, 2), connecting(&path));
    let mut pf = Driver::up(&a, 0, 0);
    let mut vf = Driver::up(&a, 1, 0);
    let mut there = Driver::up(&b, 1, 0);
    let station = [2, 0xbb, 0, 0, 0, 1];
    // The station speaks from behind VF 1 here, then from the other bench.
    vf.send(&frame(pf.mac(), station, b"here"));
    there.control(CTRL_RX, CTRL_RX_PROMISC, &[1]);
    let moved = frame(pf.mac(), station, b"moved");
    send_until_taken(&mut there, &mut pf, &moved);
    let sent = frame(station, pf.mac(), b"follows");
    vf.control(CTRL_RX, CTRL_RX_PROMISC, &[1]);
    let eavesdropped = vf.offer(2048);
    send_until_taken(&mut pf, &mut there, &sent);
    assert_eq!(vf.take(eavesdropped), None, "it is known to be elsewhere");
}

#[test]
fn a_function_that_comes_up_is_announced() {
    let path = socket();
    let rig = listening(&path);
    let mut stream = connect(&path);
    let mut pf = Driver::up(&rig, 0, 0);
    let hello = frame(BROADCAST, pf.mac(), b"hello");
    // The bench has noticed the connection once something comes through.
    let probe = frame(pf.mac(), [2, 0xcc, 0, 0, 0, 1], b"probe");
    let offered = pf.offer(2048);
    stream.write_all(&message(&probe)).expect("sent");
    assert_eq!(takes(&mut pf, offered), probe);
    let vf = Driver::up(&rig, 1, 0);
    pf.send(&hello);
    let mut announced = Vec::new();
    loop {
        let got = read_message(&mut stream);
        if got == hello {
            break;
        }
        assert_eq!((got.len(), &got[12..14]), (ANNOUNCEMENT, &RARP[..]));
        assert_eq!(got[..6], BROADCAST);
        assert_eq!(got[6..12], got[22..28], "sender and who is meant");
        announced.push(got[6..12].to_vec());
    }
    assert!(announced.contains(&vf.mac().to_vec()));
}

#[test]
fn a_bench_outlives_the_other() {
    let path = socket();
    let a = listening(&path);
    let mut here = Driver::up(&a, 1, 0);
    for _ in 0..3 {
        let b = connecting(&path);
        let mut there = Driver::up(&b, 1, 0);
        let sent = frame(there.mac(), here.mac(), b"again");
        send_until_taken(&mut here, &mut there, &sent);
    }
    let path = socket();
    let b = connecting(&path);
    let mut there = Driver::up(&b, 1, 0);
    for _ in 0..3 {
        let a = listening(&path);
        let mut here = Driver::up(&a, 1, 0);
        let sent = frame(here.mac(), there.mac(), b"again");
        send_until_taken(&mut there, &mut here, &sent);
        drop(here);
        drop(a);
        assert!(!path.exists(), "the socket file is removed");
    }
}

#[test]
fn what_is_no_frame_ends_the_connection_and_nothing_else() {
    let path = socket();
    let rig = listening(&path);
    let mut pf = Driver::up(&rig, 0, 0);
    let bad: [&[u8]; 6] = [
        &[0; 4],
        &[0, 0, 0, 13],
        &[0, 1, 0, 18],
        &[0xff; 64],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x7f, 0xff, 0xff, 0xff],
    ];
    for bytes in bad {
        let mut stream = connect(&path);
        stream.write_all(bytes).expect("sent");
        assert!(is_hung_up(&mut stream), "{bytes:?}");
    }
    // Cut off in the length, and in the frame.
    for bytes in [&[0, 0][..], &[0, 0, 0, 60, 1, 2, 3]] {
        let mut stream = connect(&path);
        stream.write_all(bytes).expect("sent");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("half a connection");
        assert!(is_hung_up(&mut stream), "{bytes:?}");
    }
    // A frame in pieces is one.
    let mut stream = connect(&path);
    let sent = frame(pf.mac(), [2, 0xcc, 0, 0, 0, 1], b"whole");
    let offered = pf.offer(2048);
    for byte in message(&sent) {
        stream.write_all(&[byte]).expect("sent");
    }
    assert_eq!(takes(&mut pf, offered), sent);
}

#[test]
fn an_end_that_does_not_read_blocks_nobody() {
    let path = socket();
    let rig = listening(&path);
    let stream = connect(&path);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let shout = frame(BROADCAST, pf.mac(), &[7; 1400]);
    for _ in 0..1000 {
        pf.send(&shout);
    }
    // The functions of the bench go on meanwhile, and it can end.
    let sent = frame(vf.mac(), pf.mac(), b"to a neighbour");
    let offered = vf.offer(2048);
    pf.send(&sent);
    assert_eq!(takes(&mut vf, offered), sent);
    let link = &rig.control(json!({"cmd": "state"}))["link"];
    assert_eq!(link["up"], true);
    assert_ne!(link["dropped"], 0, "frames that wait are bounded in number");
    drop((pf, vf));
    drop(rig);
    drop(stream);
}

#[test]
fn another_bench_has_to_wait_until_the_first_is_gone() {
    let path = socket();
    let rig = listening(&path);
    let mut pf = Driver::up(&rig, 0, 0);
    let first = connect(&path);
    let mut second = connect(&path);
    let sent = frame(pf.mac(), [2, 0xcc, 0, 0, 0, 1], b"patient");
    let offered = pf.offer(2048);
    second.write_all(&message(&sent)).expect("sent");
    drop(first);
    assert_eq!(takes(&mut pf, offered), sent);
}

#[test]
fn impossible_links_are_refused() {
    let path = socket();
    std::fs::write(&path, "precious").expect("a file");
    for place in [
        Place::Listen("/nonexistent/link.sock".into()),
        Place::Listen(path.clone()),
    ] {
        let config = Config {
            link: Some(place),
            ..Config::default()
        };
        let port = vfio_bench::testing::FlatPort::new(0x1000).expect("memory");
        let refused =
            vfio_bench::virtio::machine::Machine::new(config, vec![std::sync::Arc::new(port)]);
        assert!(refused.is_err());
    }
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), "precious");
    std::fs::remove_file(path).expect("own file");
}

#[test]
fn a_bench_that_connects_goes_on_trying() {
    let path = socket();
    let b = connecting(&path);
    let mut there = Driver::up(&b, 1, 0);
    // Somebody who hangs up at once.
    let listener = UnixListener::bind(&path).expect("a socket");
    for _ in 0..2 {
        drop(listener.accept().expect("the bench"));
    }
    let (mut stream, _) = listener.accept().expect("the bench");
    let sent = frame(there.mac(), [2, 0xcc, 0, 0, 0, 1], b"at last");
    let offered = there.offer(2048);
    stream.write_all(&message(&sent)).expect("sent");
    assert_eq!(takes(&mut there, offered), sent);
    std::fs::remove_file(path).expect("own socket file");
}
