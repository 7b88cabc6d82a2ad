// SPDX-License-Identifier: GPL-2.0
//! Clients that break vfio-user: a function outlives them and serves the next one.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use vfio_user::Client;

use crate::guest::Guest;
use crate::wire::region;

const VERSION: u16 = 1;
const REGION_READ: u16 = 9;
const HEADER: u32 = 16;

fn message(command: u16, size: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 0];
    bytes.extend(command.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// What the function answers to `bytes` and nothing more, up to the end of the connection.
fn talk(guest: &Guest, bytes: &[u8]) -> Vec<u8> {
    let path = guest.dir.path().join("pf.sock");
    let mut client = UnixStream::connect(path).expect("connection");
    client.write_all(bytes).expect("message");
    client.shutdown(Shutdown::Write).expect("connection");
    let mut answer = Vec::new();
    // Cut off with something unread, the connection is reset.
    let _ = client.read_to_end(&mut answer);
    answer
}

/// A client that keeps to the protocol gets the function's vendor and device.
fn serves(guest: &Guest) {
    let path = guest.dir.path().join("pf.sock");
    let mut client = Client::new(&path).expect("connection");
    let mut ids = [0; 4];
    client
        .region_read(region::CONFIG, 0, &mut ids)
        .expect("reply");
    assert_eq!(ids, [0x34, 0x12, 0x78, 0x56]);
}

fn alone() -> Guest {
    let mut guest = Guest::new(0);
    guest.functions.clear();
    guest
}

#[test]
fn versions_that_make_no_sense() {
    let guest = alone();
    for (size, body) in [
        // Shorter than it is.
        (0, &[0; 4][..]),
        (HEADER + 3, &[0; 4]),
        // Without the end of the text, or with one in it.
        (HEADER + 4 + 2, b"\0\0\x01\0{}"),
        (HEADER + 4 + 4, b"\0\0\x01\0{\0}\0"),
        (HEADER + 4, b"\0\0\x01\0"),
    ] {
        talk(&guest, &message(VERSION, size, body));
        serves(&guest);
    }
}

#[test]
fn a_read_of_more_than_a_message_has() {
    let guest = alone();
    for count in [(1 << 20) + 1, u32::MAX] {
        let mut body = 0u64.to_le_bytes().to_vec();
        body.extend(region::CONFIG.to_le_bytes());
        body.extend(count.to_le_bytes());
        let answer = talk(&guest, &message(REGION_READ, HEADER + 16, &body));
        // A reply without data that says so.
        assert_eq!(answer.len(), HEADER as usize);
        assert_eq!(answer[8] & 0x2f, 0x21, "an error");
        serves(&guest);
    }
}

/// Found by fuzzing: the IOMMU's registers were looked for beyond the last address.
#[test]
fn accesses_at_the_end_of_the_address_space() {
    let mut guest = Guest::new(1);
    for region in [region::BAR0, region::CONFIG] {
        for length in [1, 4, 8] {
            let mut data = [0xee; 8];
            let offset = u64::MAX - 3;
            let iommu = &mut guest.iommu;
            iommu
                .region_write(region, offset, &data[..length])
                .expect("reply");
            iommu
                .region_read(region, offset, &mut data[..length])
                .expect("reply");
            assert!(data[..length].iter().all(|&byte| byte == 0));
            for function in &mut guest.functions {
                function
                    .region_read(region, offset, &mut data[..length])
                    .expect("reply");
                function
                    .region_write(region, offset, &data[..length])
                    .expect("reply");
            }
        }
    }
    assert_eq!(guest.iommu.reset().ok(), Some(()));
}

#[test]
fn cut_messages_and_noise() {
    let guest = alone();
    let whole = message(REGION_READ, HEADER + 16, &[0; 16]);
    for length in 0..whole.len() {
        talk(&guest, &whole[..length]);
    }
    for command in [0, 6, 11, 12, 14, 15, 0x100, u16::MAX] {
        let answer = talk(&guest, &message(command, HEADER, &[]));
        assert_eq!(answer.len(), HEADER as usize, "command {command}");
    }
    serves(&guest);
}
