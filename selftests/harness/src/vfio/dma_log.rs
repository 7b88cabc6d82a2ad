// SPDX-License-Identifier: GPL-2.0
//! DMA logging by the device: VFIO_DEVICE_FEATURE_DMA_LOGGING_START, STOP and
//! REPORT.

use nix::errno::Errno;
use vfio_bindings::bindings::vfio;

use super::device::{Device, FEATURE_HEADER};
use super::dirty::Bitmap;
use super::mapping::Mapping;

const START: u32 = vfio::VFIO_DEVICE_FEATURE_DMA_LOGGING_START;
const STOP: u32 = vfio::VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP;
const REPORT: u32 = vfio::VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;

/// Addresses to log: the first one, and how many.
pub type Range = (u64, u64);

fn payload<const N: usize>(words: [u64; N]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

impl Device {
    /// Are the three features there?
    pub fn has_dma_log(&self) -> Result<bool, Errno> {
        let features = [
            vfio::VFIO_DEVICE_FEATURE_SET | START,
            vfio::VFIO_DEVICE_FEATURE_SET | STOP,
            vfio::VFIO_DEVICE_FEATURE_GET | REPORT,
        ];
        for flags in features {
            match self.probe(flags) {
                Ok(()) => {}
                Err(Errno::ENOTTY) => return Ok(false),
                Err(errno) => return Err(errno),
            }
        }
        Ok(true)
    }

    /// Starts to log writes to `ranges`; returns the page size that the driver chose.
    pub fn start_dma_log(&self, page_size: u64, ranges: &[Range]) -> Result<u64, Errno> {
        let list: Vec<u64> = ranges
            .iter()
            .flat_map(|(iova, length)| [*iova, *length])
            .collect();
        // The kernel reads as many ranges as are announced; `list` has them.
        let mut control = payload([page_size, ranges.len() as u64, list.as_ptr() as u64]);
        let argsz = (FEATURE_HEADER + control.len()) as u32;
        self.feature(vfio::VFIO_DEVICE_FEATURE_SET | START, argsz, &mut control)?;
        let mut size = [0; 8];
        size.copy_from_slice(&control[..8]);
        Ok(u64::from_ne_bytes(size))
    }

    /// Stops to log.
    pub fn stop_dma_log(&self) -> Result<(), Errno> {
        let argsz = FEATURE_HEADER as u32;
        self.feature(vfio::VFIO_DEVICE_FEATURE_SET | STOP, argsz, &mut [])
    }

    /// Takes what was logged of `length` bytes at `iova`.
    pub fn read_dma_log(&self, iova: u64, length: u64, page_size: u64) -> Result<Bitmap, Errno> {
        let mut bitmap = Bitmap::new(iova, length, page_size)?;
        self.add_dma_log(&mut bitmap)?;
        Ok(bitmap)
    }

    /// Adds what was logged since to `bitmap`.
    pub fn add_dma_log(&self, bitmap: &mut Bitmap) -> Result<(), Errno> {
        let (iova, length, page_size) = bitmap.window();
        // The kernel sets one bit a page: the bitmap has that many. No reference
        // to it is used until the call returns.
        self.report_dma_log_at(iova, length, page_size, bitmap.address())
    }

    /// Adds what was logged of `length` bytes at `iova` to a bitmap that others may
    /// see.
    pub fn report_into(
        &self,
        bitmap: &Mapping,
        iova: u64,
        length: u64,
        page_size: u64,
    ) -> Result<(), Errno> {
        let bytes = length.div_ceil(page_size.max(1)).div_ceil(64) * 8;
        if bytes > bitmap.len() as u64 {
            return Err(Errno::ENOSPC);
        }
        // A `Mapping` is accessed by volatile operations only.
        self.report_dma_log_at(iova, length, page_size, bitmap.address())
    }

    /// Has the kernel set the bits of what was logged at `address`, where nothing
    /// of this process must be but memory for them.
    pub(super) fn report_dma_log_at(
        &self,
        iova: u64,
        length: u64,
        page_size: u64,
        address: u64,
    ) -> Result<(), Errno> {
        let mut report = payload([iova, length, page_size, address]);
        let argsz = (FEATURE_HEADER + report.len()) as u32;
        self.feature(vfio::VFIO_DEVICE_FEATURE_GET | REPORT, argsz, &mut report)
    }
}
