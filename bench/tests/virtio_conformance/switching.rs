// SPDX-License-Identifier: GPL-2.0
//! The switch between the functions and the host.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use vfio_bench::virtio::machine::Config;

use crate::driver::{BROADCAST, Driver, frame};
use crate::rig::Rig;
use crate::wire::*;

#[test]
fn unicast_goes_to_one_port_once_it_is_known() {
    let rig = Rig::plain(2);
    let mut drivers: Vec<_> = (0..3).map(|index| Driver::up(&rig, index, 0)).collect();
    drivers[2].control(CTRL_RX, CTRL_RX_PROMISC, &[1]);
    let station = [2, 0xbb, 0, 0, 0, 1];
    let sent = frame(station, drivers[0].mac(), b"where");
    let eavesdropped = drivers[2].offer(2048);
    drivers[0].send(&sent);
    assert_eq!(
        drivers[2].take(eavesdropped),
        Some(sent.clone()),
        "unknown: flooded"
    );
    // The station speaks from behind VF 1.
    let here = frame(drivers[0].mac(), station, b"here");
    drivers[1].send(&here);
    let eavesdropped = drivers[2].offer(2048);
    drivers[0].send(&sent);
    assert_eq!(drivers[2].take(eavesdropped), None, "known: not here");
    // It moves behind VF 2.
    drivers[2].send(&frame(BROADCAST, station, b"moved"));
    drivers[0].send(&sent);
    assert_eq!(drivers[2].take(eavesdropped), Some(sent));
}

#[test]
fn a_frame_never_returns_to_its_port() {
    let rig = Rig::plain(1);
    let mut vf = Driver::up(&rig, 1, 0);
    let offered = vf.offer(2048);
    vf.send(&frame(vf.mac(), vf.mac(), b"to myself"));
    assert_eq!(vf.take(offered), None);
}

#[test]
fn frames_to_a_function_that_is_down_are_counted() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let vf = Driver::up(&rig, 1, 0);
    let sent = frame(vf.mac(), pf.mac(), b"x");
    pf.send(&sent);
    assert_eq!(rig.counter(1, "rx_dropped"), 1, "no buffers");
    vf.w8(DEVICE_STATUS, 0);
    pf.send(&sent);
    assert_eq!(rig.counter(1, "rx_frames"), 0);
}

#[test]
fn the_host_has_a_port() {
    let dir = tempfile::tempdir().expect("directory");
    let [bench, peer] = ["host", "peer"].map(|name| dir.path().join(name));
    let config = Config {
        host_socket: Some(bench.clone()),
        ..Config::default()
    };
    let rig = Rig::new(config, 1);
    let mut vf = Driver::up(&rig, 1, 0);
    let host = UnixDatagram::bind(&peer).expect("a socket");
    host.set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    let station = [2, 0xcc, 0, 0, 0, 1];
    let offered = vf.offer(2048);
    // Datagrams that are no frames are ignored.
    host.send_to(&[1, 2, 3], &bench).expect("sent");
    let hello = frame(vf.mac(), station, b"hello");
    host.send_to(&hello, &bench).expect("sent");
    let got = loop {
        match vf.take(offered) {
            Some(got) => break got,
            None => std::thread::yield_now(),
        }
    };
    assert_eq!(got, hello);
    let answer = frame(station, vf.mac(), b"answer");
    vf.send(&answer);
    let mut buffer = [0; 4096];
    let len = host.recv(&mut buffer).expect("a frame");
    assert_eq!(buffer[..len], answer);
    // A host that does not read loses frames and blocks nobody.
    for _ in 0..200 {
        vf.send(&answer);
    }
    drop(vf);
    drop(rig);
    assert!(!bench.exists(), "the socket file is removed");
    std::fs::remove_file(peer).expect("own socket file");
}

#[test]
fn an_impossible_host_socket_is_refused() {
    let config = Config {
        host_socket: Some("/nonexistent/host.sock".into()),
        ..Config::default()
    };
    let port = vfio_bench::testing::FlatPort::new(0x1000).expect("memory");
    let refused =
        vfio_bench::virtio::machine::Machine::new(config, vec![std::sync::Arc::new(port)]);
    assert!(refused.is_err());
}
