// SPDX-License-Identifier: GPL-2.0
//! The page: one file that needs no other.

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::style::RGBColor;
use report::quantity;

use super::{bars, gantt};
use crate::timeline::{End, Side, Timeline};

const STYLE: &str = include_str!("page.css");
/// Rounds that are shown without being asked for.
const ROUNDS: usize = 30;

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
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                (summary(timeline))
                h2 { "Phases" }
                (legend())
                (picture(gantt::draw(&timeline.phases, 0, timeline.total_us)?))
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

/// An SVG, which has a scrollbar of its own where the page is narrow.
fn picture(svg: String) -> Markup {
    html! {
        div.wide { (PreEscaped(svg)) }
    }
}

fn legend() -> Markup {
    let of = [
        (Side::Source, "the source's device"),
        (Side::Target, "the target's device"),
        (Side::Both, "data on its way"),
    ];
    html! {
        p.legend {
            @for (side, what) in of {
                @let RGBColor(red, green, blue) = gantt::tint(side);
                span {
                    i style={ "background:rgb(" (red) "," (green) "," (blue) ")" } {}
                    (what)
                }
            }
        }
    }
}

fn summary(timeline: &Timeline) -> Markup {
    let end = |end: &End| {
        let driver = end.driver.as_deref().unwrap_or("no driver");
        format!("{}, {driver}", end.function)
    };
    let access = match timeline.access.as_str() {
        "cdev" => "character device, iommufd",
        "group" => "group, type1 container",
        other => other,
    };
    html! {
        @if let Some(failure) = &timeline.failure {
            p.bad { "Failed: " (failure) }
        }
        @if timeline.verified == Some(false) {
            p.bad { "The target does not have the state that was sent." }
        }
        table.facts {
            (fact("source", &end(&timeline.source)))
            (fact("target", &end(&timeline.target)))
            (fact("opened by", access))
            (fact("total time", &us(timeline.total_us)))
            @if let Some(stopped) = timeline.stopped_us {
                @let compared = match timeline.verified {
                    Some(_) => ", comparison included",
                    None => "",
                };
                (fact("device stopped for", &(us(stopped) + compared)))
            }
            (fact("stream", &bytes(timeline.bytes)))
            (fact("of that, while stopped", &bytes(timeline.stop_copy_bytes)))
            @if timeline.verified == Some(true) {
                (fact("target compared", "has the state that was sent"))
            }
        }
    }
}

fn fact(name: &str, value: &str) -> Markup {
    html! {
        tr { th { (name) } td { (value) } }
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
        (picture(svg))
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
    let counted = !dirty.is_empty();
    let pages = match counted {
        false => None,
        true => Some(bars::draw(&dirty, 5, &count)?),
    };
    let number = timeline.rounds.len();
    Ok(html! {
        h2 { "Bytes of each pre-copy round" }
        (picture(moved))
        @if let Some(pages) = pages {
            h2 { "Dirty pages found after each round" }
            (picture(pages))
        }
        h2 { "Pre-copy rounds" }
        @if number <= ROUNDS {
            (table(timeline, counted))
        } @else {
            details {
                summary { "All " (number) " rounds" }
                (table(timeline, counted))
            }
        }
    })
}

fn count(pages: u64) -> String {
    quantity(pages as f64, "").trim_end().to_owned()
}

fn table(timeline: &Timeline, counted: bool) -> Markup {
    html! {
        p { "Initial and dirty are what the source's driver said was left before the round." }
        div.wide {
            table {
                tr {
                    th { "round" } th { "begins" } th { "takes" }
                    th { "initial" } th { "dirty" } th { "read" }
                    @if counted { th { "dirty pages" } }
                }
                @for (number, round) in (1..).zip(&timeline.rounds) {
                    tr {
                        td { (number) @if round.reinit { ", anew" } }
                        td { (us(round.start_us)) }
                        td { (us(round.end_us.saturating_sub(round.start_us))) }
                        td { (bytes(round.initial_bytes)) }
                        td { (bytes(round.dirty_bytes)) }
                        td { (bytes(round.bytes)) }
                        @if counted {
                            td { @if let Some(pages) = round.dirty_pages { (count(pages)) } }
                        }
                    }
                }
            }
        }
    }
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
    fn many_rounds_are_folded() {
        let mut timeline = testing::timeline();
        assert!(!page(&timeline).unwrap().contains("<details>"));
        timeline.rounds = vec![timeline.rounds[0].clone(); ROUNDS + 1];
        let page = page(&timeline).unwrap();
        assert!(page.contains("<details><summary>All 31 rounds</summary>"));
    }

    #[test]
    fn what_was_not_counted_has_no_column() {
        let mut timeline = testing::timeline();
        assert!(page(&timeline).unwrap().contains("dirty pages"));
        timeline
            .rounds
            .iter_mut()
            .for_each(|round| round.dirty_pages = None);
        assert!(!page(&timeline).unwrap().contains("dirty pages"));
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
