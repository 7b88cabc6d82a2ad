// SPDX-License-Identifier: GPL-2.0
//! Trace events in what QEMU prints: a line each, that begins with the event's name, behind
//! `pid@seconds.microseconds:` if QEMU was told to print that, too.

use anyhow::{Result, ensure};

/// Whether `event` has happened.
pub fn has_event(log: &str, event: &str) -> bool {
    events(log, event).next().is_some()
}

/// What was traced of `event`, time by time.
pub fn events<'a>(log: &'a str, event: &'a str) -> impl Iterator<Item = &'a str> {
    log.lines().filter_map(move |line| {
        let rest = body(line).unwrap_or(line).strip_prefix(event)?;
        (rest.is_empty() || rest.starts_with(' ')).then(|| rest.trim())
    })
}

/// Fails if QEMU has said that it has no such event as one of these.
pub fn ensure_known(log: &str, events: &[&str]) -> Result<()> {
    for event in events {
        let complaint = format!("trace event '{event}' does not exist");
        ensure!(
            !log.contains(&complaint),
            "this QEMU cannot tell what is asked of it: {complaint}"
        );
    }
    Ok(())
}

/// What follows the process and the time, if they are there.
fn body(line: &str) -> Option<&str> {
    let (stamp, body) = line.split_once(':')?;
    let (process, time) = stamp.split_once('@')?;
    let (seconds, fraction) = time.split_once('.')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    [process, seconds, fraction]
        .into_iter()
        .all(number)
        .then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_traced_counts() {
        assert!(has_event("12@3.4:one two=3\r\n", "one"));
        assert!(has_event("12@3.4:one\n", "one"));
        assert!(has_event("one  two=3 (0)\n", "one"));
        for log in [
            "warning: trace event 'one' does not exist",
            "12@3.4:one_more two=3",
            "12@3.4:another one",
            "of one two=3",
            "one: two=3",
            "@3.4:one",
            "x@3.4:one",
        ] {
            assert!(!has_event(log, "one"), "{log}");
        }
        let twice: Vec<_> = events("1@2.3:a b=1\n1@2.4:a b=2\n", "a").collect();
        assert_eq!(twice, ["b=1", "b=2"]);
    }

    #[test]
    fn an_unknown_event_is_an_error() {
        let log = "qemu: warning: trace event 'one' does not exist\n";
        assert!(ensure_known(log, &["two", "one"]).is_err());
        assert!(ensure_known(log, &["two"]).is_ok());
    }
}
