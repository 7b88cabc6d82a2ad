// SPDX-License-Identifier: GPL-2.0
//! What the IOMMU remembers until it is told to forget: device table entries
//! and translations. Entries that are not present are never remembered.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::device_table::DeviceTableEntry;
use super::page_table::Page;

/// Translations kept at most; beyond, all are dropped, as hardware may at any time.
const CAPACITY: usize = 1 << 16;

/// A range of IOVAs to invalidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidationRange {
    pub first: u64,
    pub last: u64,
}

impl InvalidationRange {
    /// Decodes address and S bit of an invalidation command.
    pub fn decode(address: u64, sized: bool) -> Self {
        let bits = match sized {
            false => 12,
            true => 13 + (address >> 12).trailing_ones(),
        };
        // All of bits 62:12 set, or more than the encoding has: everything.
        let mask = if bits >= 64 {
            u64::MAX
        } else {
            (1 << bits) - 1
        };
        Self {
            first: address & !mask,
            last: address | mask,
        }
    }
}

/// A remembered device table entry.
#[derive(Clone, Copy, Debug)]
pub struct CachedDevice {
    pub entry: DeviceTableEntry,
    /// A page fault was logged since the entry was fetched.
    pub fault_logged: bool,
}

/// Device table cache and IOTLB.
#[derive(Debug, Default)]
pub struct Cache {
    devices: HashMap<u16, CachedDevice>,
    /// Pages by domain and first IOVA. Those of one domain never overlap.
    pages: HashMap<u16, BTreeMap<u64, Page>>,
    count: usize,
}

impl Cache {
    pub fn device(&mut self, requester: u16) -> Option<&mut CachedDevice> {
        self.devices.get_mut(&requester)
    }

    pub fn insert_device(&mut self, requester: u16, entry: DeviceTableEntry) {
        self.devices.insert(
            requester,
            CachedDevice {
                entry,
                fault_logged: false,
            },
        );
    }

    pub fn forget_device(&mut self, requester: u16) {
        self.devices.remove(&requester);
    }

    /// The page that covers `iova` in `domain`.
    pub fn page(&self, domain: u16, iova: u64) -> Option<Page> {
        let (_, page) = self.pages.get(&domain)?.range(..=iova).next_back()?;
        (iova - page.iova < page.size).then_some(*page)
    }

    pub fn insert_page(&mut self, domain: u16, page: Page) {
        if self.count >= CAPACITY {
            self.pages.clear();
            self.count = 0;
        }
        let last = page.iova + (page.size - 1);
        self.forget_pages(
            domain,
            InvalidationRange {
                first: page.iova,
                last,
            },
        );
        self.pages
            .entry(domain)
            .or_default()
            .insert(page.iova, page);
        self.count += 1;
    }

    /// Drops every page of `domain` that has a byte in `range`.
    pub fn forget_pages(&mut self, domain: u16, range: InvalidationRange) {
        let Some(pages) = self.pages.get_mut(&domain) else {
            return;
        };
        if let Some((&before, page)) = pages.range(..range.first).next_back() {
            if range.first - page.iova < page.size {
                pages.remove(&before);
                self.count -= 1;
            }
        }
        let bounds = (Bound::Included(range.first), Bound::Included(range.last));
        let inside: Vec<u64> = pages.range(bounds).map(|(&iova, _)| iova).collect();
        for iova in &inside {
            pages.remove(iova);
        }
        self.count -= inside.len();
    }

    pub fn forget_all(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 0x1000;

    fn page(iova: u64) -> Page {
        Page {
            iova,
            target: iova,
            size: PAGE,
            read: true,
            write: true,
            dirty: false,
            made_dirty: false,
        }
    }

    /// A full cache, of two domains.
    fn full() -> Cache {
        let mut cache = Cache::default();
        for number in 0..CAPACITY as u64 {
            cache.insert_page((number % 2) as u16, page(number * PAGE));
        }
        cache
    }

    fn found(cache: &Cache) -> usize {
        let pages = 0..=CAPACITY as u64;
        pages
            .filter(|number| cache.page((number % 2) as u16, number * PAGE).is_some())
            .count()
    }

    #[test]
    fn all_pages_are_dropped_when_one_has_no_room() {
        let mut cache = full();
        assert_eq!(found(&cache), CAPACITY);
        let next = CAPACITY as u64;
        cache.insert_page((next % 2) as u16, page(next * PAGE));
        assert_eq!(found(&cache), 1);
        // What is dropped makes room, and is counted as such.
        for number in 0..CAPACITY as u64 - 1 {
            cache.insert_page((number % 2) as u16, page(number * PAGE));
        }
        assert_eq!(found(&cache), CAPACITY);
    }

    #[test]
    fn invalidated_pages_make_room() {
        let mut cache = full();
        let range = InvalidationRange::decode(0, false);
        cache.forget_pages(0, range);
        let next = CAPACITY as u64;
        cache.insert_page((next % 2) as u16, page(next * PAGE));
        assert_eq!(found(&cache), CAPACITY);
    }

    #[test]
    fn device_table_entries_survive_an_eviction() {
        let mut cache = full();
        let entry = DeviceTableEntry::decode([0; 4], 0).expect("V = 0");
        cache.insert_device(5, entry);
        cache.insert_page(0, page(CAPACITY as u64 * PAGE));
        assert!(cache.device(5).is_some());
    }
}
