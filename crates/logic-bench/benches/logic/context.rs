// SPDX-License-Identifier: GPL-2.0
//! Contexts as the bench's network function has them, with ballast.

use logic::parts::{HEADER_LEN, Parts};

/// Type of the parts that are ballast.
const BALLAST: u16 = 0x5ff;

/// Queues: two for packets, one for control.
const QUEUES: u8 = 3;

/// Negotiated features: VERSION_1, ACCESS_PLATFORM, CTRL_VQ, STATUS, MAC and the like.
pub const NEGOTIATED: u64 = 0x3_0003_8020;

/// Offered features.
const OFFERED: u64 = NEGOTIATED | 0x1_7fdf_ffe3;

/// How a context differs from one before it.
#[derive(Clone, Copy)]
pub enum Changed {
    Nothing,
    /// One part of ballast in a hundred, and one at least.
    Percent,
    /// All parts of ballast.
    All,
}

impl Changed {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "equal",
            Self::Percent => "1%-changed",
            Self::All => "all-changed",
        }
    }
}

fn push(bytes: &mut Vec<u8>, part_type: u16, selector: u64, value: &[u8]) {
    // The features of the device are optional.
    let flags = u8::from(part_type == 0x100);
    bytes.extend(part_type.to_le_bytes());
    bytes.extend([flags, 0]);
    bytes.extend(selector.to_le_bytes());
    bytes.extend((value.len() as u32).to_le_bytes());
    bytes.extend(value);
}

/// The parts that every device type has.
fn common() -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, 0x100, 0, &OFFERED.to_le_bytes());
    push(&mut bytes, 0x101, 0, &NEGOTIATED.to_le_bytes());
    let fields: [(u64, &[u8]); 6] = [
        (0x00, &[1, 0, 0, 0]),
        (0x08, &[1, 0, 0, 0]),
        (0x10, &[0, 0]),
        (0x12, &[QUEUES, 0]),
        (0x15, &[1]),
        (0x16, &[QUEUES - 1, 0]),
    ];
    for (offset, value) in fields {
        push(&mut bytes, 0x102, offset, value);
    }
    push(&mut bytes, 0x103, 0, &[0xf]);
    for queue in 0..QUEUES {
        let mut value = [0; 32];
        // 256 entries, its vector, enabled, and three addresses.
        value[1] = 1;
        value[2] = queue + 1;
        value[4] = 1;
        for (ring, address) in value[8..].chunks_exact_mut(8).enumerate() {
            address[1..4].copy_from_slice(&[ring as u8 * 16, queue, 7]);
        }
        push(&mut bytes, 0x104, queue.into(), &value);
    }
    for queue in 0..QUEUES {
        push(
            &mut bytes,
            0x105,
            queue.into(),
            &[queue, 0, 0, 0, 0, 0, 0, 0],
        );
    }
    bytes
}

/// A context of `size` bytes: the common parts, then ballast in values of `part_len`
/// bytes, the last of which has what remains.
pub fn context(size: usize, part_len: usize) -> Vec<u8> {
    let mut bytes = common();
    for index in 0.. {
        let Some(left) = size
            .checked_sub(bytes.len() + HEADER_LEN)
            .filter(|&left| left > 0)
        else {
            break;
        };
        // What would remain behind the part has to be a part, too.
        let more = left > part_len + HEADER_LEN;
        let len = if more { part_len } else { left };
        let value: Vec<u8> = (bytes.len()..)
            .map(|at| (at ^ (at >> 8)) as u8)
            .take(len)
            .collect();
        push(&mut bytes, BALLAST, index, &value);
    }
    assert_eq!(bytes.len(), size);
    bytes
}

/// What became of `context`: one byte differs in each part that changed, at a place
/// that differs, too.
pub fn later(context: &[u8], changed: Changed) -> Vec<u8> {
    let mut bytes = context.to_vec();
    let mut at = 0;
    let mut ballast = Vec::new();
    for (header, part) in Parts::new(context) {
        if header[..2] == BALLAST.to_le_bytes() {
            ballast.push((at + HEADER_LEN, part.len() - HEADER_LEN));
        }
        at += part.len();
    }
    let (first, step) = match changed {
        Changed::Nothing => return bytes,
        Changed::Percent => (ballast.len().min(100) / 2, 100),
        Changed::All => (0, 1),
    };
    for (index, (start, len)) in ballast.into_iter().enumerate().skip(first).step_by(step) {
        bytes[start + index * 2_654_435_761 % len] ^= 0xff;
    }
    bytes
}
