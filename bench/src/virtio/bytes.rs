// SPDX-License-Identifier: GPL-2.0
//! Little-endian fields in byte slices. What lies outside reads as zero, as
//! virtio asks of buffers that are shorter than the structure in them.

/// The bytes at `offset`, zero where `data` ends early.
pub fn array<const N: usize>(data: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    let tail = data.get(offset..).unwrap_or_default();
    let present = tail.len().min(N);
    out[..present].copy_from_slice(&tail[..present]);
    out
}

pub fn u16_at(data: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(array(data, offset))
}

pub fn u32_at(data: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array(data, offset))
}

pub fn u64_at(data: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array(data, offset))
}

/// Copies the part of `image` at `offset` into `data`; zero beyond its end.
pub fn copy_window(image: &[u8], offset: u64, data: &mut [u8]) {
    data.fill(0);
    let Ok(offset) = usize::try_from(offset) else {
        return;
    };
    let tail = image.get(offset..).unwrap_or_default();
    let present = tail.len().min(data.len());
    data[..present].copy_from_slice(&tail[..present]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_input_reads_as_zero() {
        assert_eq!(u32_at(&[1, 2], 0), 0x201);
        assert_eq!(u64_at(&[1], 5), 0);
        let mut out = [0xff; 4];
        copy_window(&[1, 2, 3], 2, &mut out);
        assert_eq!(out, [3, 0, 0, 0]);
        copy_window(&[1], u64::MAX, &mut out);
        assert_eq!(out, [0; 4]);
    }
}
