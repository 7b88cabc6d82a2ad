// SPDX-License-Identifier: GPL-2.0
//! Kernel memory of a session, as the memory controller charges it to who caused it.

use anyhow::{Context, Result};
use report::Point;
use vvp_harness::memcg::Group;
use vvp_harness::vfio::State;

use crate::context::Size;
use crate::link::CHUNK;
use crate::output::Figure;
use crate::pair::{Bench, Pair};

const MIB: u64 = 1 << 20;

const SIZES: [Size; 3] = [
    Size::new(MIB, 4096),
    Size::new(16 * MIB, 4096),
    Size::new(64 * MIB, 4096),
];

/// Percent of the parts that change in pre-copy.
const CHANGED: f64 = 10.0;

/// Measures and prints.
pub fn run(bench: &mut Bench, small: bool) -> Result<()> {
    let pairs = bench.pairs()?;
    let group = Group::enter()?;
    for size in SIZES
        .into_iter()
        .filter(|size| !small || size.context <= MIB)
    {
        for changed in [None, Some(CHANGED)] {
            eprintln!("memory: {size}, changed: {changed:?}");
            bench.resize_all(&pairs, size)?;
            let point = size.point(changed);
            let mut figures = ["memory-source", "memory-target"].map(|name| figure(name, &point));
            for pair in &pairs {
                let [source, target] = sides(bench, &group, pair, size, changed)?;
                figures[0].add(pair.subject, source);
                figures[1].add(pair.subject, target);
                pair.settle()?;
            }
            figures.into_iter().try_for_each(Figure::print)?;
        }
    }
    Ok(())
}

fn figure(name: &str, point: &Point) -> Figure {
    Figure::new(name, "KiB", point)
}

/// The most that source and target have, one after the other.
fn sides(
    bench: &mut Bench,
    group: &Group,
    pair: &Pair,
    size: Size,
    changed: Option<f64>,
) -> Result<[f64; 2]> {
    // In memory that is there already, so that all that is charged is the kernel's.
    let mut chunk = vec![1; CHUNK];
    let mut stream = vec![1; 4 * size.context as usize + CHUNK];
    stream.clear();
    let device = &pair.source.device;
    let source = group.peak(|| {
        let mut outgoing = match changed {
            None => device.begin(State::StopCopy)?,
            Some(percent) => {
                let mut outgoing = device.begin(State::PreCopy)?;
                while let Some(count) = outgoing.read_some(&mut chunk)? {
                    stream.extend_from_slice(&chunk[..count]);
                }
                let parts = size.share(percent) as usize;
                bench.control.touch_ballast(&pair.source.name, parts)?;
                device.go(State::StopCopy)?;
                outgoing
            }
        };
        while let Some(count) = outgoing.read_some(&mut chunk)? {
            stream.extend_from_slice(&chunk[..count]);
        }
        Ok(())
    })?;
    device.go(State::Stop)?;
    let device = &pair.target.device;
    let target = group.peak(|| {
        let mut incoming = device.begin(State::Resuming)?;
        for piece in stream.chunks(CHUNK) {
            incoming.write_all(piece).context("loading")?;
        }
        device.go(State::Running)
    })?;
    Ok([source, target].map(|bytes| bytes as f64 / 1024.0))
}
