// SPDX-License-Identifier: GPL-2.0
//! The source does not stop the guest before the target has said that it has all
//! that the device sent first.

use anyhow::Result;

use super::Script;
use super::plot::{Plot, Side};
use crate::host::report::Outcome;
use crate::host::trace;
use crate::host::transfer::Transfer;
use crate::host::verdict::ensure;

const ACKNOWLEDGED: &str = "switchover_was_acknowledged";
/// QEMU's event of the target's word having arrived.
const EVENT: &str = "source_return_path_thread_switchover_acked";

pub const SCRIPT: Script = Script {
    checks: &[ACKNOWLEDGED],
    events: &[EVENT],
    ..Script::new("switchover-ack", play)
};

fn play(plot: &mut Plot) -> Result<()> {
    let way = Transfer {
        capabilities: vec!["return-path", "switchover-ack"],
        ..Transfer::live()
    };
    let source = plot.boot(Side::A)?;
    let log = source.vm.log().to_path_buf();
    let mut target = plot.hop(0, source, &way)?;
    let outcome = acknowledged(&std::fs::read_to_string(log)?);
    plot.report.conclude(ACKNOWLEDGED, outcome);
    plot.finish(&mut target)?;
    plot.power_off(target);
    Ok(())
}

/// Whether the source, by what it logged, was told to go on.
fn acknowledged(log: &str) -> Outcome {
    ensure(trace::has_event(log, EVENT), || {
        "the source was never told that it may stop the guest".to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_counts() {
        let line = format!("12@3.4:{EVENT} switchover_ack_pending_num 0\n");
        assert_eq!(acknowledged(&line), Ok(()));
        for other in [
            "12@3.4:something_else".to_string(),
            format!("trace event '{EVENT}' does not exist"),
        ] {
            assert!(acknowledged(&other).is_err());
        }
    }
}
