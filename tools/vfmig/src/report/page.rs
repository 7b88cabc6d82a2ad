// SPDX-License-Identifier: GPL-2.0
//! The page: one file that needs no other.

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use report::quantity;

use super::{bars, gantt};
use crate::timeline::{End, Timeline};

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:960px;margin:2em auto;color:#282828}\
    table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #e1e1e1}\
    td:first-child,th:first-child{text-align:left}.bad{color:#a03000;font-weight:bold}svg{max-width:100%;height:auto}";

/// All of it.
pub fn page(timeline: &Timeline) -> Result<String> {
    let title = format!(
        "Migration of {} to {}",
        timeline.source.function, timeline.target.function
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                (summary(timeline))
                h2 { "Phases" }
                (PreEscaped(gantt::draw(&timeline.phases, 0, timeline.total_us)?))
                (stopped(timeline)?)
                (rounds(timeline)?)
            }
        }
    };
    Ok(page.into_string())
}

fn us(us: u64) -> String {
    quantity(us as f64, "us")
}

fn bytes(bytes: u64) -> String {
    quantity(bytes as f64, "B")
}

fn summary(timeline: &Timeline) -> Markup {
    let driver = |end: &End| end.driver.clone().unwrap_or_default();
    html! {
        @if let Some(failure) = &timeline.failure {
            p.bad { "Failed: " (failure) }
        }
        @if timeline.verified == Some(false) {
            p.bad { "The target has not the state that was sent." }
        }
        table {
            tr { td { "drivers" } td { (driver(&timeline.source)) " to " (driver(&timeline.target)) } }
            tr { td { "opened by" } td { (timeline.access) } }
            tr { td { "total time" } td { (us(timeline.total_us)) } }
            @if let Some(stopped) = timeline.stopped_us {
                tr { td { "device stopped" } td { (us(stopped)) } }
            }
            tr { td { "stream" } td { (bytes(timeline.bytes)) } }
            tr { td { "of that, source stopped" } td { (bytes(timeline.stop_copy_bytes)) } }
            @if timeline.verified == Some(true) {
                tr { td { "target compared" } td { "equal" } }
            }
        }
    }
}

/// The time in which neither ran, larger.
fn stopped(timeline: &Timeline) -> Result<Markup> {
    let begin = timeline
        .phases
        .iter()
        .find(|phase| phase.name == "STOP_COPY")
        .map(|phase| phase.start_us);
    let (Some(begin), Some(stopped)) = (begin, timeline.stopped_us) else {
        return Ok(html! {});
    };
    let svg = gantt::draw(&timeline.phases, begin, begin.saturating_add(stopped))?;
    Ok(html! {
        h2 { "While the device was stopped" }
        (PreEscaped(svg))
    })
}

fn rounds(timeline: &Timeline) -> Result<Markup> {
    if timeline.rounds.is_empty() {
        return Ok(html! {});
    }
    let moved: Vec<u64> = timeline.rounds.iter().map(|round| round.bytes).collect();
    let dirty: Vec<u64> = timeline
        .rounds
        .iter()
        .filter_map(|round| round.dirty_pages)
        .collect();
    let moved = bars::draw(&moved, 1, &bytes)?;
    let pages = match dirty.len() {
        0 => None,
        _ => Some(bars::draw(&dirty, 5, &|pages| pages.to_string())?),
    };
    Ok(html! {
        h2 { "Bytes of each pre-copy round" }
        (PreEscaped(moved))
        @if let Some(pages) = pages {
            h2 { "Dirty pages found after each round" }
            (PreEscaped(pages))
        }
        table {
            tr { th { "round" } th { "begins" } th { "takes" } th { "initial" } th { "dirty" } th { "read" } th { "dirty pages" } }
            @for (number, round) in (1..).zip(&timeline.rounds) {
                tr {
                    td { (number) @if round.reinit { ", anew" } }
                    td { (us(round.start_us)) }
                    td { (us(round.end_us.saturating_sub(round.start_us))) }
                    td { (bytes(round.initial_bytes)) }
                    td { (bytes(round.dirty_bytes)) }
                    td { (bytes(round.bytes)) }
                    td { @if let Some(pages) = round.dirty_pages { (pages) } }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::testing;

    #[test]
    fn one_file_with_everything() {
        let page = page(&testing::timeline()).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>"));
        assert_eq!(page.matches("<svg").count(), 4);
        assert!(page.contains("While the device was stopped"));
        // Nothing is loaded from anywhere.
        for link in ["src=", "href=", "url("] {
            assert!(!page.contains(link), "{link}");
        }
    }

    #[test]
    fn names_from_a_file_are_text() {
        let mut timeline = testing::timeline();
        timeline.source.function = "<script>x</script>".to_owned();
        timeline.phases[0].name = "<script>y</script>".to_owned();
        timeline.failure = Some("<b>".to_owned());
        let page = page(&timeline).unwrap();
        assert!(!page.contains("<script>") && !page.contains("<b>"));
    }
}
