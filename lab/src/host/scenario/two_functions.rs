// SPDX-License-Identifier: GPL-2.0
//! A guest with two functions, each with traffic and pages of its own, moves to two
//! others.

use anyhow::Result;

use super::Script;
use super::plot::{Plot, Side};
use crate::host::bench;
use crate::host::report::Outcome;
use crate::host::traffic_verdict::CONTINUED;
use crate::host::transfer::Transfer;
use crate::host::verdict::ensure;

const EACH_ITS_OWN: &str = "each_function_carries_its_traffic";

pub const SCRIPT: Script = Script {
    checks: &[EACH_ITS_OWN],
    functions: 2,
    ..Script::new("two-functions", play)
};

fn play(plot: &mut Plot) -> Result<()> {
    let source = plot.boot(Side::A)?;
    let mut target = plot.hop(0, source, &Transfer::live())?;
    plot.finish(&mut target)?;
    let mut frames = Vec::new();
    for side in [Side::A, Side::B] {
        for vf in plot.vfs(side) {
            let counters = bench::state(vf)?.counters;
            frames.push((counters.tx_frames, counters.rx_frames));
        }
    }
    plot.report.conclude(EACH_ITS_OWN, own_traffic(&frames));
    plot.power_off(target);
    Ok(())
}

/// Whether each function has sent and received what its traffic takes; `frames` are
/// its counts, sent and received.
fn own_traffic(frames: &[(u64, u64)]) -> Outcome {
    let enough = |&(sent, received): &(u64, u64)| sent >= CONTINUED && received >= CONTINUED;
    ensure(frames.iter().all(enough), || {
        format!("frames sent and received: {frames:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_function_is_idle() {
        let busy = (CONTINUED, CONTINUED);
        assert_eq!(own_traffic(&[busy; 4]), Ok(()));
        for idle in [(0, CONTINUED), (CONTINUED, 0)] {
            assert!(own_traffic(&[busy, busy, busy, idle]).is_err());
        }
    }
}
