// SPDX-License-Identifier: GPL-2.0
//! Switchovers over all sizes of contexts and shares that change.

use anyhow::{Context, Result};
use report::Point;

use crate::clock::micros;
use crate::context::Size;
use crate::link::Transport;
use crate::output::Figure;
use crate::pair::{Bench, Pair, Seal, by_turns};
use crate::switchover::Ready;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Sizes of contexts.
const CONTEXTS: [u64; 7] = [KIB, 16 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB];
/// Sizes of parts.
const PARTS: [u64; 2] = [64, 4096];
/// Percent of the parts that change between pre-copy and stop; `None` without pre-copy.
const CHANGED: [Option<f64>; 5] = [None, Some(0.0), Some(1.0), Some(10.0), Some(100.0)];

/// The two largest sizes.
const LARGE: u64 = 16 * MIB;
const LARGEST: u64 = 64 * MIB;

/// Whether a point is measured. The largest contexts take the bench and an emulated processor
/// so long that not all of them would fit into a run.
fn is_measured(size: Size, changed: Option<f64>, transport: Transport) -> bool {
    let [small_parts, _] = PARTS;
    let few = [None, Some(1.0)].contains(&changed);
    match (size.context, transport) {
        (LARGEST, Transport::Pipe) => few && size.part != small_parts,
        (LARGE, Transport::Pipe) => few || changed == Some(100.0) || size.part != small_parts,
        (MIB | LARGE, Transport::Tcp) => few && size.part != small_parts,
        (_, transport) => transport == Transport::Pipe,
    }
}

/// Whether all of the context is sent after the stop.
fn all_is_sent(changed: Option<f64>) -> bool {
    changed.is_none_or(|percent| percent >= 100.0)
}

/// Largest context with `small`.
const SMALL: u64 = MIB;

/// Measures and prints.
pub fn run(bench: &mut Bench, repetitions: usize, small: bool) -> Result<()> {
    let pairs = bench.pairs()?;
    for part in PARTS {
        for context in CONTEXTS {
            // A single part is as large as its context.
            let part = part.min(context);
            let size = Size { context, part };
            if small && context > SMALL {
                continue;
            }
            bench.resize_all(&pairs, size)?;
            for (changed, transport) in CHANGED
                .into_iter()
                .flat_map(|changed| [(changed, Transport::Pipe), (changed, Transport::Tcp)])
                .filter(|(changed, transport)| is_measured(size, *changed, *transport))
            {
                let what = format!("{size}, changed: {changed:?}, by {}", transport.name());
                eprintln!("switchover: {what}");
                point(bench, &pairs, repetitions, size, changed, transport).context(what)?;
            }
        }
    }
    Ok(())
}

fn point(
    bench: &mut Bench,
    pairs: &[Pair; 2],
    repetitions: usize,
    size: Size,
    changed: Option<f64>,
    transport: Transport,
) -> Result<()> {
    let point = Point {
        transport: Some(transport.name().into()),
        ..size.point(changed)
    };
    let [mut switchover, mut without_checksum] = [Seal::Default, Seal::NoChecksum]
        .map(|seal| Figure::new(seal.figure("switchover"), "us", &point));
    let mut stop = Figure::new("source-stop", "us", &point);
    let mut processor = Figure::new("cpu-time", "us", &point);
    let mut bytes = Figure::new("stop-copy-bytes", "B", &point);
    // The first of each touches memory for the first time.
    for number in 0..=repetitions {
        for pair in by_turns(pairs, number) {
            let touched = changed.map(|percent| size.share(percent));
            let mut go = || {
                let taken = Ready::new(pair, &mut bench.control, touched)?.go(transport)?;
                pair.settle()?;
                anyhow::Ok(taken)
            };
            let taken = if all_is_sent(changed) {
                let [taken, other] = pair.sealed_or_not(go)?;
                if number > 0 {
                    without_checksum.add(pair.subject, micros(other.switchover));
                }
                taken
            } else {
                go()?
            };
            if number > 0 {
                switchover.add(pair.subject, micros(taken.switchover));
                stop.add(pair.subject, micros(taken.stop));
                processor.add(pair.subject, micros(taken.processor));
                bytes.add(pair.subject, taken.bytes as f64);
            }
        }
    }
    switchover.print()?;
    without_checksum.print()?;
    if transport == Transport::Pipe {
        stop.print()?;
        processor.print()?;
        bytes.print()?;
    }
    Ok(())
}
