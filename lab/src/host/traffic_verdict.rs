// SPDX-License-Identifier: GPL-2.0
//! What must be true of traffic.

use super::outcome::{Outcome, ensure, reached};
use super::report::{Traffic, Work};

/// Messages that must have arrived at each end on the target: some seconds' worth.
pub const CONTINUED: u64 = 100;

/// Messages arrived at both ends.
pub fn runs(traffic: &Traffic) -> Outcome {
    intact(traffic)?;
    ensure(
        traffic.guest.stream.received > 0 && traffic.peer.stream.received > 0,
        || "no message arrived before the migration".to_string(),
    )
}

/// Enough messages have arrived after the migration.
pub fn continued(work: &Work) -> Outcome {
    let before = reached(&work.before)?;
    let after = reached(&work.after)?;
    let guest = after
        .guest
        .stream
        .received
        .saturating_sub(before.guest.stream.received);
    let peer = after
        .peer
        .stream
        .received
        .saturating_sub(before.peer.stream.received);
    ensure(guest >= CONTINUED && peer >= CONTINUED, || {
        format!("after the migration {guest} messages reached the guest and {peer} the peer")
    })
}

/// Every message has arrived, and as it was sent.
pub fn intact_at_the_end(work: &Work) -> Outcome {
    whole(reached(&work.end)?)
}

/// All that was sent has arrived, as it was sent.
pub fn whole(end: &Traffic) -> Outcome {
    intact(end)?;
    let (guest, peer) = (&end.guest.stream, &end.peer.stream);
    ensure(
        guest.received == peer.sent && peer.received == guest.sent,
        || {
            format!(
                "messages lost: to the guest {} of {}, to the peer {} of {}",
                peer.sent.saturating_sub(guest.received),
                peer.sent,
                guest.sent.saturating_sub(peer.received),
                guest.sent
            )
        },
    )
}

/// No end has seen anything but what the other sent, in order.
pub fn intact(traffic: &Traffic) -> Outcome {
    for (name, stats) in [("guest", &traffic.guest), ("peer", &traffic.peer)] {
        let stream = &stats.stream;
        if let Some(error) = &stream.error {
            return Err(format!("{name}: the connection broke: {error}").into());
        }
        ensure(stream.out_of_order == 0 && stream.corrupt == 0, || {
            format!(
                "{name}: {} messages out of order, {} corrupt",
                stream.out_of_order, stream.corrupt
            )
        })?;
        ensure(stats.probes.corrupt == 0, || {
            format!("{name}: {} corrupt datagrams", stats.probes.corrupt)
        })?;
    }
    Ok(())
}
