// SPDX-License-Identifier: GPL-2.0
//! The report as a person reads it.

use std::fmt::{self, Display, Write};

use super::migration::Migration;
use super::prepare::DeviceType;
use super::report::{DiskFacts, Hop, HostView, Report, Traffic, Work};
use super::verdict::verdicts;
use crate::stats::DiskStats;

/// A short report in plain text.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut text, report);
    text
}

fn write_report(to: &mut String, report: &Report) -> fmt::Result {
    let setting = &report.setting;
    writeln!(
        to,
        "Live migration of a guest that owns a virtio {} VF",
        match setting.device {
            DeviceType::Net => "network",
            DeviceType::Blk => "block",
        }
    )?;
    line(
        to,
        "driver",
        format!("{} on Linux {}", setting.driver, setting.kernel),
    )?;
    line(
        to,
        "machine",
        format!(
            "{}, guest with {} MiB",
            setting.vmm, setting.guest_memory_mib
        ),
    )?;
    if let [hop] = &report.hops[..] {
        line(to, "from, to", format!("{}, {}", hop.source, hop.target))?;
    }
    if let Some(seconds) = report.guest_up_s {
        line(to, "guest up after", format!("{seconds:.1} s"))?;
    }
    for migration in &report.tries {
        write_migration(to, "Migration that was not to complete", migration)?;
    }
    for hop in &report.hops {
        write_hop(to, report, hop)?;
    }
    writeln!(to, "\nRequirements")?;
    let verdicts = verdicts(report);
    for verdict in &verdicts {
        match &verdict.problem {
            None => writeln!(to, "  met      {}", verdict.name)?,
            Some(problem) => writeln!(to, "  NOT MET  {}: {problem}", verdict.name)?,
        }
    }
    for oddity in &report.guest_oddities {
        line(to, "odd", oddity)?;
    }
    writeln!(
        to,
        "\nAll times are those of an emulated machine: QEMU without KVM emulates the host\n\
         under test, which in turn runs the guest. They show the order of events and that\n\
         nothing stalls; they say nothing about real hardware."
    )?;
    let met = verdicts.iter().all(|verdict| verdict.problem.is_none());
    writeln!(to, "Result: {}", if met { "PASSED" } else { "FAILED" })
}

fn write_hop(to: &mut String, report: &Report, hop: &Hop) -> fmt::Result {
    let title = match hop.name.as_str() {
        "" => "Migration".to_string(),
        name => format!("Migration '{name}', {} to {}", hop.source, hop.target),
    };
    if let Some(migration) = &hop.migration {
        write_migration(to, &title, migration)?;
    }
    if let Some(tracker) = hop.dirty_tracker {
        line(
            to,
            "dirty pages",
            format!("reported by: {}", tracker.name()),
        )?;
    }
    for (index, work) in hop.work.iter().enumerate() {
        if hop.work.len() > 1 {
            writeln!(to, "\nThe guest's function {index}")?;
        }
        if let Some(end) = &work.end {
            write_traffic(to, end)?;
        }
        write_disk(to, &work.disk)?;
        write_pages(to, report, work)?;
    }
    Ok(())
}

fn write_migration(to: &mut String, title: &str, migration: &Migration) -> fmt::Result {
    writeln!(to, "\n{title}: {}", migration.status)?;
    if let Some(failure) = &migration.failure {
        line(to, "reason", failure)?;
    }
    for phase in &migration.phases {
        writeln!(to, "  {:9.1} ms  {}  {}", phase.ms, phase.side, phase.what)?;
    }
    let milliseconds = |value: Option<u64>| {
        value.map_or_else(|| "unknown".to_string(), |value| format!("{value} ms"))
    };
    line(to, "total time", milliseconds(migration.total_ms))?;
    line(
        to,
        "downtime",
        format!("{} (QEMU's figure)", milliseconds(migration.downtime_ms)),
    )?;
    if let (Some(sent), Some(total)) = (migration.ram_bytes, migration.ram_total_bytes) {
        let syncs = migration.dirty_syncs.unwrap_or(0);
        line(
            to,
            "memory",
            format!("{sent} bytes sent for {total} bytes; dirty pages collected {syncs} times"),
        )?;
    }
    let device = migration.device_bytes.unwrap_or(0);
    line(to, "device state", format!("{device} bytes"))
}

fn write_traffic(to: &mut String, end: &Traffic) -> fmt::Result {
    writeln!(
        to,
        "\nTraffic between the guest and its peer on the physical function"
    )?;
    let (guest, peer) = (&end.guest.stream, &end.peer.stream);
    line(
        to,
        "TCP stream",
        format!(
            "{} of {} messages reached the guest, {} of {} the peer",
            guest.received, peer.sent, peer.received, guest.sent
        ),
    )?;
    line(
        to,
        "TCP damage",
        format!(
            "{} out of order, {} corrupt, {} connections lost",
            guest.out_of_order + peer.out_of_order,
            guest.corrupt + peer.corrupt,
            usize::from(guest.error.is_some() || peer.error.is_some())
        ),
    )?;
    line(
        to,
        "datagrams lost",
        format!("{} of {}", end.probes_lost(), end.probes_sent()),
    )?;
    let (guest, peer) = (&end.guest, &end.peer);
    line(
        to,
        "longest gap",
        format!(
            "stream: {} ms at the guest, {} ms at the peer",
            guest.stream.longest_gap_ms, peer.stream.longest_gap_ms
        ),
    )?;
    line(
        to,
        "",
        format!(
            "datagrams: {} ms at the guest, {} ms at the peer",
            guest.probes.longest_gap_ms, peer.probes.longest_gap_ms
        ),
    )
}

fn write_disk(to: &mut String, disk: &DiskFacts) -> fmt::Result {
    let Some(end) = &disk.end else {
        return Ok(());
    };
    let rounds = |stats: &Option<DiskStats>| stats.as_ref().map_or(0, |stats| stats.rounds);
    writeln!(to, "\nFile system on the guest's disk")?;
    line(
        to,
        "rounds",
        format!(
            "{} before the migration, {} when first asked on the target, {} in all",
            rounds(&disk.before),
            rounds(&disk.arrived),
            end.rounds
        ),
    )?;
    line(
        to,
        "written",
        format!(
            "{} bytes, {} files replaced, {} blocks read back",
            end.written_bytes, end.replaced, end.reads
        ),
    )?;
    let drained = disk.drained.unwrap_or(0);
    line(
        to,
        "in flight",
        format!("{drained} requests when the source was stopped"),
    )?;
    line(to, "longest round", format!("{} ms", end.longest_round_ms))?;
    line(
        to,
        "in the guest",
        format!("{} of {} blocks wrong", end.wrong, end.compared),
    )?;
    match &disk.on_host {
        Some(HostView {
            problem: None,
            blocks,
            ..
        }) => line(
            to,
            "on the host",
            format!("e2fsck clean, {blocks} blocks read"),
        ),
        Some(HostView {
            problem: Some(problem),
            ..
        }) => line(to, "on the host", problem),
        None => Ok(()),
    }
}

fn write_pages(to: &mut String, report: &Report, work: &Work) -> fmt::Result {
    let Some(pages) = &work.pages else {
        return Ok(());
    };
    writeln!(to, "\nPages that only the device writes")?;
    line(
        to,
        "on arrival",
        format!(
            "{} of {} stale, after {} page writes on the source",
            pages
                .stale
                .map_or_else(|| "unknown".to_string(), |stale| stale.to_string()),
            pages.pages,
            pages.writes
        ),
    )?;
    if report.setting.dirty_bits_off {
        line(
            to,
            "control",
            "the IOMMU was told to lose dirty bits: stale pages must be found",
        )?;
    }
    Ok(())
}

fn line(to: &mut String, name: &str, value: impl Display) -> fmt::Result {
    writeln!(to, "  {name:15} {value}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::PageStats;

    #[test]
    fn an_empty_report_is_a_failure_with_a_reason() {
        let report = Report {
            error: Some("no module".into()),
            ..Report::default()
        };
        let text = render(&report);
        assert!(text.contains("NOT MET  guest_up: not reached: no module"));
        assert!(text.ends_with("Result: FAILED\n"));
    }

    #[test]
    fn figures_and_the_caveat_are_there() {
        let work = Work {
            end: Some(Traffic::default()),
            pages: Some(PageStats {
                pages: 64,
                stale: Some(0),
                ..PageStats::default()
            }),
            ..Work::default()
        };
        let hop = Hop {
            migration: Some(Migration {
                status: "completed".into(),
                downtime_ms: Some(87),
                device_bytes: Some(224),
                ..Migration::default()
            }),
            work: vec![work],
            ..Hop::default()
        };
        let report = Report {
            hops: vec![hop],
            ..Report::default()
        };
        let text = render(&report);
        for part in ["87 ms", "224 bytes", "0 of 64 stale", "emulated machine"] {
            assert!(text.contains(part), "{part}");
        }
    }
}
