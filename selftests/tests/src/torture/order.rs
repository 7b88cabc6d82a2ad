// SPDX-License-Identifier: GPL-2.0
//! What is decided of a round before it begins.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use vvp_harness::vfio::Access;

/// How a round ends, with the client at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client does what it wants to, and leaves.
    Leave,
    /// It is killed.
    Kill,
    /// A function is unbound meanwhile.
    Unbind,
    /// All functions go.
    Sriov,
    /// The PF loses its driver.
    Pf,
    /// A function is pulled out.
    Remove,
    /// The module is unloaded when the client has been killed.
    Unload,
}

impl Ending {
    const ALL: [Self; 12] = [
        Self::Leave,
        Self::Leave,
        Self::Leave,
        Self::Leave,
        Self::Kill,
        Self::Kill,
        Self::Kill,
        Self::Unbind,
        Self::Sriov,
        Self::Pf,
        Self::Remove,
        Self::Unload,
    ];
}

/// A round.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub seed: u64,
    /// Its number, from 1.
    pub number: u64,
    pub access: Access,
    /// Threads of the client.
    pub threads: u64,
    /// Whether allocations fail. Not where the client is killed: what the kernel allocates
    /// to clean up after it could fail then, which is the kernel's to test.
    pub allocations: bool,
    /// Whether the device has faults.
    pub faults: bool,
    pub ending: Ending,
    /// When the end comes.
    pub length: Duration,
}

/// A sequence of decisions of each round.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    Order,
    Faults,
    Resets,
    /// The client's threads have these and all that follow.
    Client,
}

impl Order {
    pub fn new(seed: u64, number: u64) -> Self {
        let mut random = random(seed, number, Part::Order, 0);
        let ending = one_of(&mut random, &Ending::ALL);
        Self {
            seed,
            number,
            access: one_of(&mut random, &[Access::Cdev, Access::Cdev, Access::Group]),
            threads: one_of(&mut random, &[1, 2, 4]),
            allocations: ending == Ending::Leave && random.usize(..4) != 0,
            faults: random.usize(..3) != 0,
            ending,
            length: Duration::from_millis(1000 + random.usize(..8000) as u64),
        }
    }

    /// The decisions of `part`.
    pub fn random(&self, part: Part, thread: u64) -> Rng {
        random(self.seed, self.number, part, thread)
    }
}

fn random(seed: u64, number: u64, part: Part, thread: u64) -> Rng {
    let begin = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Rng::with_seed(begin.wrapping_add(number * 16 + part as u64 + thread))
}

/// One of `choices`, of which there must be some.
pub fn one_of<T: Copy>(random: &mut Rng, choices: &[T]) -> T {
    choices[random.usize(..choices.len())]
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "round {} of seed {}: {}, {} threads, {}{}{:?} after {} ms",
            self.number,
            self.seed,
            self.access,
            self.threads,
            if self.allocations { "no memory, " } else { "" },
            if self.faults { "device faults, " } else { "" },
            self.ending,
            self.length.as_millis()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_and_number_decide_everything() {
        let text = |seed, number| Order::new(seed, number).to_string();
        assert_eq!(text(1, 7), text(1, 7));
        assert_ne!(text(1, 7), text(2, 7));
    }

    #[test]
    fn every_ending_comes() {
        let endings: Vec<Ending> = (1..200).map(|n| Order::new(3, n).ending).collect();
        for ending in Ending::ALL {
            assert!(endings.contains(&ending), "{ending:?}");
        }
    }
}
