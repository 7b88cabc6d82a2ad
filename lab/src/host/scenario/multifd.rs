// SPDX-License-Identifier: GPL-2.0
//! A migration over several connections.

use anyhow::Result;
use serde_json::json;

use super::Script;
use super::plot::{Plot, Side};
use crate::host::report::{Migration, Outcome};
use crate::host::transfer::Transfer;
use crate::host::verdict::{ensure, reached};

const CHANNELS_USED: &str = "multifd_channels_used";
const CHANNELS: u32 = 4;
const HOP: usize = 0;

pub const SCRIPT: Script = Script {
    checks: &[CHANNELS_USED],
    ..Script::new("multifd", play)
};

fn play(plot: &mut Plot) -> Result<()> {
    let mut way = Transfer::live();
    way.capabilities.push("multifd");
    way.parameters["multifd-channels"] = json!(CHANNELS);
    let source = plot.boot(Side::A)?;
    let mut target = plot.hop(HOP, source, &way)?;
    let outcome = reached(&plot.report.hops[HOP].migration).and_then(used);
    plot.report.conclude(CHANNELS_USED, outcome);
    plot.finish(&mut target)?;
    plot.power_off(target);
    Ok(())
}

/// Whether memory went over the further connections.
fn used(migration: &Migration) -> Outcome {
    ensure(migration.multifd_bytes.unwrap_or(0) > 0, || {
        "no memory went over the further connections".to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count() {
        let migration = |multifd_bytes| Migration {
            multifd_bytes,
            ..Migration::default()
        };
        assert_eq!(used(&migration(Some(1))), Ok(()));
        assert!(used(&migration(Some(0))).is_err());
        assert!(used(&migration(None)).is_err());
    }
}
