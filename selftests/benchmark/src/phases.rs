// SPDX-License-Identifier: GPL-2.0
//! Single transitions, and what saving and loading cost by the byte.

use std::time::Instant;

use anyhow::{Context, Result};
use harness::vfio::{Device, State};
use report::Point;

use crate::clock::{micros, thread_time};
use crate::context::Size;
use crate::link::CHUNK;
use crate::output::Figure;
use crate::pair::{Bench, Pair, by_turns};

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

/// Saves a stopped source and loads a target with that, in memory.
fn streams(pairs: &[Pair; 2], repetitions: usize, size: Size, instructions: bool) -> Result<()> {
    let point = size.point(None);
    let mut figures = if instructions {
        ["save", "load"]
            .map(|name| Figure::new(format!("instructions-{name}"), "instructions/MiB", &point))
    } else {
        ["save", "load"].map(|name| Figure::new(name, "MiB/s", &point))
    };
    let mut chunk = vec![1; CHUNK];
    for number in 0..=repetitions {
        for pair in by_turns(pairs, number) {
            let (source, target) = (&pair.source.device, &pair.target.device);
            // As a VMM does before.
            source.data_size().context("MIG_DATA_SIZE")?;
            source.go(State::Stop)?;
            let mut stream = Vec::with_capacity(2 * size.context as usize + CHUNK);
            // Touched, so that no page of it is new in what is measured.
            stream.resize(stream.capacity(), 1);
            stream.clear();

            let (start, before) = (Instant::now(), thread_time()?);
            let mut outgoing = source.begin(State::StopCopy)?;
            while let Some(count) = outgoing.read_some(&mut chunk)? {
                stream.extend_from_slice(&chunk[..count]);
            }
            let saved = (start.elapsed(), thread_time()? - before);

            let (start, before) = (Instant::now(), thread_time()?);
            let mut incoming = target.begin(State::Resuming)?;
            for piece in stream.chunks(CHUNK) {
                incoming.write_all(piece).context("loading")?;
            }
            target.go(State::Stop)?;
            let loaded = (start.elapsed(), thread_time()? - before);

            drop((incoming, outgoing));
            pair.settle()?;
            if number == 0 {
                continue;
            }
            let mib = size.context as f64 / MIB as f64;
            for (figure, (time, processor)) in figures.iter_mut().zip([saved, loaded]) {
                let value = if instructions {
                    // One nanosecond each.
                    processor.as_nanos() as f64 / mib
                } else {
                    mib / time.as_secs_f64()
                };
                figure.add(pair.subject, value);
            }
        }
    }
    figures.into_iter().try_for_each(Figure::print)
}
