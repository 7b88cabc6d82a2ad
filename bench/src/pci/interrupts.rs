// SPDX-License-Identifier: GPL-2.0
//! Interrupt vectors as vfio-user hands them over: one eventfd each.

use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, MutexGuard};

/// The eventfds of one function's MSI or MSI-X vectors.
#[derive(Debug)]
pub struct Interrupts {
    vectors: Mutex<Vec<Option<File>>>,
}

/// The vectors of a request are not vectors of this function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange;

impl Interrupts {
    /// `count` vectors that nobody listens on.
    pub fn new(count: u16) -> Self {
        Self {
            vectors: Mutex::new((0..count).map(|_| None).collect()),
        }
    }

    /// Changes the number of vectors.
    pub fn set_count(&self, count: u16) {
        self.lock().resize_with(usize::from(count), || None);
    }

    /// Assigns the vectors from `start` on; those that `files` does not reach
    /// lose their listener.
    pub fn assign(&self, start: u32, count: u32, files: Vec<File>) -> Result<(), OutOfRange> {
        let mut vectors = self.lock();
        let range = start as usize..(start as usize).saturating_add(count as usize);
        let slots = vectors.get_mut(range).ok_or(OutOfRange)?;
        let mut files = files.into_iter();
        for slot in slots {
            *slot = files.next();
        }
        Ok(())
    }

    /// Takes all listeners away.
    pub fn clear(&self) {
        self.lock().fill_with(|| None);
    }

    /// Raises `vector`, if anybody listens. Returns whether somebody does.
    pub fn raise(&self, vector: u16) -> bool {
        let vectors = self.lock();
        let Some(Some(file)) = vectors.get(usize::from(vector)) else {
            return false;
        };
        // The only way to fail is a counter at its maximum, which says the same.
        let mut file: &File = file;
        let _ = file.write_all(&1_u64.to_ne_bytes());
        true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<File>>> {
        self.vectors
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
