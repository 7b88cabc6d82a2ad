// SPDX-License-Identifier: GPL-2.0
//! A virtual machine whose guest writes to pages that a simple formula chooses, so
//! that it is known which.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use kvm_bindings::{KVM_MEM_LOG_DIRTY_PAGES, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use kvm_ring::{DirtyRing, EXIT_DIRTY_RING_FULL};
use vvp_harness::vfio::{DmaBuffer, Mapping, PAGE};
use vvp_harness::{kmod, skip};

/// Entries of a ring: as few as KVM allows, so that it is often full.
pub const ENTRIES: usize = 256;
/// Entries that KVM keeps for itself, at least.
pub const RESERVED: usize = 64;

/// Slots of memory: the program, and what it writes to.
const CODE_SLOT: u32 = 0;
pub const DATA_SLOT: u32 = 1;
const CODE: u64 = 0x1000;
/// Where the guest's data is, for the guest and for the device.
pub const DATA: u64 = 0x10_0000;
const PAGE_SIZE: u64 = PAGE as u64;

/// Steps of the formula, a linear congruential generator.
const FACTOR: u32 = 1_664_525;
const SUMMAND: u32 = 1_013_904_223;

/// The guest's program: `ecx` times, step `esi`, and increment the first word of the
/// page that its upper bits, masked by `edx`, are the number of, from `ebx` on.
fn program() -> Vec<u8> {
    let mut code = Vec::new();
    code.extend([0x69, 0xf6]); // imul esi, esi, FACTOR
    code.extend(FACTOR.to_le_bytes());
    code.extend([0x81, 0xc6]); // add esi, SUMMAND
    code.extend(SUMMAND.to_le_bytes());
    code.extend([0x89, 0xf0]); // mov eax, esi
    code.extend([0xc1, 0xe8, 12]); // shr eax, 12
    code.extend([0x21, 0xd0]); // and eax, edx
    code.extend([0xc1, 0xe0, 12]); // shl eax, 12
    code.extend([0x01, 0xd8]); // add eax, ebx
    code.extend([0xff, 0x00]); // inc dword [eax]
    code.push(0x49); // dec ecx
    let back = -(code.len() as i8 + 2);
    code.extend([0x75, back as u8]); // jnz to the start
    code.push(0xf4); // hlt
    code
}

/// What the program writes to, among `pages` pages.
pub fn formula(seed: u32, count: u32, pages: u64) -> BTreeSet<u64> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(FACTOR).wrapping_add(SUMMAND);
            u64::from(state >> 12) & (pages - 1)
        })
        .collect()
}

/// Why a vCPU came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The program is through.
    Done,
    /// The ring is nearly full.
    Full,
}

/// A virtual machine with one vCPU. Fields are dropped in order: memory goes last.
pub struct Guest {
    vcpu: VcpuFd,
    vm: Arc<VmFd>,
    pages: u64,
    _code: Mapping,
    _memory: Rc<DmaBuffer>,
}

impl Guest {
    /// A guest whose data is in `memory`, a power of two of pages, and whose vCPU has
    /// a ring, or else a bitmap.
    pub fn new(memory: Rc<DmaBuffer>, entries: Option<usize>) -> Result<Self> {
        let pages = (memory.len() / PAGE) as u64;
        ensure!(pages.is_power_of_two(), "{pages} pages");
        let vm = vm()?;
        if let Some(entries) = entries {
            kvm_ring::enable(&vm, entries)?;
        }
        let code = Mapping::anonymous(PAGE)?;
        code.store(0, &program());
        for (slot, address, memory, flags) in [
            (CODE_SLOT, CODE, &code, 0),
            (DATA_SLOT, DATA, &**memory, KVM_MEM_LOG_DIRTY_PAGES),
        ] {
            let region = kvm_userspace_memory_region {
                slot,
                flags,
                guest_phys_addr: address,
                memory_size: memory.len() as u64,
                userspace_addr: memory.address(),
            };
            // SAFETY: a `Mapping` is accessed by volatile operations on raw pointers only.
            // These exist as long as the vCPU can run, and the kernel notices when they go.
            unsafe { vm.set_user_memory_region(region) }.context("giving the guest memory")?;
        }
        let vcpu = vm.create_vcpu(0).context("creating a vCPU")?;
        enter_flat_mode(&vcpu)?;
        Ok(Self {
            vcpu,
            vm: Arc::new(vm),
            pages,
            _code: code,
            _memory: memory,
        })
    }

    /// The ring of its vCPU.
    pub fn ring(&self, entries: usize) -> Result<DirtyRing> {
        Ok(DirtyRing::new(&self.vcpu, entries)?)
    }

    /// For resetting the ring.
    pub fn vm(&self) -> Arc<VmFd> {
        Arc::clone(&self.vm)
    }

    /// Has it write to the first `pages` pages only, a power of two.
    pub fn confine(&mut self, pages: u64) {
        assert!(pages.is_power_of_two() && pages <= self.pages);
        self.pages = pages;
    }

    /// Sets the program up to write `count` times from `seed` on. Returns the numbers
    /// of the pages.
    pub fn prepare(&self, seed: u32, count: u32) -> Result<BTreeSet<u64>> {
        let mut regs = self.vcpu.get_regs().context("registers")?;
        regs.rip = CODE;
        regs.rflags = 2;
        regs.rsi = seed.into();
        regs.rcx = count.into();
        regs.rbx = DATA;
        regs.rdx = self.pages - 1;
        self.vcpu.set_regs(&regs).context("registers")?;
        Ok(formula(seed, count, self.pages))
    }

    /// How many writes the program has still to do.
    pub fn left(&self) -> Result<u64> {
        Ok(self.vcpu.get_regs().context("registers")?.rcx)
    }

    /// Runs the program until it is through or the ring is nearly full.
    pub fn run(&mut self) -> Result<Stopped> {
        loop {
            match self.vcpu.run() {
                Ok(VcpuExit::Hlt) => return Ok(Stopped::Done),
                Ok(VcpuExit::Unsupported(EXIT_DIRTY_RING_FULL)) => return Ok(Stopped::Full),
                Ok(other) => bail!("the guest left with {other:?}"),
                Err(error) if [nix::libc::EINTR, nix::libc::EAGAIN].contains(&error.errno()) => {}
                Err(error) => return Err(error).context("KVM_RUN"),
            }
        }
    }
}

/// A VM, if this machine can have one.
pub fn vm() -> Result<VmFd> {
    for module in ["kvm", "kvm_amd"] {
        // Of a kernel that has it built in, or for another vendor's processor.
        let _ = kmod::load(module, "");
    }
    match Kvm::new().and_then(|kvm| kvm.create_vm()) {
        Ok(vm) => Ok(vm),
        Err(error) => skip!("no virtual machines here: {error}"),
    }
}

/// Protected mode of 32 bits, flat, without paging.
fn enter_flat_mode(vcpu: &VcpuFd) -> Result<()> {
    let mut sregs = vcpu.get_sregs().context("segment registers")?;
    sregs.cr0 |= 1;
    for segment in [
        &mut sregs.cs,
        &mut sregs.ds,
        &mut sregs.es,
        &mut sregs.ss,
        &mut sregs.fs,
        &mut sregs.gs,
    ] {
        segment.base = 0;
        segment.limit = u32::MAX;
        segment.selector = 16;
        segment.type_ = 3;
        segment.present = 1;
        segment.dpl = 0;
        segment.db = 1;
        segment.s = 1;
        segment.l = 0;
        segment.g = 1;
    }
    sregs.cs.selector = 8;
    sregs.cs.type_ = 11;
    vcpu.set_sregs(&sregs).context("segment registers")
}

/// The address of page `number` of the data.
pub fn address(number: u64) -> u64 {
    DATA + number * PAGE_SIZE
}
