// SPDX-License-Identifier: GPL-2.0
//! Decisions of tests that do anything in any order.

/// A fixed sequence, so that a failure has a chance to come again (xorshift32).
pub struct Dice(pub u32);

impl Dice {
    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % sides
    }
}
