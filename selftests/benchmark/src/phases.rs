// SPDX-License-Identifier: GPL-2.0
//! Single transitions, and what saving and loading cost by the byte.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use report::Point;
use vvp_harness::vfio::{Device, State};

use crate::clock::{micros, thread_time};
use crate::context::Size;
use crate::link::CHUNK;
use crate::output::Figure;
use crate::pair::{Bench, Pair, Seal, by_turns};

const MIB: u64 = 1 << 20;

/// Contexts whose transitions are measured.
const TRANSITIONS: [Size; 3] = [
    Size::new(1024, 64),
    Size::new(MIB, 4096),
    Size::new(16 * MIB, 4096),
];

/// Contexts that are saved and loaded.
const STREAMS: [Size; 4] = [
    Size::new(MIB, 64),
    Size::new(MIB, 4096),
    Size::new(16 * MIB, 64),
    Size::new(16 * MIB, 4096),
];

/// Percent of the parts that change where there is pre-copy.
const CHANGED: f64 = 1.0;

fn fits(size: &Size, small: bool) -> bool {
    !small || size.context <= MIB
}

/// Measures and prints.
pub fn run(bench: &mut Bench, repetitions: usize, small: bool) -> Result<()> {
    let pairs = bench.pairs()?;
    for size in TRANSITIONS.into_iter().filter(|size| fits(size, small)) {
        eprintln!("transitions: {size}");
        bench.resize_all(&pairs, size)?;
        transitions(bench, &pairs, repetitions, size).with_context(|| size.to_string())?;
    }
    for size in STREAMS.into_iter().filter(|size| fits(size, small)) {
        eprintln!("saving and loading: {size}");
        bench.resize_all(&pairs, size)?;
        streams(&pairs, repetitions, size, false).with_context(|| size.to_string())?;
    }
    Ok(())
}

/// Measures instructions, where processor time is one.
pub fn instructions(bench: &mut Bench, repetitions: usize, small: bool) -> Result<()> {
    let pairs = bench.pairs()?;
    for size in STREAMS.into_iter().filter(|size| fits(size, small)) {
        eprintln!("instructions: {size}");
        bench.resize_all(&pairs, size)?;
        streams(&pairs, repetitions, size, true).with_context(|| size.to_string())?;
    }
    Ok(())
}

/// Figures of one point, in the order in which they come up first.
struct Figures<'a> {
    point: &'a Point,
    found: Vec<(String, Figure)>,
}

impl Figures<'_> {
    fn figure(&mut self, name: &str) -> &mut Figure {
        let at = match self.found.iter().position(|(found, _)| found == name) {
            Some(at) => at,
            None => {
                let figure = Figure::new(name, "us", self.point);
                self.found.push((name.into(), figure));
                self.found.len() - 1
            }
        };
        &mut self.found[at].1
    }
}

fn transitions(bench: &mut Bench, pairs: &[Pair; 2], repetitions: usize, size: Size) -> Result<()> {
    let point = size.point(None);
    let mut figures = Figures {
        point: &point,
        found: Vec::new(),
    };
    let mut chunk = vec![1; CHUNK];
    for number in 0..=repetitions {
        for pair in by_turns(pairs, number) {
            let (source, target) = (&pair.source.device, &pair.target.device);
            let mut step = |device: &Device, to: State| {
                let from = device.state()?;
                let start = Instant::now();
                let fd = device
                    .set_state(to)
                    .with_context(|| format!("{from} -> {to}"))?;
                let took = micros(start.elapsed());
                if number > 0 {
                    let name = format!("transition {from}->{to}");
                    figures.figure(&name).add(pair.subject, took);
                }
                anyhow::Ok(fd)
            };
            step(target, State::RunningP2p)?;
            step(target, State::Stop)?;
            let mut incoming = step(target, State::Resuming)?.context("no descriptor")?;
            let mut outgoing = step(source, State::PreCopy)?.context("no descriptor")?;
            crate::link::copy(&mut outgoing, &mut incoming, &mut chunk)?;
            let parts = size.share(CHANGED) as usize;
            bench.control.touch_ballast(&pair.source.name, parts)?;
            step(source, State::PreCopyP2p)?;
            step(source, State::StopCopy)?;
            crate::link::copy(&mut outgoing, &mut incoming, &mut chunk)?;
            step(target, State::Stop)?;
            step(target, State::RunningP2p)?;
            step(target, State::Running)?;
            step(source, State::Stop)?;
            let again = step(source, State::StopCopy)?.context("no descriptor")?;
            drop((incoming, outgoing, again));
            pair.settle()?;
        }
    }
    for (_, figure) in figures.found {
        figure.print()?;
    }
    Ok(())
}

/// What it takes to save a source and to load a target, in this order.
type Costs = [Cost; 2];

#[derive(Clone, Copy)]
struct Cost {
    time: Duration,
    processor: Duration,
}

/// Saves stopped sources and loads targets with that, in memory.
fn streams(pairs: &[Pair; 2], repetitions: usize, size: Size, instructions: bool) -> Result<()> {
    let point = size.point(None);
    let figures = |seal: Seal| {
        ["save", "load"].map(|name| {
            let (name, unit) = if instructions {
                (format!("instructions-{name}"), "instructions/MiB")
            } else {
                (name.to_string(), "MiB/s")
            };
            Figure::new(seal.figure(&name), unit, &point)
        })
    };
    let mut all = [Seal::Default, Seal::NoChecksum].map(figures);
    let mut chunk = vec![1; CHUNK];
    for number in 0..=repetitions {
        for pair in by_turns(pairs, number) {
            let measured = pair.sealed_or_not(|| stream(pair, size, &mut chunk))?;
            if number == 0 {
                continue;
            }
            let mib = size.context as f64 / MIB as f64;
            for (figures, costs) in all.iter_mut().zip(measured) {
                for (figure, cost) in figures.iter_mut().zip(costs) {
                    let value = if instructions {
                        // One nanosecond each.
                        cost.processor.as_nanos() as f64 / mib
                    } else {
                        mib / cost.time.as_secs_f64()
                    };
                    figure.add(pair.subject, value);
                }
            }
        }
    }
    all.into_iter().flatten().try_for_each(Figure::print)
}

fn stream(pair: &Pair, size: Size, chunk: &mut [u8]) -> Result<Costs> {
    let (source, target) = (&pair.source.device, &pair.target.device);
    // As a VMM does before.
    source.data_size().context("MIG_DATA_SIZE")?;
    source.go(State::Stop)?;
    let mut stream = Vec::with_capacity(2 * size.context as usize + CHUNK);
    // Touched, so that no page of it is new in what is measured.
    stream.resize(stream.capacity(), 1);
    stream.clear();

    let clock = Clock::start()?;
    let mut outgoing = source.begin(State::StopCopy)?;
    while let Some(count) = outgoing.read_some(chunk)? {
        stream.extend_from_slice(&chunk[..count]);
    }
    let saved = clock.stop()?;

    let clock = Clock::start()?;
    let mut incoming = target.begin(State::Resuming)?;
    for piece in stream.chunks(CHUNK) {
        incoming.write_all(piece).context("loading")?;
    }
    target.go(State::Stop)?;
    let loaded = clock.stop()?;

    drop((incoming, outgoing));
    pair.settle()?;
    Ok([saved, loaded])
}

struct Clock {
    start: Instant,
    processor: Duration,
}

impl Clock {
    fn start() -> Result<Self> {
        Ok(Self {
            start: Instant::now(),
            processor: thread_time()?,
        })
    }

    fn stop(self) -> Result<Cost> {
        Ok(Cost {
            time: self.start.elapsed(),
            processor: thread_time()? - self.processor,
        })
    }
}
