// SPDX-License-Identifier: GPL-2.0
//! Single requests (virtio 1.4, section 5.2.6).
//!
//! A request is a readable header, data in one direction, and a status byte,
//! which is the last one the device may write. What cannot be parted like this
//! breaks the ring; whatever else is wrong ends the request with a status. A
//! request that fails has written zeroes where its data would have been, so that
//! the driver never takes what was there before for something from the disk.

use std::io;
use vfio_bench_protocol::Counters;

use tracing::{debug, warn};

use super::disk::{Disk, SECTOR};
use crate::iommu::DmaMemory;
use crate::virtio::bytes::{u32_at, u64_at};
use crate::virtio::chain::{Chain, RingError};
use crate::virtio::features::{BLK_DISCARD, BLK_FLUSH, BLK_RO, BLK_WRITE_ZEROES};

/// Ranges of one request to discard or write zeroes at most.
pub const MAX_RANGES: u32 = 16;
/// Sectors of each range at most.
pub const MAX_RANGE_SECTORS: u32 = 8192;

/// `struct virtio_blk_req` before its data.
const HEADER: u64 = 16;
/// `struct virtio_blk_discard_write_zeroes`.
const RANGE: u64 = 16;
const ID_LENGTH: usize = 20;
const ID: &[u8] = b"vfio-bench disk";

const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;
const DISCARD: u32 = 11;
const WRITE_ZEROES: u32 = 13;

const STATUS_OK: u8 = 0;
const STATUS_IOERR: u8 = 1;
const STATUS_UNSUPP: u8 = 2;

/// Flag of a range: it may take no room afterwards.
const RANGE_UNMAP: u32 = 1;

/// Bytes that are moved at a time.
const PIECE: usize = 65536;

/// How a request did not succeed.
enum Failed {
    /// The driver gets this status.
    Status(u8),
    /// The driver has broken its ring.
    Ring(RingError),
}

impl From<RingError> for Failed {
    fn from(error: RingError) -> Self {
        Self::Ring(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        warn!(%error, "disk");
        Self::Status(STATUS_IOERR)
    }
}

const IMPOSSIBLE: Failed = Failed::Status(STATUS_IOERR);
const UNSUPPORTED: Failed = Failed::Status(STATUS_UNSUPP);

/// A request, taken apart.
struct Request<'a> {
    chain: &'a Chain,
    mem: &'a DmaMemory,
    features: u64,
    sector: u64,
    /// Bytes of data from the driver.
    given: u64,
    /// Room for data for the driver.
    room: u64,
}

/// Executes a request, and returns how many bytes of its buffer were written.
pub fn execute(
    chain: &Chain,
    mem: &DmaMemory,
    features: u64,
    disk: &Disk,
    counters: &mut Counters,
) -> Result<u32, RingError> {
    let (Some(given), Some(room)) = (
        chain.readable().checked_sub(HEADER),
        chain.writable().checked_sub(1),
    ) else {
        return Err(RingError::Malformed(
            "block request without room for header and status",
        ));
    };
    let header = chain.read(mem, HEADER as usize)?;
    let request = Request {
        chain,
        mem,
        features,
        sector: u64_at(&header, 8),
        given,
        room,
    };
    let kind = u32_at(&header, 0);
    let done = match kind {
        IN => request.read(disk, counters),
        // Virtio 1.4, 5.2.6.2: a device for reading only fails these with an error.
        OUT if features & BLK_RO != 0 => Err(IMPOSSIBLE),
        OUT => request.write(disk, counters),
        FLUSH => request.flush(disk, counters),
        GET_ID => request.id(),
        DISCARD => request.clear(disk, BLK_DISCARD, 0),
        WRITE_ZEROES => request.clear(disk, BLK_WRITE_ZEROES, RANGE_UNMAP),
        _ => Err(UNSUPPORTED),
    };
    counters.requests += 1;
    let status = match done {
        Ok(()) => STATUS_OK,
        Err(Failed::Ring(error)) => return Err(error),
        Err(Failed::Status(status)) => {
            debug!(kind, request.sector, given, room, status, "block request");
            counters.failed_requests += 1;
            fill(chain, mem, 0, room)?;
            status
        }
    };
    chain.write_at(mem, room, &[status])?;
    // Only a chain of 4 GiB, all of it writable, would have more; a header is
    // readable.
    Ok(u32::try_from(room + 1).unwrap_or(u32::MAX))
}

impl Request<'_> {
    fn read(&self, disk: &Disk, counters: &mut Counters) -> Result<(), Failed> {
        let at = disk.place(self.sector, self.room).ok_or(IMPOSSIBLE)?;
        if self.given != 0 {
            return Err(IMPOSSIBLE);
        }
        let mut data = vec![0; PIECE];
        for (offset, length) in pieces(self.room) {
            let piece = &mut data[..length];
            disk.read(at + offset, piece)?;
            self.chain.write_at(self.mem, offset, piece)?;
        }
        counters.read_bytes += self.room;
        Ok(())
    }

    fn write(&self, disk: &Disk, counters: &mut Counters) -> Result<(), Failed> {
        let at = disk.place(self.sector, self.given).ok_or(IMPOSSIBLE)?;
        self.no_room()?;
        let mut data = vec![0; PIECE];
        for (offset, length) in pieces(self.given) {
            let piece = &mut data[..length];
            self.chain.read_at(self.mem, HEADER + offset, piece)?;
            disk.write(at + offset, piece)?;
        }
        counters.written_bytes += self.given;
        self.settle(disk)
    }

    fn flush(&self, disk: &Disk, counters: &mut Counters) -> Result<(), Failed> {
        self.offered(BLK_FLUSH)?;
        self.no_room()?;
        if self.given != 0 {
            return Err(IMPOSSIBLE);
        }
        disk.flush()?;
        counters.flushes += 1;
        Ok(())
    }

    /// The identifier, filled up with zeroes.
    fn id(&self) -> Result<(), Failed> {
        if self.given != 0 || self.room < ID_LENGTH as u64 {
            return Err(IMPOSSIBLE);
        }
        self.chain.write_at(self.mem, 0, ID)?;
        let id = ID.len() as u64;
        Ok(fill(self.chain, self.mem, id, self.room - id)?)
    }

    /// Discards ranges or writes zeroes to them, which here is the same. All of
    /// them are checked before anything is done.
    fn clear(&self, disk: &Disk, feature: u64, flags: u32) -> Result<(), Failed> {
        self.offered(feature)?;
        self.no_room()?;
        let count = self.given / RANGE;
        if self.given % RANGE != 0 || !(1..=u64::from(MAX_RANGES)).contains(&count) {
            return Err(IMPOSSIBLE);
        }
        let mut data = vec![0; self.given as usize];
        self.chain.read_at(self.mem, HEADER, &mut data)?;
        let unknown = |range| u32_at(range, 12) & !flags != 0;
        if data.chunks(RANGE as usize).any(unknown) {
            return Err(UNSUPPORTED);
        }
        let mut ranges = Vec::new();
        for range in data.chunks(RANGE as usize) {
            let sectors = u32_at(range, 8);
            let length = u64::from(sectors) * SECTOR;
            let at = disk.place(u64_at(range, 0), length).ok_or(IMPOSSIBLE)?;
            if sectors > MAX_RANGE_SECTORS {
                return Err(IMPOSSIBLE);
            }
            ranges.push((at, length));
        }
        for (at, length) in ranges {
            disk.zero(at, length)?;
        }
        self.settle(disk)
    }

    fn offered(&self, feature: u64) -> Result<(), Failed> {
        match self.features & feature {
            0 => Err(UNSUPPORTED),
            _ => Ok(()),
        }
    }

    fn no_room(&self) -> Result<(), Failed> {
        match self.room {
            0 => Ok(()),
            _ => Err(IMPOSSIBLE),
        }
    }

    /// A driver that does not know of flushing must find its data settled as soon
    /// as the request is done.
    fn settle(&self, disk: &Disk) -> Result<(), Failed> {
        if self.features & BLK_FLUSH == 0 {
            disk.flush()?;
        }
        Ok(())
    }
}

/// Offsets and lengths of pieces that make up `length` bytes.
fn pieces(length: u64) -> impl Iterator<Item = (u64, usize)> {
    (0..length)
        .step_by(PIECE)
        .map(move |offset| (offset, (length - offset).min(PIECE as u64) as usize))
}

/// Writes zeroes to `length` bytes of the driver's buffer.
fn fill(chain: &Chain, mem: &DmaMemory, from: u64, length: u64) -> Result<(), RingError> {
    let zeroes = vec![0; length.min(PIECE as u64) as usize];
    for (offset, length) in pieces(length) {
        chain.write_at(mem, from + offset, &zeroes[..length])?;
    }
    Ok(())
}
