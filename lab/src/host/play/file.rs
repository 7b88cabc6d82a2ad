// SPDX-License-Identifier: GPL-2.0
//! A guest is migrated into a file. When its QEMU has ended, another one reads it
//! from there. Nobody answers the sender, and nothing is there to send to.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::host::migration::Migration;
use crate::host::outcome::{Outcome, ensure};
use crate::host::plot::{Machine, Plot};
use crate::host::way::{Route, Transfer};

/// What is wanted of the file.
pub const COMPLETE: &str = "file_holds_memory_and_device";

/// The file: in memory, as all of L1's /tmp is.
const PATH: &str = "/tmp/l2-guest.migration";

impl Plot<'_> {
    /// Migrates the guest to the other side by way of a file, and notes as `check` whether
    /// that has everything.
    pub fn migrate_via_file(
        &mut self,
        hop: usize,
        mut source: Machine,
        check: &str,
    ) -> Result<Machine> {
        let way = Transfer {
            route: Route::File(PATH),
            ..Transfer::live()
        };
        let side = source.side.other();
        self.set_off(hop, &mut source)?;
        let start_us = self
            .leave(hop, &mut source, &way)
            .with_context(|| source.vm.last_words())?;
        self.end_source(hop, start_us, source)?;

        let size = fs::metadata(Path::new(PATH))
            .with_context(|| format!("looking at {PATH}"))?
            .len();
        if let Some(migration) = &self.report.hops[hop].migration {
            let outcome = complete(size, migration);
            self.report.conclude(check, outcome);
        }

        let mut target = self.await_guest(side)?;
        target.vm.expect(&way)?;
        self.land(hop, start_us, &mut target)?;
        self.settle(hop, &mut target)?;
        fs::remove_file(PATH).with_context(|| format!("removing {PATH}"))?;
        Ok(target)
    }
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
