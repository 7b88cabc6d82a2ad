// SPDX-License-Identifier: GPL-2.0
//! `vfmig migrate`: the state of a function, to another function of this host.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use report::quantity;
use vvp_harness::vfio::Flags;

use super::engine::{Engine, Wishes};
use super::pump::Pump;
use super::recover::{self, Notes};
use super::tracking::Tracking;
use crate::access::Opened;
use crate::cli;
use crate::exit::Exit;
use crate::file;
use crate::output;
use crate::timeline::{Clock, End, Timeline};

/// Runs the command.
pub fn run(arguments: &cli::Migrate, json: bool) -> Result<Exit> {
    if arguments.source == arguments.target {
        bail!("source and target are the same: name two functions");
    }
    let mut source = Opened::open(&arguments.source, arguments.opening)?;
    let target = Opened::open(&arguments.target, arguments.opening)?;
    let flags = source.migration()?;
    let target_flags = target.migration()?;
    let tracking = match arguments.track {
        Some(mebibytes) => Some(Tracking::start(&mut source, mebibytes)?),
        None => None,
    };
    let wishes = Wishes {
        pre_copy: !arguments.no_pre_copy && flags.has(Flags::PRE_COPY),
        rounds: arguments.rounds,
        pause: Duration::from_millis(arguments.pause),
        verify: arguments.verify,
    };
    let access = source.access.to_string();
    let mut timeline = Timeline::new(end(&source), end(&target), access, wishes.pre_copy);
    let migrated = migrate(
        &source,
        &target,
        (flags, target_flags),
        tracking,
        &wishes,
        &mut timeline,
    );
    if let Err(error) = &migrated {
        timeline.failure = Some(output::one_line(error));
    }
    let recorded = match &arguments.record {
        Some(path) => record(path, &timeline),
        None => Ok(()),
    };
    migrated?;
    if json {
        output::json(&timeline)?;
    } else {
        output::text(&text(&timeline))?;
    }
    recorded?;
    Ok(match timeline.verified {
        Some(false) => Exit::No,
        _ => Exit::Ok,
    })
}

fn end(opened: &Opened) -> End {
    End {
        function: opened.function.address().to_string(),
        driver: opened.function.driver(),
    }
}

fn record(path: &std::path::Path, timeline: &Timeline) -> Result<()> {
    let text = serde_json::to_string_pretty(timeline).context("making JSON")?;
    file::write(path, &(text + "\n"))
}

/// Migrates; if that fails, the source runs again.
fn migrate(
    source: &Opened,
    target: &Opened,
    (flags, target_flags): (Flags, Flags),
    tracking: Option<Tracking>,
    wishes: &Wishes,
    timeline: &mut Timeline,
) -> Result<()> {
    let notes = [source, target].map(|opened| Notes::of(&opened.function));
    let pump = Pump::new("migrating")?;
    let clock = Clock::start();
    let mut engine = Engine {
        source,
        target,
        flags,
        target_flags,
        tracking,
        timeline,
        clock,
        pump,
    };
    let done = engine.run(wishes);
    drop(engine);
    timeline.total_us = clock.now();
    done.map_err(|error| {
        let error = error.context(format!("migrating to {}", target.function.address()));
        let error = notes
            .iter()
            .fold(error, |error, notes| notes.explain(error));
        // Two devices must never run with the same state: the target forgets it before the
        // source goes on, unless it has taken over already.
        let target_runs = timeline.stopped_us.is_some();
        let target = recover::target(target);
        let source = if target_runs {
            recover::reset(source)
        } else {
            recover::source(source)
        };
        recover::told(&error, &[source, target])
    })
}

fn text(timeline: &Timeline) -> String {
    let us = |us: u64| quantity(us as f64, "us");
    let mut text = format!(
        "{} -> {} by {}{}: {} bytes in {}, stopped for {}\n",
        timeline.source.function,
        timeline.target.function,
        timeline.access,
        if timeline.pre_copy {
            ""
        } else {
            ", no pre-copy"
        },
        timeline.bytes,
        us(timeline.total_us),
        us(timeline.stopped_us.unwrap_or(0)),
    );
    let heading = ["phase", "device", "begins", "takes"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for phase in &timeline.phases {
        rows.push(vec![
            phase.name.clone(),
            format!("{:?}", phase.side).to_lowercase(),
            us(phase.start_us),
            us(phase.end_us - phase.start_us),
        ]);
    }
    text += &output::table(&rows);
    if !timeline.rounds.is_empty() {
        let heading = ["round", "initial", "dirty", "bytes", "takes", "dirty pages"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        for (number, round) in (1..).zip(&timeline.rounds) {
            rows.push(vec![
                format!("{number}{}", if round.reinit { ", anew" } else { "" }),
                round.initial_bytes.to_string(),
                round.dirty_bytes.to_string(),
                round.bytes.to_string(),
                us(round.end_us - round.start_us),
                round
                    .dirty_pages
                    .map_or_else(|| "-".to_owned(), |pages| pages.to_string()),
            ]);
        }
        text += &output::table(&rows);
    }
    let _ = match timeline.verified {
        None => Ok(()),
        Some(true) => writeln!(text, "verified: the target has the state that was sent"),
        Some(false) => writeln!(
            text,
            "DIFFERENT: the target does not have the state that was sent"
        ),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::testing;

    #[test]
    fn text_of_a_migration() {
        let mut timeline = testing::timeline();
        timeline.verified = Some(true);
        let text = text(&timeline);
        assert!(
            text.starts_with(
                "0000:01:00.1 -> 0000:01:00.2 by cdev: 706 bytes in 95 ms, stopped for 4 ms\n"
            ),
            "{text}"
        );
        assert!(text.contains("STOP_COPY  source  90 ms   1 ms\n"), "{text}");
        assert!(
            text.contains("1      0        578    578    900 µs  64\n"),
            "{text}"
        );
        assert!(text.ends_with("the state that was sent\n"));
    }
}
