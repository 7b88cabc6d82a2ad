// SPDX-License-Identifier: GPL-2.0
//! What a driver on another processor can see of a ring at work: the two run against
//! each other many times, which cannot prove that an order holds, but finds soon that
//! it does not.

use std::hint::spin_loop;
use std::num::Wrapping;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use vm_memory::{Bytes, GuestAddress};

use super::{QueueConfig, Ring};
use crate::iommu::{DmaMemory, Requester, Route};
use crate::memory::{PhysicalMemory, WriteLog};

const SIZE: u16 = 64;
const DESC: u64 = 0;
const AVAIL: u64 = 0x1000;
const USED: u64 = 0x2000;
const USED_IDX: GuestAddress = GuestAddress(USED + 2);

fn memory() -> PhysicalMemory {
    PhysicalMemory::from_ranges(&[(GuestAddress(0), 0x4000)]).expect("anonymous memory")
}

/// Memory as the device sees it. Nobody logs its writes: a log's lock would order
/// them by itself.
fn view(memory: &PhysicalMemory) -> DmaMemory {
    Requester::new(Route::Identity).view(memory.clone(), WriteLog::default())
}

fn ring() -> Ring {
    let config = QueueConfig {
        size: SIZE,
        vector: 0,
        enabled: true,
        desc: DESC,
        driver: AVAIL,
        device: USED,
    };
    Ring::new(&config, SIZE, true, false, SIZE.into()).expect("a ring")
}

/// Two threads that begin each round at the same time.
#[derive(Default)]
struct Rounds {
    device: AtomicU32,
    driver: AtomicU32,
}

impl Rounds {
    /// Turns of waiting for the other, many more than it takes.
    const PATIENCE: u32 = 1 << 26;

    fn begin(own: &AtomicU32, other: &AtomicU32, round: u32) {
        own.store(round, Ordering::SeqCst);
        let mut spins = 0_u32;
        while other.load(Ordering::SeqCst) < round {
            spin_loop();
            spins += 1;
            assert!(spins < Self::PATIENCE, "the other thread has gone");
            if spins % (1 << 12) == 0 {
                // There may be one processor only.
                thread::yield_now();
            }
        }
    }
}

/// The index says that elements are there, so they have to be.
#[test]
fn elements_are_there_before_the_index() {
    const ROUNDS: u32 = 20_000;
    let (memory, rounds) = (memory(), Rounds::default());
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mem, mut ring) = (view(&memory), ring());
            for round in 1..=ROUNDS {
                let used: Vec<_> = (0..SIZE).map(|head| (head, round)).collect();
                Rounds::begin(&rounds.device, &rounds.driver, round);
                ring.publish(&mem, &used).expect("published");
            }
        });
        let last = GuestAddress(USED + 4 + 8 * u64::from(SIZE - 1));
        for round in 1..=ROUNDS {
            let end = Wrapping(SIZE) * Wrapping(round as u16);
            Rounds::begin(&rounds.driver, &rounds.device, round);
            let index = || {
                memory
                    .load::<u16>(USED_IDX, Ordering::Acquire)
                    .expect("read")
            };
            while Wrapping(index()) != end {
                spin_loop();
            }
            let element: u64 = memory.read_obj(last).expect("read");
            assert_eq!(
                (element >> 32) as u32,
                round,
                "the length of the last element"
            );
        }
    });
}
