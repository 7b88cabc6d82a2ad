// SPDX-License-Identifier: GPL-2.0
//! Questions that VMMs ask in a loop.

use std::time::Instant;

use anyhow::{Context, Result};
use vvp_harness::vfio::State;

use crate::clock::micros;
use crate::context::Size;
use crate::link::CHUNK;
use crate::output::Figure;
use crate::pair::{Bench, by_turns};

const SIZE: Size = Size::new(1 << 20, 4096);

/// Questions asked one after the other each time.
const QUESTIONS: u64 = 20;

/// Measures and prints.
pub fn run(bench: &mut Bench, repetitions: usize) -> Result<()> {
    let pairs = bench.pairs()?;
    bench.resize_all(&pairs, SIZE)?;
    let point = SIZE.point(None);
    eprintln!("questions: {SIZE}");
    let figure = |name: &str, unit| Figure::new(name, unit, &point);
    let mut info = [
        figure("GET_PRECOPY_INFO", "us"),
        figure("GET_PRECOPY_INFO", "commands"),
    ];
    let mut data_size = [
        figure("MIG_DATA_SIZE", "us"),
        figure("MIG_DATA_SIZE", "commands"),
    ];
    let mut chunk = vec![1; CHUNK];
    for number in 0..=repetitions {
        for pair in by_turns(&pairs, number) {
            let source = &pair.source.device;
            let mut ask = |figures: &mut [Figure; 2], question: &dyn Fn() -> Result<()>| {
                let before = bench.control.state()?.all_commands();
                let start = Instant::now();
                for _ in 0..QUESTIONS {
                    question()?;
                }
                let took = start.elapsed();
                let commands = bench.control.state()?.all_commands() - before;
                if number > 0 {
                    let [time, count] = figures;
                    time.add(pair.subject, micros(took) / QUESTIONS as f64);
                    count.add(pair.subject, commands as f64 / QUESTIONS as f64);
                }
                anyhow::Ok(())
            };
            ask(&mut data_size, &|| {
                source.data_size().context("MIG_DATA_SIZE").map(drop)
            })?;
            let mut outgoing = source.begin(State::PreCopy)?;
            while outgoing.read_some(&mut chunk)?.is_some() {}
            ask(&mut info, &|| {
                outgoing.precopy().context("GET_PRECOPY_INFO").map(drop)
            })?;
            drop(outgoing);
            pair.settle()?;
        }
    }
    info.into_iter()
        .chain(data_size)
        .try_for_each(Figure::print)
}
