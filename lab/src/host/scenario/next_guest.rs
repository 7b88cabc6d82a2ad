// SPDX-License-Identifier: GPL-2.0
//! A guest has moved on, and has ended. Another one boots on the function that it
//! left: nothing there may remind of the first.

use anyhow::Result;

use super::Script;
use super::plot::{Plot, Side};
use crate::host::transfer::Transfer;
use crate::host::verdict::went_on;
use crate::host::{page_verdict, traffic_verdict};

const WORKS: &str = "next_guest_stream_continued";
const STREAM: &str = "next_guest_stream_intact";
const PAGES: &str = "next_guest_device_writes_pages";

pub const SCRIPT: Script = Script {
    checks: &[WORKS, STREAM, PAGES],
    ..Script::new("next-guest", play)
};

fn play(plot: &mut Plot) -> Result<()> {
    let source = plot.boot(Side::A)?;
    let mut target = plot.hop(0, source, &Transfer::live())?;
    plot.finish(&mut target)?;
    plot.power_off(target);

    plot.renew_loads()?;
    let mut next = plot.boot(Side::A)?;
    let work = plot.whole_work(&mut next)?;
    let device = plot.options.device;
    plot.report.conclude(WORKS, went_on(device, &work));
    plot.report
        .conclude(STREAM, traffic_verdict::intact_at_the_end(&work));
    plot.report.conclude(PAGES, page_verdict::written(&work));
    plot.power_off(next);
    Ok(())
}
