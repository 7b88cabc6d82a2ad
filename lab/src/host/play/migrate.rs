// SPDX-License-Identifier: GPL-2.0
//! A migration that is to complete, in the way that its step wants.

use anyhow::Result;

use super::file;
use crate::host::migration::Migration;
use crate::host::outcome::{Outcome, ensure, reached};
use crate::host::plot::{Machine, Plot};
use crate::host::scenario::step::{Migrate, Via};
use crate::host::way::Transfer;

const ACKNOWLEDGED: &str = "switchover_was_acknowledged";
const CHANNELS_USED: &str = "multifd_channels_used";

/// What is wanted of a migration called `hop`, for what it is.
pub fn checks(migrate: &Migrate, hop: &str) -> Vec<String> {
    [
        (migrate.via == Via::File).then_some(file::COMPLETE),
        migrate.switchover_ack.then_some(ACKNOWLEDGED),
        migrate.channels.map(|_| CHANNELS_USED),
    ]
    .into_iter()
    .flatten()
    .map(|check| of(hop, check))
    .collect()
}

/// A check's name, with that of what it is about, if that has one.
pub fn of(name: &str, check: &str) -> String {
    match name {
        "" => check.to_string(),
        name => format!("{name}.{check}"),
    }
}

impl Plot<'_> {
    /// Migrates the guest to the other side, by way of `migrate`.
    pub fn migrate(
        &mut self,
        hop: usize,
        mut source: Machine,
        migrate: &Migrate,
    ) -> Result<Machine> {
        if source.migrated {
            // They were compared where the guest is now.
            self.write_pages(&mut source)?;
        }
        let name = self.report.hops[hop].name.clone();
        if migrate.via == Via::File {
            return self.migrate_via_file(hop, source, &of(&name, file::COMPLETE));
        }
        let way = Transfer {
            channels: migrate.channels,
            switchover_ack: migrate.switchover_ack,
            ..Transfer::live()
        };
        let target = self.hop(hop, source, &way)?;
        if migrate.switchover_ack {
            let outcome = reached(&self.report.hops[hop].acknowledged).and_then(acknowledged);
            self.report.conclude(&of(&name, ACKNOWLEDGED), outcome);
        }
        if migrate.channels.is_some() {
            let outcome = reached(&self.report.hops[hop].migration).and_then(used);
            self.report.conclude(&of(&name, CHANNELS_USED), outcome);
        }
        Ok(target)
    }
}

/// Whether the source was told to go on.
fn acknowledged(by_target: &bool) -> Outcome {
    ensure(*by_target, || {
        "the source was never told that it may stop the guest".to_string()
    })
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
    fn the_word_counts() {
        assert_eq!(acknowledged(&true), Ok(()));
        assert!(acknowledged(&false).is_err());
    }

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
