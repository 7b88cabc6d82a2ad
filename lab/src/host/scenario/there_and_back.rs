// SPDX-License-Identifier: GPL-2.0
//! A guest moves to another function, back to the first, and to the other again.
//! Each function was used before it is loaded anew, by another driver's hand or by
//! this guest's; each arrival is into a fresh QEMU.

use anyhow::Result;

use super::Script;
use super::plot::{Plot, Side};
use crate::host::transfer::Transfer;

pub const SCRIPT: Script = Script {
    hops: &["there", "back", "there_again"],
    ..Script::new("there-and-back", play)
};

fn play(plot: &mut Plot) -> Result<()> {
    let mut machine = plot.boot(Side::A)?;
    for hop in 0..SCRIPT.hops.len() {
        if hop > 0 {
            plot.write_pages(&mut machine)?;
        }
        machine = plot.hop(hop, machine, &Transfer::live())?;
    }
    plot.finish(&mut machine)?;
    plot.power_off(machine);
    Ok(())
}
