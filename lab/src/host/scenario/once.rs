// SPDX-License-Identifier: GPL-2.0
//! One live migration.

use anyhow::Result;

use super::Script;
use super::plot::{Plot, Side};
use crate::host::bench;
use crate::host::transfer::Transfer;

pub const SCRIPT: Script = Script::new("once", play);

fn play(plot: &mut Plot) -> Result<()> {
    let source = plot.boot(Side::A)?;
    if plot.options.dirty_bits_off {
        bench::set_dirty_bits(false)?;
    }
    let mut target = plot.hop(0, source, &Transfer::live())?;
    if !plot.options.dirty_bits_off {
        plot.finish(&mut target)?;
    }
    plot.power_off(target);
    Ok(())
}
