// SPDX-License-Identifier: GPL-2.0

//! Sample: a vfio-pci variant driver for QEMU's `edu` device (1234:11e8), made
//! of `rust/vfio/` alone.
//!
//! The device computes factorials and copies memory, see QEMU's `docs/specs/edu.rst`.
//!
//! A stream is one snapshot of the registers or, with pre-copy, several: one more
//! each time that a register has changed. The last one is that of the stopped device.
//!
//! Limitations, all of them the device's: nothing stops it but waiting until it is
//! done; 4 KiB of internal memory and the last DMA command cannot be migrated; the MSI
//! of a pending interrupt is sent when the state is loaded.

#[path = "../rust/abi.rs"]
mod abi;
#[allow(dead_code, unused_imports, unused_macros)]
#[path = "../rust/compat.rs"]
mod compat;
// Has more than this driver needs.
#[allow(dead_code, unused_imports)]
#[path = "../rust/vfio/mod.rs"]
mod vfio;

use kernel::{
    device::Core,
    io::poll::read_poll_timeout,
    pci,
    prelude::*,
    time::Delta, //
};
use vfio::{
    Buffered,
    Bytes,
    Capabilities,
    OpenDevice,
    PrecopyInfo,
    SaveStream,
    TransitionError, //
};

// The module is this driver and nothing else.
module! {
    type: Module,
    name: "edu_vfio_pci_rs",
    authors: ["The virtio_vfio_pci_rs authors"],
    description: "Sample: VFIO migration of QEMU's edu device, in Rust",
    license: "GPL",
    imports_ns: ["IOMMUFD"],
}

type Module = vfio::Module<Edu>;
compat::device_table!(ID_TABLE, [vfio::OverrideId::new(0x1234, 0x11e8)]);

/// Registers in BAR 0.
mod reg {
    /// Liveness check: reads as the inverse of what was written.
    pub(super) const LIVENESS: usize = 0x04;
    /// Factorial: of what was written, once it is computed.
    pub(super) const FACTORIAL: usize = 0x08;
    /// Status: whether it computes, read-only, and whether to interrupt when done.
    pub(super) const STATUS: usize = 0x20;
    pub(super) const COMPUTING: u32 = 1 << 0;
    /// Pending interrupts, read-only, and what makes them so or no longer so.
    pub(super) const IRQ: usize = 0x24;
    pub(super) const IRQ_RAISE: usize = 0x60;
    pub(super) const IRQ_ACK: usize = 0x64;
    /// What is saved of them.
    pub(super) const WORDS: [usize; 4] = [LIVENESS, FACTORIAL, STATUS, IRQ];
    /// DMA: source, destination, count; 64 bits each, as all of DMA.
    pub(super) const DMA: [usize; 3] = [0x80, 0x88, 0x90];
    /// DMA: command, with a bit that starts it and is clear when it is done.
    pub(super) const DMA_COMMAND: usize = 0x98;
    pub(super) const RUN: u64 = 1 << 0;
}

/// How often a busy device is looked at, and how long: DMA takes 100 ms, a factorial seconds.
const POLL: Delta = Delta::from_millis(1);
const BUSY: Delta = Delta::from_millis(2000);

fn wait_computed(device: &OpenDevice) -> Result {
    let status = || device.read32(0, reg::STATUS);
    read_poll_timeout(status, |s| s & reg::COMPUTING == 0, POLL, BUSY).map(drop)
}

fn wait_dma(device: &OpenDevice) -> Result {
    let command = || device.read64(0, reg::DMA_COMMAND);
    read_poll_timeout(command, |c| c & reg::RUN == 0, POLL, BUSY).map(drop)
}

/// A number whose factorial, as the device computes it, is `result`.
fn argument_of(result: u32) -> Option<u32> {
    // From 34 on, 32 bits of the factorial are zero.
    let mut factorial = 1u32;
    (0..=34).find(|&n| {
        factorial = factorial.wrapping_mul(n.max(1));
        factorial == result
    })
}

/// First bytes of the first snapshot of a stream, and of those that follow.
const FIRST: [u8; 4] = *b"EDU1";
const NEXT: [u8; 4] = *b"EDU+";
/// Bytes of a snapshot: magic, then the registers, little-endian.
const LEN: usize = 4 + 4 * reg::WORDS.len() + 8 * reg::DMA.len();
type Snapshot = [u8; LEN];

/// The registers as they are now, behind `magic`.
fn snapshot(device: &OpenDevice, magic: [u8; 4]) -> Result<Snapshot> {
    let mut snapshot = [0; LEN];
    snapshot[..magic.len()].copy_from_slice(&magic);
    let (words, longs) = snapshot[magic.len()..].split_at_mut(4 * reg::WORDS.len());
    for (bytes, register) in words.chunks_exact_mut(4).zip(reg::WORDS) {
        bytes.copy_from_slice(&device.read32(0, register)?.to_le_bytes());
    }
    for (bytes, register) in longs.chunks_exact_mut(8).zip(reg::DMA) {
        bytes.copy_from_slice(&device.read64(0, register)?.to_le_bytes());
    }
    Ok(snapshot)
}

/// The 32-bit register at position `n` of [`reg::WORDS`].
fn word(snapshot: &Snapshot, n: usize) -> u32 {
    let bytes = snapshot[FIRST.len()..].chunks_exact(4).nth(n);
    u32::from_le_bytes(bytes.and_then(|b| b.try_into().ok()).unwrap_or_default())
}

/// Whether a stopped device can have these registers.
fn is_idle(snapshot: &Snapshot) -> bool {
    (snapshot.starts_with(&FIRST) || snapshot.starts_with(&NEXT))
        && word(snapshot, 2) & reg::COMPUTING == 0
        && argument_of(word(snapshot, 1)).is_some()
}

/// Gives an idle device these registers.
fn load(snapshot: &Snapshot, device: &OpenDevice) -> Result {
    wait_dma(device)?;
    wait_computed(device)?;
    device.write32(0, reg::LIVENESS, !word(snapshot, 0))?;
    // Without the interrupt when it is computed.
    device.write32(0, reg::STATUS, 0)?;
    let argument = argument_of(word(snapshot, 1)).ok_or(EINVAL)?;
    device.write32(0, reg::FACTORIAL, argument)?;
    wait_computed(device)?;
    device.write32(0, reg::STATUS, word(snapshot, 2))?;
    for (n, register) in reg::DMA.into_iter().enumerate() {
        let [low, high] = [0, 1].map(|half| word(snapshot, reg::WORDS.len() + 2 * n + half));
        device.write64(0, register, u64::from(high) << 32 | u64::from(low))?;
    }
    device.write32(0, reg::IRQ_ACK, !0)?;
    device.write32(0, reg::IRQ_RAISE, word(snapshot, 3))
}

struct Edu;

impl vfio::Driver for Edu {
    type Migration = Migration;
    type DmaLog = vfio::NoDmaLog;
    type Regions = vfio::NoRegions;

    const NAME: &'static CStr = c"edu-vfio-pci-rs";
    const IDS: vfio::Ids = &ID_TABLE;

    fn probe(pdev: &pci::Device<Core<'_>>) -> Result<Capabilities<Self>> {
        // `driver_override` may name this driver for any device.
        let migration = (pdev.device_id() == 0x11e8).then_some(Migration);
        Ok(Capabilities {
            migration,
            ..Capabilities::NONE
        })
    }
}

struct Migration;

#[vtable]
impl vfio::Migration for Migration {
    type Save = Saver;
    type Resume = Loader;

    fn opened(&self, device: &OpenDevice) -> Result {
        // A reset changes none of the registers.
        load(&[0; LEN], device)
    }

    fn quiesce(&self, device: &OpenDevice) -> Result<(), TransitionError> {
        Ok(wait_dma(device)?)
    }

    fn stop(&self, device: &OpenDevice) -> Result<(), TransitionError> {
        Ok(wait_computed(device)?)
    }

    fn save(&self, device: &OpenDevice) -> Result<Saver, TransitionError> {
        let mut saver = self.pre_copy(device)?;
        saver.stream.complete();
        Ok(saver)
    }

    fn pre_copy(&self, device: &OpenDevice) -> Result<Saver, TransitionError> {
        let last = snapshot(device, FIRST)?;
        let stream = Buffered::new(Bytes::copy_of(&last)?)?;
        Ok(Saver { last, stream })
    }

    fn pre_copy_done(&self, device: &OpenDevice, saver: &mut Saver) -> Result<(), TransitionError> {
        saver.update(device)?;
        saver.stream.complete();
        Ok(())
    }

    fn resume(&self, _device: &OpenDevice) -> Result<Loader, TransitionError> {
        Ok(Loader::default())
    }

    fn loaded(&self, device: &OpenDevice, loader: &mut Loader) -> Result<(), TransitionError> {
        // The rest may still come.
        let last = loader.last.filter(|_| loader.next.is_empty());
        let last = last.ok_or(TransitionError::Unchanged(EINVAL))?;
        let idle = is_idle(&last).then_some(last).ok_or(EINVAL);
        let loaded = idle.and_then(|idle| load(&idle, device));
        loaded.map_err(TransitionError::Undefined)
    }

    fn data_size(&self, _device: &OpenDevice, _saving: Option<&mut Saver>) -> Result<u64> {
        Ok(LEN as u64)
    }
}

/// The stream out.
struct Saver {
    /// What a target has that has read all.
    last: Snapshot,
    stream: Buffered,
}

impl Saver {
    /// Puts another snapshot on the stream if a register has changed.
    fn update(&mut self, device: &OpenDevice) -> Result {
        let now = snapshot(device, NEXT)?;
        if now[NEXT.len()..] != self.last[NEXT.len()..] {
            self.stream.add(Bytes::copy_of(&now)?)?;
            self.last = now;
        }
        Ok(())
    }
}

impl SaveStream for Saver {
    type Chunk = Bytes;

    fn head(&self) -> Option<Bytes> {
        self.stream.head()
    }

    fn consume(&mut self, count: usize) {
        self.stream.consume(count);
    }

    fn is_complete(&self) -> bool {
        self.stream.is_complete()
    }

    fn precopy_info(&mut self, device: &OpenDevice) -> Result<PrecopyInfo> {
        // As long as something is unread there is no need for more.
        if self.stream.is_drained() && !self.stream.is_complete() {
            self.update(device)?;
        }
        self.stream.precopy_info(device)
    }
}

/// The stream in.
#[derive(Default)]
struct Loader {
    /// The last snapshot that is whole.
    last: Option<Snapshot>,
    next: KVec<u8>,
}

impl vfio::ResumeStream for Loader {
    type Place = KVec<u8>;

    fn place(&mut self, _most: usize) -> Result<KVec<u8>> {
        compat::zeroed(LEN - self.next.len(), GFP_KERNEL_ACCOUNT)
    }

    fn filled(&mut self, _device: &OpenDevice, place: KVec<u8>, count: usize) -> Result {
        let bytes = place.get(..count).ok_or(EINVAL)?;
        self.next.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?;
        if self.last.is_some() && !self.next.iter().zip(&NEXT).all(|(a, b)| a == b) {
            return Err(EINVAL);
        }
        if let Ok(snapshot) = Snapshot::try_from(&self.next[..]) {
            self.last = Some(snapshot);
            self.next.clear();
        }
        Ok(())
    }
}
