// SPDX-License-Identifier: GPL-2.0
//! Pages of guest memory that only the device writes, and what each must show.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use anyhow::{Context, Result, ensure};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::pattern::{PAGE_SIZE, WORDS, first_difference};

/// What is known about a page's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The device has not been asked to write it.
    Nothing,
    /// The device has confirmed this write.
    Sequence(u32),
    /// The device was asked to write `new` over `old` and was gone before it
    /// could confirm: either is right, a mixture is not.
    Either { old: Option<u32>, new: u32 },
}

impl Expected {
    /// After a write of `new` that was requested but not confirmed.
    pub fn unconfirmed(self, new: u32) -> Self {
        let old = match self {
            Expected::Nothing => None,
            Expected::Sequence(old) => Some(old),
            Expected::Either { old, .. } => old,
        };
        Expected::Either { old, new }
    }

    /// What is wrong with `page`, if anything is.
    pub fn problem(self, page: &[u64]) -> Option<String> {
        let (sequence, alternative) = match self {
            Expected::Nothing => return None,
            Expected::Sequence(sequence) => (sequence, None),
            Expected::Either { old: None, .. } => return None,
            Expected::Either {
                old: Some(old),
                new,
            } => (new, Some(old)),
        };
        let (index, found) = first_difference(page, sequence)?;
        if alternative.is_some_and(|old| first_difference(page, old).is_none()) {
            return None;
        }
        Some(format!(
            "word {index} is of write {}, should be of write {sequence}",
            found >> 32
        ))
    }
}

/// Locked pages at known guest-physical addresses.
pub struct PageSet {
    memory: NonNull<u64>,
    addresses: Vec<u64>,
    expected: Vec<Expected>,
}

// SAFETY: `memory` is a private mapping that belongs to this value alone; no
// thread has an interest of its own in it.
unsafe impl Send for PageSet {}

impl PageSet {
    /// Allocates `count` pages and asks the kernel where they are, which takes the
    /// privilege to see frame numbers.
    pub fn allocate(count: usize) -> Result<Self> {
        Self::located_by(count, physical)
    }

    /// Allocates `count` pages, of which `locate` says where they are in physical memory,
    /// by their virtual addresses.
    fn located_by(count: usize, locate: impl Fn(usize) -> Result<u64>) -> Result<Self> {
        let length = NonZeroUsize::new(count * PAGE_SIZE).context("no pages asked for")?;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice
        // touches nothing that exists.
        let memory = unsafe {
            mmap_anonymous(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE | MapFlags::MAP_LOCKED | MapFlags::MAP_POPULATE,
            )
        }
        .context("allocating locked pages")?;
        let mut pages = Self {
            memory: memory.cast(),
            addresses: Vec::new(),
            expected: vec![Expected::Nothing; count],
        };
        pages.addresses = (0..count)
            .map(|index| locate(pages.memory.as_ptr() as usize + index * PAGE_SIZE))
            .collect::<Result<_>>()?;
        Ok(pages)
    }

    /// How many pages there are.
    pub fn len(&self) -> usize {
        self.expected.len()
    }

    /// Guest-physical address of page `index`, which is what the device is told.
    pub fn address(&self, index: usize) -> u64 {
        self.addresses[index]
    }

    /// What page `index` must show.
    pub fn expected(&mut self, index: usize) -> &mut Expected {
        &mut self.expected[index]
    }

    /// Number of pages that do not show what they must, and the first example.
    pub fn stale(&self) -> (usize, Option<String>) {
        let mut stale = 0;
        let mut example = None;
        for (index, expected) in self.expected.iter().enumerate() {
            if let Some(problem) = expected.problem(&self.read(index)) {
                stale += 1;
                example.get_or_insert_with(|| format!("page {index}: {problem}"));
            }
        }
        (stale, example)
    }

    /// A copy of page `index`.
    fn read(&self, index: usize) -> Vec<u64> {
        assert!(index < self.len());
        (0..WORDS)
            .map(|word| {
                // SAFETY: page `index` and its `WORDS` words are inside the
                // mapping, which lives as long as `self`. Volatile, because the
                // device writes it behind the compiler's back.
                unsafe { self.memory.add(index * WORDS + word).read_volatile() }
            })
            .collect()
    }
}

/// Where the page at a virtual address is in physical memory.
fn physical(address: usize) -> Result<u64> {
    let mut entry = [0; 8];
    File::open("/proc/self/pagemap")
        .and_then(|map| map.read_exact_at(&mut entry, (address / PAGE_SIZE * 8) as u64))
        .context("reading /proc/self/pagemap")?;
    in_entry(u64::from_le_bytes(entry))
}

/// The physical address in an entry of `/proc/self/pagemap`.
fn in_entry(entry: u64) -> Result<u64> {
    const PRESENT: u64 = 1 << 63;
    const FRAME: u64 = (1 << 55) - 1;
    ensure!(
        entry & PRESENT != 0 && entry & FRAME != 0,
        "the kernel does not say where a page is"
    );
    Ok((entry & FRAME) * PAGE_SIZE as u64)
}

#[cfg(test)]
impl PageSet {
    /// Pages that are said to be where they are not, as whoever may not see frame numbers
    /// can have them too.
    pub fn anywhere(count: usize) -> Self {
        Self::located_by(count, |address| Ok(address as u64)).unwrap()
    }
}

impl Drop for PageSet {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `allocate`, and nothing else refers
        // to it. Only a test drops it; in the guest it lives as long as the machine.
        let _ = unsafe { munmap(self.memory.cast(), self.len() * PAGE_SIZE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::word;

    fn page(sequence: u32) -> Vec<u64> {
        (0..WORDS).map(|index| word(sequence, index)).collect()
    }

    #[test]
    fn a_confirmed_write_must_be_there() {
        assert_eq!(Expected::Sequence(5).problem(&page(5)), None);
        let problem = Expected::Sequence(5).problem(&page(4)).unwrap();
        assert_eq!(problem, "word 0 is of write 4, should be of write 5");
        let mut torn = page(5);
        torn[100] = word(4, 100);
        assert!(Expected::Sequence(5).problem(&torn).is_some());
    }

    #[test]
    fn an_unconfirmed_write_may_be_there_whole_or_not_at_all() {
        let either = Expected::Sequence(4).unconfirmed(9);
        assert_eq!(either.problem(&page(4)), None);
        assert_eq!(either.problem(&page(9)), None);
        assert!(either.problem(&page(3)).is_some());
        let mut torn = page(9);
        torn[511] = word(4, 511);
        assert!(either.problem(&torn).is_some());
        assert_eq!(
            either.unconfirmed(10),
            Expected::Either {
                old: Some(4),
                new: 10
            }
        );
    }

    #[test]
    fn allocated_pages_are_zero_and_count() {
        let mut pages = PageSet::anywhere(3);
        assert_eq!(pages.len(), 3);
        assert_eq!(pages.stale(), (0, None));
        *pages.expected(1) = Expected::Sequence(1);
        assert_eq!(pages.stale().0, 1);
        assert_eq!(pages.address(2), pages.address(0) + 2 * PAGE_SIZE as u64);
    }

    #[test]
    fn a_frame_that_is_hidden_or_absent_is_refused() {
        assert_eq!(in_entry(1 << 63 | 0x12).unwrap(), 0x12000);
        assert_eq!(in_entry(1 << 63 | 1 << 55 | 0x12).unwrap(), 0x12000);
        assert!(in_entry(1 << 63).is_err());
        assert!(in_entry(0x12).is_err());
    }
}
