// SPDX-License-Identifier: GPL-2.0
//! A guest is migrated into a file. When its QEMU has ended, another one reads it
//! from there. Nobody answers the sender, and nothing is there to send to.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Script;
use super::plot::{Plot, Side};
use crate::host::report::{Migration, Outcome};
use crate::host::transfer::Transfer;
use crate::host::verdict::ensure;

const FILE_IS_COMPLETE: &str = "file_holds_memory_and_device";

pub const SCRIPT: Script = Script {
    checks: &[FILE_IS_COMPLETE],
    ..Script::new("file", play)
};

/// The file: in memory, as all of L1's /tmp is.
const PATH: &str = "/tmp/l2-guest.migration";
const HOP: usize = 0;

fn play(plot: &mut Plot) -> Result<()> {
    let way = Transfer {
        uri: format!("file:{PATH}"),
        ..Transfer::live()
    };
    let mut source = plot.boot(Side::A)?;
    plot.set_off(HOP, &mut source)?;
    let start_us = plot.leave(HOP, &mut source, &way)?;
    plot.end_source(HOP, start_us, source)?;

    let size = fs::metadata(Path::new(PATH))
        .with_context(|| format!("looking at {PATH}"))?
        .len();
    if let Some(migration) = &plot.report.hops[HOP].migration {
        let outcome = complete(size, migration);
        plot.report.conclude(FILE_IS_COMPLETE, outcome);
    }

    let mut target = plot.await_guest(Side::B)?;
    way.expect(&mut target.vm)?;
    plot.land(HOP, start_us, &mut target)?;
    plot.settle(HOP, &mut target)?;
    fs::remove_file(PATH).with_context(|| format!("removing {PATH}"))?;
    plot.finish(&mut target)?;
    plot.power_off(target);
    Ok(())
}

/// Whether a file of `size` bytes has all that QEMU says it has sent.
fn complete(size: u64, migration: &Migration) -> Outcome {
    let ram = migration.ram_bytes.unwrap_or(0);
    let device = migration.device_bytes.unwrap_or(0);
    ensure(device > 0 && size >= ram.max(device), || {
        format!("{size} bytes for {ram} bytes of memory and {device} of the device")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_memory_and_device() {
        let migration = |ram, device| Migration {
            ram_bytes: Some(ram),
            device_bytes: Some(device),
            ..Migration::default()
        };
        assert_eq!(complete(1000, &migration(900, 50)), Ok(()));
        assert!(complete(899, &migration(900, 50)).is_err());
        assert!(complete(1000, &migration(900, 0)).is_err());
    }
}
