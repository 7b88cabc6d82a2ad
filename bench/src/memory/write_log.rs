// SPDX-License-Identifier: GPL-2.0
//! Record of the 4 KiB pages that were written through a view of memory.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use vm_memory::bitmap::{Bitmap, BitmapSlice, NewBitmap, WithBitmapSlice};

const PAGE_SHIFT: u32 = 12;

/// The pages written so far, by address in the view the log belongs to. Clones
/// and slices share one record. A default log records nothing: that is what
/// physical memory carries, where nobody asks.
#[derive(Clone, Debug, Default)]
pub struct WriteLog {
    pages: Option<Arc<Mutex<BTreeSet<u64>>>>,
    base: u64,
}

impl WriteLog {
    /// A log that records.
    pub fn recording() -> Self {
        Self {
            pages: Some(Arc::default()),
            base: 0,
        }
    }

    /// Addresses of the pages written since the last [`WriteLog::clear`].
    pub fn pages(&self) -> Vec<u64> {
        self.lock().map_or_else(Vec::new, |pages| {
            pages.iter().map(|page| page << PAGE_SHIFT).collect()
        })
    }

    /// Forgets what was written.
    pub fn clear(&self) {
        if let Some(mut pages) = self.lock() {
            pages.clear();
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, BTreeSet<u64>>> {
        let pages = self.pages.as_ref()?;
        Some(
            pages
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()),
        )
    }
}

impl WithBitmapSlice<'_> for WriteLog {
    type S = Self;
}

impl BitmapSlice for WriteLog {}

impl Bitmap for WriteLog {
    fn mark_dirty(&self, offset: usize, len: usize) {
        let Some(last) = len.checked_sub(1) else {
            return;
        };
        let first = self.base.wrapping_add(offset as u64);
        let last = first.saturating_add(last as u64);
        if let Some(mut pages) = self.lock() {
            pages.extend(first >> PAGE_SHIFT..=last >> PAGE_SHIFT);
        }
    }

    fn dirty_at(&self, offset: usize) -> bool {
        let page = self.base.wrapping_add(offset as u64) >> PAGE_SHIFT;
        self.lock().is_some_and(|pages| pages.contains(&page))
    }

    fn slice_at(&self, offset: usize) -> Self {
        Self {
            pages: self.pages.clone(),
            base: self.base.wrapping_add(offset as u64),
        }
    }
}

impl NewBitmap for WriteLog {
    fn with_len(_len: usize) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_record_in_the_whole() {
        let log = WriteLog::recording();
        log.slice_at(0x1ff0).slice_at(0x8).mark_dirty(0x7, 2);
        assert_eq!(log.pages(), [0x1000, 0x2000]);
        assert!(log.dirty_at(0x1000) && !log.dirty_at(0x3000));
        log.clear();
        assert!(log.pages().is_empty());
    }

    #[test]
    fn nothing_written_nothing_recorded() {
        let log = WriteLog::recording();
        log.mark_dirty(0x1000, 0);
        assert!(log.pages().is_empty());
        let silent = WriteLog::default();
        silent.mark_dirty(0x1000, 1);
        assert!(silent.pages().is_empty());
    }
}
