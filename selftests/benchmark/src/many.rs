// SPDX-License-Identifier: GPL-2.0
//! Several functions at once, each saved and loaded with its own state.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use report::{Point, Subject};
use vvp_harness::vfio::{Device, State};

use crate::clock::micros;
use crate::context::Size;
use crate::link::CHUNK;
use crate::output::Figure;
use crate::pair::Bench;

/// Numbers of functions.
const FUNCTIONS: [usize; 4] = [1, 2, 4, 7];

/// Measures and prints.
pub fn run(bench: &mut Bench, repetitions: usize, small: bool) -> Result<()> {
    let size = Size {
        context: if small { 64 << 10 } else { 4 << 20 },
        part: 4096,
    };
    let most = bench.functions();
    for count in FUNCTIONS.into_iter().filter(|count| *count <= most) {
        eprintln!("{count} functions at once: {size}");
        let point = Point {
            functions: Some(count as u32),
            ..size.point(None)
        };
        let mut figure = Figure::new("functions-at-once", "us", &point);
        for number in 0..=repetitions {
            let mut subjects = [Subject::Rs, Subject::C];
            if number % 2 == 1 {
                subjects.reverse();
            }
            for subject in subjects {
                let took = together(bench, count, subject, size)?;
                if number > 0 {
                    figure.add(subject, micros(took));
                }
            }
        }
        figure.print()?;
    }
    Ok(())
}

/// From the first request to stop until the last function runs again.
fn together(bench: &mut Bench, count: usize, subject: Subject, size: Size) -> Result<Duration> {
    let mut ends = Vec::new();
    for index in 0..count {
        let end = bench.open(index, subject)?;
        bench.resize(&end.name, size)?;
        end.device.data_size().context("MIG_DATA_SIZE")?;
        ends.push(end);
    }
    let barrier = Barrier::new(count + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = ends
            .iter()
            .map(|end| {
                scope.spawn(|| {
                    let mut memory = Memory::new(size);
                    barrier.wait();
                    there_and_back(&end.device, &mut memory).with_context(|| end.name.clone())
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        Ok(start.elapsed())
    })
}

struct Memory {
    chunk: Vec<u8>,
    stream: Vec<u8>,
}

impl Memory {
    /// Memory that has been touched.
    fn new(size: Size) -> Self {
        let mut stream = vec![1; 2 * size.context as usize + CHUNK];
        stream.clear();
        Self {
            chunk: vec![1; CHUNK],
            stream,
        }
    }
}

fn there_and_back(device: &Device, memory: &mut Memory) -> Result<()> {
    let mut outgoing = device.begin(State::StopCopy)?;
    while let Some(count) = outgoing.read_some(&mut memory.chunk)? {
        memory.stream.extend_from_slice(&memory.chunk[..count]);
    }
    drop(outgoing);
    device.go(State::Stop)?;
    let mut incoming = device.begin(State::Resuming)?;
    incoming.write_all(&memory.stream).context("loading")?;
    device.go(State::Running)
}
