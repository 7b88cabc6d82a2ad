// SPDX-License-Identifier: GPL-2.0

//! Sample: a vfio-pci variant driver for QEMU's `edu` device (1234:11e8), made
//! of `rust/vfio/` alone.
//!
//! The device computes factorials and copies memory. Its registers are in BAR 0
//! and are described in QEMU's `docs/specs/edu.rst`.
//!
//! Limitations, all of them the device's: nothing stops it but waiting until it
//! is done; its 4 KiB of internal memory cannot be read through the BAR, and its
//! last DMA command cannot be set without running it, so neither is migrated.
//! Its MSI, if it has an interrupt pending, is sent when the state is loaded.

#[path = "../rust/abi.rs"]
mod abi;
#[path = "../rust/core/mod.rs"]
#[allow(dead_code, unreachable_pub, missing_docs)]
mod logic;
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
    ArcError,
    Bars,
    Buffered, //
};

module! {
    type: EduVfioPci,
    name: "edu_vfio_pci_rs",
    authors: ["The virtio_vfio_pci_rs authors"],
    description: "Sample: VFIO migration of QEMU's edu device, in Rust",
    license: "GPL",
    imports_ns: ["IOMMUFD"],
}

kernel::module_device_table!("pci", vfio::OverrideId, ID_TABLE, @none, [
    vfio::OverrideId::new(0x1234, 0x11e8),
]);

#[pin_data]
struct EduVfioPci {
    #[pin]
    driver: vfio::Registration<Edu>,
}

impl kernel::InPlaceModule for EduVfioPci {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            driver <- vfio::Registration::new(c"edu_vfio_pci_rs", module, &ID_TABLE),
        })
    }
}

/// Registers in BAR 0.
mod reg {
    /// Liveness check: reads as the inverse of what was written.
    pub(super) const LIVENESS: usize = 0x04;
    /// Factorial: of what was written, once it is computed.
    pub(super) const FACTORIAL: usize = 0x08;
    /// Status: [`COMPUTING`], and whether to interrupt when done.
    pub(super) const STATUS: usize = 0x20;
    /// Bit of [`STATUS`], read-only.
    pub(super) const COMPUTING: u32 = 1 << 0;
    /// Pending interrupts, read-only.
    pub(super) const IRQ: usize = 0x24;
    /// Makes interrupts pending.
    pub(super) const IRQ_RAISE: usize = 0x60;
    /// Makes them no longer so.
    pub(super) const IRQ_ACK: usize = 0x64;
    /// What is saved of them.
    pub(super) const WORDS: [usize; 4] = [LIVENESS, FACTORIAL, STATUS, IRQ];
    /// DMA: source, destination, count; 64 bits each, as all of DMA.
    pub(super) const DMA: [usize; 3] = [0x80, 0x88, 0x90];
    /// DMA: command; other bits than [`RUN`] can only be set with it.
    pub(super) const DMA_COMMAND: usize = 0x98;
    /// Bit of [`DMA_COMMAND`]: set to start, clear when done.
    pub(super) const RUN: u64 = 1 << 0;
}

/// How often a busy device is looked at.
const POLL: Delta = Delta::from_millis(1);
/// How long it may be busy: DMA takes it 100 ms, a factorial up to seconds.
const BUSY: Delta = Delta::from_millis(2000);

/// Waits until the device computes nothing.
fn wait_computed(bars: &Bars) -> Result {
    let status = || bars.read32(0, reg::STATUS);
    read_poll_timeout(status, |s| s & reg::COMPUTING == 0, POLL, BUSY).map(drop)
}

/// Waits until the device does no DMA.
fn wait_dma(bars: &Bars) -> Result {
    let command = || bars.read64(0, reg::DMA_COMMAND);
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

/// First bytes of a stream.
const MAGIC: [u8; 4] = *b"EDU1";
/// Bytes of a stream: magic, then the registers of [`State`].
const STREAM_LEN: usize = 4 + 4 * reg::WORDS.len() + 8 * reg::DMA.len();

/// The stream of an idle device.
fn save(bars: &Bars) -> Result<KVec<u8>> {
    let mut stream = KVec::with_capacity(STREAM_LEN, GFP_KERNEL)?;
    stream.extend_from_slice(&MAGIC, GFP_KERNEL)?;
    for register in reg::WORDS {
        let word = bars.read32(0, register)?;
        stream.extend_from_slice(&word.to_le_bytes(), GFP_KERNEL)?;
    }
    for register in reg::DMA {
        let long = bars.read64(0, register)?;
        stream.extend_from_slice(&long.to_le_bytes(), GFP_KERNEL)?;
    }
    Ok(stream)
}

/// The registers of an idle device.
#[derive(Default)]
struct State {
    words: [u32; reg::WORDS.len()],
    dma: [u64; reg::DMA.len()],
}

impl State {
    fn write(&self, bars: &Bars) -> Result {
        let [liveness, factorial, status, irq] = self.words;
        wait_dma(bars)?;
        wait_computed(bars)?;
        bars.write32(0, reg::LIVENESS, !liveness)?;
        // Without the interrupt when it is computed.
        bars.write32(0, reg::STATUS, 0)?;
        let argument = argument_of(factorial).ok_or(EINVAL)?;
        bars.write32(0, reg::FACTORIAL, argument)?;
        wait_computed(bars)?;
        bars.write32(0, reg::STATUS, status)?;
        for (&value, register) in self.dma.iter().zip(reg::DMA) {
            bars.write64(0, register, value)?;
        }
        bars.write32(0, reg::IRQ_ACK, !0)?;
        if irq != 0 {
            bars.write32(0, reg::IRQ_RAISE, irq)?;
        }
        Ok(())
    }

    /// `None` if `bytes` are no stream of an idle device.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&MAGIC)?;
        let mut state = Self::default();
        for word in &mut state.words {
            let (head, tail) = rest.split_first_chunk()?;
            (*word, rest) = (u32::from_le_bytes(*head), tail);
        }
        for long in &mut state.dma {
            let (head, tail) = rest.split_first_chunk()?;
            (*long, rest) = (u64::from_le_bytes(*head), tail);
        }
        let [_, factorial, status, _] = state.words;
        let idle = status & reg::COMPUTING == 0 && argument_of(factorial).is_some();
        (rest.is_empty() && idle).then_some(state)
    }
}

struct Edu;

#[vtable]
impl vfio::Driver for Edu {
    type Migration = Migration;
    type DmaLog = vfio::NoDmaLog;
    type Regions = vfio::NoRegions;

    const NAME: &'static CStr = c"edu-vfio-pci-rs";

    fn probe(_pdev: &pci::Device<Core<'_>>) -> Result<Option<Migration>> {
        Ok(Some(Migration { bars: Bars::new()? }))
    }
}

struct Migration {
    bars: Pin<KBox<Bars>>,
}

impl vfio::Migration for Migration {
    type Save = Buffered;
    type Resume = Loader;

    fn bars(&self) -> Option<&Bars> {
        Some(&self.bars)
    }

    fn opened(&self) {
        // A reset changes none of the registers.
        if let Err(error) = State::default().write(&self.bars) {
            pr_warn!("a former user's registers remain: {:?}\n", error);
        }
    }

    fn reset_done(&self) {}

    fn quiesce(&self) -> Result<(), ArcError> {
        Ok(wait_dma(&self.bars)?)
    }

    fn unquiesce(&self) -> Result<(), ArcError> {
        Ok(())
    }

    fn stop(&self) -> Result<(), ArcError> {
        Ok(wait_computed(&self.bars)?)
    }

    fn start(&self) -> Result<(), ArcError> {
        Ok(())
    }

    fn save(&self) -> Result<Buffered, ArcError> {
        Ok(Buffered::new(save(&self.bars)?))
    }

    fn resume(&self) -> Result<Loader, ArcError> {
        Ok(Loader {
            stream: KVec::new(),
        })
    }

    fn loaded(&self, loader: Loader) -> Result {
        let state = State::decode(&loader.stream).ok_or(EINVAL)?;
        state.write(&self.bars)
    }

    fn data_size(&self, _saving: Option<&mut Buffered>) -> Result<u64> {
        Ok(STREAM_LEN as u64)
    }
}

struct Loader {
    stream: KVec<u8>,
}

impl vfio::ResumeStream for Loader {
    fn write(&mut self, bytes: &[u8]) -> Result {
        // One byte too many makes it none of a device, whatever follows.
        let room = (STREAM_LEN + 1).saturating_sub(self.stream.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.stream.extend_from_slice(taken, GFP_KERNEL)?;
        if self.stream.len() > STREAM_LEN {
            return Err(EINVAL);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ArcError> {
        match State::decode(&self.stream) {
            Some(_) => Ok(()),
            // The rest may still come.
            None if self.stream.len() < STREAM_LEN => Err(ArcError::Unchanged(EINVAL)),
            None => Err(ArcError::Undefined(EINVAL)),
        }
    }
}
