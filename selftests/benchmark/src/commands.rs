// SPDX-License-Identifier: GPL-2.0
//! Admin commands of a switchover: their number, and what they cost on a device that takes
//! its time for each.

use anyhow::Result;
use report::Point;
use vvp_harness::control::{Action, opcode};
use vvp_harness::vfio::State;

use crate::clock::micros;
use crate::context::Size;
use crate::link::Transport;
use crate::output::Figure;
use crate::pair::{Bench, Pair, by_turns};
use crate::switchover::Ready;

const SIZE: Size = Size::new(1 << 20, 4096);

const CHANGED: [Option<f64>; 4] = [None, Some(0.0), Some(1.0), Some(100.0)];

/// What a slow device takes for a command.
const SLOW_MS: u64 = 5;

/// Measures and prints.
pub fn run(bench: &mut Bench, repetitions: usize) -> Result<()> {
    let pairs = bench.pairs()?;
    bench.resize_all(&pairs, SIZE)?;
    eprintln!("admin commands");
    entering_resuming(bench, &pairs)?;
    for changed in CHANGED {
        let mut figure = Figure::new("switchover-commands", "commands", &SIZE.point(changed));
        for pair in &pairs {
            let touched = changed.map(|percent| SIZE.share(percent));
            let ready = Ready::new(pair, &mut bench.control, touched)?;
            figure.add(
                pair.subject,
                ready.count_commands(&mut bench.control)? as f64,
            );
            pair.settle()?;
        }
        figure.print()?;
    }
    for changed in CHANGED {
        eprintln!("a device that takes {SLOW_MS} ms for a command, changed: {changed:?}");
        slow(bench, &pairs, repetitions, changed)?;
    }
    Ok(())
}

fn entering_resuming(bench: &mut Bench, pairs: &[Pair; 2]) -> Result<()> {
    let mut figure = Figure::new("resuming-commands", "commands", &SIZE.point(None));
    for pair in pairs {
        let before = bench.control.state()?.all_commands();
        let incoming = pair.target.device.begin(State::Resuming)?;
        let commands = bench.control.state()?.all_commands() - before;
        figure.add(pair.subject, commands as f64);
        drop(incoming);
        pair.settle()?;
    }
    figure.print()
}

fn slow(
    bench: &mut Bench,
    pairs: &[Pair; 2],
    repetitions: usize,
    changed: Option<f64>,
) -> Result<()> {
    let point = Point {
        delay_ms: Some(SLOW_MS),
        transport: Some(Transport::Pipe.name().into()),
        ..SIZE.point(changed)
    };
    let mut figure = Figure::new("switchover", "us", &point);
    for number in 0..=repetitions {
        for pair in by_turns(pairs, number) {
            let touched = changed.map(|percent| SIZE.share(percent));
            let ready = Ready::new(pair, &mut bench.control, touched)?;
            for opcode in opcode::MIGRATION {
                bench
                    .control
                    .inject(opcode, 1, u32::MAX, Action::DelayMs(SLOW_MS))?;
            }
            let taken = ready.go(Transport::Pipe)?;
            bench.control.clear_faults()?;
            pair.settle()?;
            if number > 0 {
                figure.add(pair.subject, micros(taken.switchover));
            }
        }
    }
    figure.print()
}
