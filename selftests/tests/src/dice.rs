// SPDX-License-Identifier: GPL-2.0
//! Decisions of tests that do anything in any order.

/// A fixed sequence, so that a failure has a chance to come again (xorshift32).
pub struct Dice(pub u32);

impl Dice {
    /// The sequence with this number of all that `seed` begins (splitmix64).
    pub fn of(seed: u64, number: u64) -> Self {
        let mut mixed = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for factor in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(factor);
        }
        // 0 would be followed by nothing else.
        Self((mixed >> 32) as u32 | 1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.roll(times) == 0
    }

    /// One of `choices`, of which there must be some.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.roll(choices.len())]
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % sides
    }
}
