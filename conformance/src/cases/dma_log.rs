// SPDX-License-Identifier: GPL-2.0
//! DMA logging: its ranges, page sizes, and bitmaps that are not what they should be.

use std::thread;

use anyhow::Result;
use nix::errno::Errno;

use crate::device::Device;
use crate::fsm::State;
use crate::lies;
use crate::memory::{Access, Memory, PAGE};
use crate::rules;
use crate::trial::{Case, End, Trial, Verdict};
use crate::{must, skip};

const P: u64 = PAGE as u64;
/// Addresses that are logged, where nothing is mapped unless a case does so.
const BASE: u64 = 0x1_0000_0000;
const LENGTH: u64 = 1 << 20;
/// Ranges that fit into a page.
const IN_A_PAGE: u64 = P / 16;

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("log.start_and_stop", &rules::LOG_ONCE, start_and_stop),
        Case::new("log.second_start", &rules::LOG_ONCE, second_start),
        Case::new(
            "log.stop_without_start",
            &rules::LOG_ONCE,
            stop_without_start,
        ),
        Case::new("log.again_and_again", &rules::LOG_ONCE, again),
        Case::new(
            "log.report_without_start",
            &rules::LOG_REPORT_OFF,
            report_without_start,
        ),
        Case::new(
            "log.report_after_stop",
            &rules::LOG_REPORT_OFF,
            report_after_stop,
        ),
        Case::new(
            "log.page_size_is_chosen",
            &rules::LOG_PAGE_SIZE,
            page_size_is_chosen,
        ),
        Case::new(
            "log.ranges_that_fit_into_a_page",
            &rules::LOG_RANGES,
            many_ranges,
        ),
        Case::new("log.more_ranges", &rules::LOG_RANGES, more_ranges),
        Case::new("log.no_ranges", &rules::LOG_SANE, no_ranges),
        Case::new("log.ranges_overlap", &rules::LOG_SANE, overlapping),
        Case::new("log.ranges_unaligned", &rules::LOG_SANE, unaligned),
        Case::new("log.ranges_wrap", &rules::LOG_SANE, wrapping),
        Case::new("log.ranges_at_the_end", &rules::LOG_RANGES, at_the_end),
        Case::new(
            "log.ranges_in_bad_memory",
            &rules::FEATURE_MEMORY,
            ranges_in_bad_memory,
        ),
        Case::new(
            "log.answer_that_cannot_be_delivered",
            &rules::FEATURE_MEMORY,
            lost_answer,
        ),
        Case::new(
            "log.bits_are_never_cleared",
            &rules::LOG_REPORT,
            never_cleared,
        ),
        Case::new(
            "log.nothing_else_is_written",
            &rules::LOG_REPORT,
            nothing_else,
        ),
        Case::new(
            "log.bitmap_up_to_the_last_byte",
            &rules::LOG_REPORT,
            last_byte,
        ),
        Case::new("log.bitmap_unaligned", &rules::LOG_REPORT, bitmap_unaligned),
        Case::new(
            "log.report_of_other_addresses",
            &rules::LOG_REPORT,
            other_addresses,
        ),
        Case::new("log.report_unaligned", &rules::LOG_REPORT, report_unaligned),
        Case::new(
            "log.report_of_nothing",
            &rules::LOG_REPORT,
            report_of_nothing,
        ),
        Case::new("log.report_wraps", &rules::LOG_SANE, report_wraps),
        Case::new(
            "log.report_at_the_end",
            &rules::LOG_REPORT,
            report_at_the_end,
        ),
        Case::new(
            "log.report_page_sizes",
            &rules::LOG_REPORT_PAGE,
            report_page_sizes,
        ),
        Case::new(
            "log.report_page_size_below_4k",
            &rules::LOG_REPORT_PAGE,
            report_small_pages,
        ),
        Case::new(
            "log.report_page_size_no_power_of_two",
            &rules::LOG_REPORT_PAGE,
            report_odd_pages,
        ),
        Case::new("log.in_each_state", &rules::LOG_INDEPENDENT, in_each_state),
        Case::new("log.after_reset", &rules::LOG_ONCE, after_reset),
        Case::alone(
            "log.closed_while_logging",
            &rules::LOG_REPORT_OFF,
            closed_while_logging,
        ),
        Case::alone("log.mapped_memory", &rules::LOG_REPORT, mapped_memory),
        Case::alone(
            "log.unmapped_and_mapped_anew",
            &rules::LOG_REPORT,
            mapped_anew,
        ),
        Case::new("log.by_two_threads", &rules::LOG_ONCE, two_threads),
    ];
    for (name, place) in [
        ("null", Place::Null),
        ("kernel", Place::Kernel),
        ("inaccessible", Place::Inaccessible),
        ("read_only", Place::ReadOnly),
        ("second_page_read_only", Place::SecondPage(Access::ReadOnly)),
        ("second_page_missing", Place::SecondPage(Access::None)),
    ] {
        cases.push(Case::new(
            format!("log.bitmap_{name}"),
            &rules::LOG_REPORT_LOST,
            move |trial| unwritable(trial, place),
        ));
    }
    cases
}

fn failed(what: &str) -> impl Fn(Errno) -> End + '_ {
    move |errno| End::Error(format!("{what}: {errno:?}"))
}

/// Starts to log the usual addresses.
fn start<'a>(trial: &'a Trial<'_>) -> Result<&'a Device, End> {
    let device = trial.require_log()?;
    device
        .start_log(P, &[(BASE, LENGTH)])
        .map_err(failed("START"))?;
    Ok(device)
}

/// A bitmap for `length` bytes in pages of `page`, with pages around it that nothing may touch.
struct Bitmap {
    memory: Memory,
    bytes: usize,
}

impl Bitmap {
    fn new(length: u64, page: u64) -> Result<Self> {
        let bytes = (length.div_ceil(page).div_ceil(64) * 8) as usize;
        let pages = bytes.div_ceil(PAGE).max(1);
        let memory = Memory::new(pages + 2)?;
        memory.protect(0, 1, Access::None)?;
        memory.protect(pages + 1, 1, Access::None)?;
        Ok(Self { memory, bytes })
    }

    fn address(&self) -> u64 {
        self.memory.address() + P
    }

    fn room(&self) -> usize {
        self.memory.len() - 2 * PAGE
    }

    fn load(&self) -> Vec<u8> {
        lies::bitmap(self.memory.load(PAGE, self.room()))
    }
}

fn report(device: &Device, iova: u64, length: u64, page: u64) -> Result<Result<Vec<u8>, Errno>> {
    let bitmap = Bitmap::new(length, page)?;
    let answer = device.report_log_at(iova, length, page, bitmap.address());
    Ok(answer.map(|()| bitmap.load()[..bitmap.bytes].to_vec()))
}

/// Logging must work, whatever has happened.
fn works(trial: &Trial<'_>, device: &Device) -> Verdict {
    let _ = device.stop_log();
    device
        .start_log(P, &[(BASE, LENGTH)])
        .map_err(failed("START afterwards"))?;
    let answer = report(device, BASE, LENGTH, P)?;
    trial.check(answer.is_ok(), || format!("REPORT afterwards: {answer:?}"));
    device.stop_log().map_err(failed("STOP afterwards"))?;
    Ok(())
}

fn start_and_stop(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    report(device, BASE, LENGTH, P)?.map_err(failed("REPORT"))?;
    device.stop_log().map_err(failed("STOP"))?;
    Ok(())
}

fn second_start(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    let second = device.start_log(P, &[(2 * BASE, LENGTH)]);
    trial.check(second.is_err(), || {
        "a second START succeeds while the first is on".into()
    });
    report(device, BASE, LENGTH, P)?.map_err(failed("REPORT after a second START"))?;
    device.stop_log().map_err(failed("STOP"))?;
    Ok(())
}

fn stop_without_start(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    // That it is an error is not written.
    trial.should(device.stop_log().is_err(), || {
        "STOP succeeds without START".into()
    });
    works(trial, device)
}

fn again(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    for _ in 0..20 {
        works(trial, device)?;
    }
    Ok(())
}

fn report_without_start(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    let answer = report(device, BASE, LENGTH, P)?;
    trial.check(answer.is_err(), || {
        "REPORT succeeds though logging was never started".into()
    });
    Ok(())
}

fn report_after_stop(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    device.stop_log().map_err(failed("STOP"))?;
    let answer = report(device, BASE, LENGTH, P)?;
    trial.check(answer.is_err(), || "REPORT succeeds after STOP".into());
    Ok(())
}

fn page_size_is_chosen(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    for shift in [12, 13, 16, 21, 30] {
        let hint = 1_u64 << shift;
        match device.start_log(hint, &[(hint, hint)]) {
            Ok(chosen) => {
                trial.check(chosen.is_power_of_two(), || {
                    format!("hint {hint:#x} is answered with {chosen:#x}")
                });
                device.stop_log().map_err(failed("STOP"))?;
            }
            Err(errno) => trial.error(format!("START with hint {hint:#x}: {errno:?}")),
        }
    }
    // No page has such a size. The driver may refuse it, but not choose it.
    for hint in [1, 512, 0, 3] {
        if let Ok(chosen) = device.start_log(hint, &[(BASE, LENGTH)]) {
            trial.check(chosen.is_power_of_two(), || {
                format!("hint {hint:#x} is answered with {chosen:#x}")
            });
            device.stop_log().map_err(failed("STOP"))?;
        }
    }
    works(trial, device)
}

fn ranges(count: u64) -> Vec<(u64, u64)> {
    (0..count).map(|index| (BASE + index * 16 * P, P)).collect()
}

fn many_ranges(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    for count in [2, 3, 64, IN_A_PAGE - 1, IN_A_PAGE] {
        let answer = device.start_log(P, &ranges(count));
        trial.check(answer.is_ok(), || {
            format!("START with {count} ranges: {answer:?}")
        });
        if answer.is_ok() {
            let (iova, length) = (BASE, 16 * P * count);
            let bits = report(device, iova, length, P)?;
            trial.check(bits.is_ok(), || {
                format!("REPORT across {count} ranges: {bits:?}")
            });
            device.stop_log().map_err(failed("STOP"))?;
        }
    }
    Ok(())
}

/// May be refused, and must not do harm.
fn more_ranges(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    for count in [IN_A_PAGE + 1, 10 * IN_A_PAGE] {
        if device.start_log(P, &ranges(count)).is_ok() {
            device.stop_log().map_err(failed("STOP"))?;
        }
    }
    for count in [1 << 20, u64::from(u32::MAX)] {
        let answer = device.start_log_at(P, count, ranges(1).as_ptr() as u64);
        trial.check(answer.is_err(), || {
            format!("{count} ranges are taken, of which one is there")
        });
    }
    works(trial, device)
}

fn no_ranges(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    trial.should(device.start_log(P, &[]).is_err(), || {
        "START with no ranges succeeds".into()
    });
    works(trial, device)
}

fn overlapping(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    for list in [
        [(BASE, LENGTH), (BASE, LENGTH)],
        [(BASE, LENGTH), (BASE + P, P)],
        [(BASE + P, P), (BASE, LENGTH)],
        [(BASE, LENGTH), (BASE + LENGTH - P, LENGTH)],
    ] {
        let answer = device.start_log(P, &list);
        trial.should(answer.is_err(), || {
            format!("START with ranges that overlap succeeds: {list:x?}")
        });
        let _ = device.stop_log();
    }
    // Next to each other is not overlapping.
    let answer = device.start_log(P, &[(BASE + LENGTH, LENGTH), (BASE, LENGTH)]);
    trial.check(answer.is_ok(), || {
        format!("START with ranges next to each other: {answer:?}")
    });
    works(trial, device)
}

fn unaligned(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    for (range, page) in [
        ((BASE + 1, P), P),
        ((BASE, P + 1), P),
        ((BASE, P - 1), P),
        ((BASE + P, P), 2 * P),
        ((BASE, P), 1 << 21),
    ] {
        let answer = device.start_log(page, &[range]);
        trial.should(answer.is_err(), || {
            format!("START with {range:x?} in pages of {page:#x} succeeds")
        });
        let _ = device.stop_log();
    }
    works(trial, device)
}

fn wrapping(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    let last = 0_u64.wrapping_sub(P);
    for range in [
        (last, 2 * P),
        (BASE, last),
        (last, last),
        (1 << 63, 1 << 63),
    ] {
        let answer = device.start_log(P, &[range]);
        if range.0.checked_add(range.1 - 1).is_none() {
            trial.check(answer.is_err(), || {
                format!("START with a range that wraps succeeds: {range:x?}")
            });
        }
        let _ = device.stop_log();
    }
    works(trial, device)
}

/// A device need not reach so far; one that says so must report there.
fn at_the_end(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    let last = 0_u64.wrapping_sub(P);
    for range in [
        (last, P),
        (last - P, P),
        (last - LENGTH, LENGTH),
        ((1 << 48) - LENGTH, LENGTH),
        (0, P),
    ] {
        if device.start_log(P, &[range]).is_ok() {
            let answer = report(device, range.0, range.1, P)?;
            trial.check(answer.is_ok(), || {
                format!("{range:x?} is logged, and cannot be reported: {answer:?}")
            });
            device.stop_log().map_err(failed("STOP"))?;
        }
    }
    works(trial, device)
}

fn ranges_in_bad_memory(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    let memory = Memory::new(2)?;
    memory.protect(1, 1, Access::None)?;
    memory.store(PAGE - 16, &[BASE, P].map(u64::to_ne_bytes).concat());
    for (what, count, address) in [
        ("at 0", 1, 0),
        ("in the kernel", 1, 1 << 63),
        ("that cannot be read", 1, memory.address() + P),
        (
            "of which the second cannot be read",
            2,
            memory.address() + P - 16,
        ),
        ("of which half can be read", 1, memory.address() + P - 8),
    ] {
        let answer = device.start_log_at(P, count, address);
        trial.refused(&format!("START with ranges {what}"), answer, Errno::EFAULT);
        let reported = report(device, BASE, P, P)?;
        trial.check(reported.is_err(), || {
            format!("after START with ranges {what} failed, REPORT succeeds")
        });
    }
    works(trial, device)
}

/// The page size that was chosen cannot be returned: then nothing may have been started.
fn lost_answer(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    let memory = Memory::new(1)?;
    let list = [BASE, LENGTH];
    let header = [
        32,
        crate::uapi::FEATURE_SET | crate::uapi::DMA_LOGGING_START,
    ]
    .map(u32::to_ne_bytes)
    .concat();
    memory.store(0, &header);
    memory.store(
        8,
        &[P, 1, list.as_ptr() as u64].map(u64::to_ne_bytes).concat(),
    );
    memory.protect(0, 1, Access::ReadOnly)?;
    trial.refused(
        "START in memory that is read-only",
        device.feature_in(&memory, 0),
        Errno::EFAULT,
    );
    let second = device.start_log(P, &[(BASE, LENGTH)]);
    trial.check(second.is_ok(), || {
        format!("START after one that failed: {second:?}")
    });
    works(trial, device)
}

fn never_cleared(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    for pattern in [0xff, 0xaa, 0x01] {
        let bitmap = Bitmap::new(LENGTH, P)?;
        bitmap.memory.store(PAGE, &vec![pattern; bitmap.room()]);
        device
            .report_log_at(BASE, LENGTH, P, bitmap.address())
            .map_err(failed("REPORT"))?;
        let lost = bitmap
            .load()
            .iter()
            .filter(|byte| **byte & pattern != pattern)
            .count();
        trial.check(lost == 0, || {
            format!("bits that were set are cleared in {lost} bytes")
        });
    }
    Ok(())
}

fn nothing_else(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    for pages in [1, 7, 63, 64, 65, 200] {
        let length = pages * P;
        let bitmap = Bitmap::new(length, P)?;
        device
            .report_log_at(BASE, length, P, bitmap.address())
            .map_err(failed("REPORT"))?;
        let bits = bitmap.load();
        let beyond = (pages as usize..8 * bits.len())
            .filter(|bit| bits[bit / 8] & 1 << (bit % 8) != 0)
            .count();
        trial.check(beyond == 0, || {
            format!("of {pages} pages {beyond} bits beyond are set")
        });
    }
    Ok(())
}

/// A bitmap that ends where memory ends.
fn last_byte(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    for pages in [1, 64, 65, 129] {
        let length = pages * P;
        let bitmap = Bitmap::new(length, P)?;
        let start = bitmap.address() + (bitmap.room() - bitmap.bytes) as u64;
        let answer = device.report_log_at(BASE, length, P, start);
        trial.check(answer.is_ok(), || {
            format!("of {pages} pages, at the end of memory: {answer:?}")
        });
    }
    Ok(())
}

/// No array of u64 is there. Whatever the answer is, nothing around it may be touched.
fn bitmap_unaligned(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    for offset in [1, 4, 7] {
        let bitmap = Bitmap::new(LENGTH, P)?;
        let answer = device.report_log_at(BASE, LENGTH, P, bitmap.address() + offset);
        let bits = bitmap.load();
        let (offset, bytes) = (offset as usize, bitmap.bytes);
        let outside = bits[..offset]
            .iter()
            .chain(&bits[offset + bytes..])
            .filter(|byte| **byte != 0)
            .count();
        trial.check(outside == 0, || {
            format!("at offset {offset} ({answer:?}) {outside} bytes around are written")
        });
    }
    works(trial, device)
}

fn other_addresses(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    for (iova, length) in [
        (0, P),
        (BASE - LENGTH, 3 * LENGTH),
        (BASE + LENGTH, P),
        (2 * BASE, LENGTH),
    ] {
        // Neither answer is written; that the log survives is taken for granted.
        let _ = report(device, iova, length, P)?;
    }
    report(device, BASE, LENGTH, P)?.map_err(failed("REPORT of what is logged, afterwards"))?;
    Ok(())
}

fn report_unaligned(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    for (iova, length) in [(BASE + 1, P), (BASE, P + 1), (BASE, 1), (BASE + 512, 100)] {
        let bitmap = Bitmap::new(length + P, P)?;
        let answer = device.report_log_at(iova, length, P, bitmap.address());
        let outside = bitmap.load()[8..].iter().filter(|byte| **byte != 0).count();
        trial.check(outside == 0, || {
            format!("{length:#x} bytes at {iova:#x} ({answer:?}): {outside} bytes too many")
        });
    }
    works(trial, device)
}

fn report_of_nothing(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    let bitmap = Bitmap::new(P, P)?;
    let answer = device.report_log_at(BASE, 0, P, bitmap.address());
    let set = bitmap.load().iter().filter(|byte| **byte != 0).count();
    trial.check(set == 0, || {
        format!("a report of no bytes ({answer:?}) sets bits")
    });
    works(trial, device)
}

fn report_wraps(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    let bitmap = Bitmap::new(LENGTH, P)?;
    let last = 0_u64.wrapping_sub(P);
    for (iova, length) in [(last, 2 * P), (last - P, LENGTH), (BASE, last)] {
        let answer = device.report_log_at(iova, length, P, bitmap.address());
        trial.check(answer.is_err(), || {
            format!("REPORT of {length:#x} bytes at {iova:#x} succeeds")
        });
    }
    works(trial, device)
}

/// Addresses as high as there are. They are not logged, so that either answer will do.
fn report_at_the_end(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    let last = 0_u64.wrapping_sub(P);
    for (iova, length) in [(last - P, P), (last, P), (last - LENGTH, LENGTH)] {
        let bitmap = Bitmap::new(length, P)?;
        let _ = device.report_log_at(iova, length, P, bitmap.address());
        let beyond = bitmap.load()[bitmap.bytes..]
            .iter()
            .filter(|byte| **byte != 0)
            .count();
        trial.check(beyond == 0, || {
            format!("REPORT at {iova:#x} writes {beyond} bytes beyond its bitmap")
        });
    }
    works(trial, device)
}

fn report_page_sizes(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    for shift in 12..=30 {
        let page = 1_u64 << shift;
        let length = LENGTH.max(page);
        let answer = report(device, BASE, length, page)?;
        trial.check(answer.is_ok(), || {
            format!("REPORT in pages of {page:#x}: {answer:?}")
        });
    }
    Ok(())
}

/// "Any power of two value", it says.
fn report_small_pages(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    for shift in [0, 3, 9, 11] {
        let page = 1_u64 << shift;
        let answer = report(device, BASE, P, page)?;
        trial.should(answer.is_ok(), || {
            "pages of less than 4 KiB are refused".into()
        });
    }
    works(trial, device)
}

fn report_odd_pages(trial: &Trial<'_>) -> Verdict {
    let device = start(trial)?;
    for page in [0, 3, P + 1, 3 * P, u64::MAX] {
        let bitmap = Bitmap::new(LENGTH, P)?;
        let answer = device.report_log_at(BASE, P, page, bitmap.address());
        trial.refused(
            &format!("REPORT in pages of {page:#x}"),
            answer,
            Errno::EINVAL,
        );
    }
    works(trial, device)
}

fn in_each_state(trial: &Trial<'_>) -> Verdict {
    let flags = trial.flags()?;
    let device = start(trial)?;
    for state in [
        State::RunningP2p,
        State::PreCopy,
        State::StopCopy,
        State::Stop,
        State::Running,
    ] {
        if !state.exists(flags) {
            continue;
        }
        let _data = device
            .set(state)
            .map_err(failed("changing the state while logging"))?;
        let answer = report(device, BASE, LENGTH, P)?;
        trial.check(answer.is_ok(), || format!("REPORT in {state}: {answer:?}"));
        device.stop_log().map_err(failed("STOP"))?;
        device
            .start_log(P, &[(BASE, LENGTH)])
            .map_err(failed("START"))?;
    }
    Ok(())
}

/// What a reset makes of logging is not written; that it can be used again is taken for granted.
fn after_reset(trial: &Trial<'_>) -> Verdict {
    trial.require_log()?;
    trial.require_reset()?;
    let device = start(trial)?;
    device
        .reset()
        .map_err(failed("VFIO_DEVICE_RESET while logging"))?;
    let _ = report(device, BASE, LENGTH, P)?;
    works(trial, device)
}

fn closed_while_logging(trial: &Trial<'_>) -> Verdict {
    let device = trial.open()?;
    if device.probe(crate::uapi::DMA_LOGGING_START).is_err() {
        skip!("the device has no DMA logging");
    }
    device
        .start_log(P, &[(BASE, LENGTH)])
        .map_err(failed("START"))?;
    drop(device);
    let device = trial.open()?;
    let answer = report(&device, BASE, LENGTH, P)?;
    trial.check(answer.is_err(), || {
        "REPORT succeeds for who has not started logging: the last user had".into()
    });
    works(trial, &device)
}

fn mapped_memory(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    let memory = Memory::new((LENGTH / P) as usize)?;
    device
        .space()
        .map(&memory, BASE)
        .map_err(failed("mapping"))?;
    device
        .start_log(P, &[(BASE, LENGTH)])
        .map_err(failed("START"))?;
    for _ in 0..3 {
        let answer = report(device, BASE, LENGTH, P)?;
        trial.check(answer.is_ok(), || {
            format!("REPORT of mapped memory: {answer:?}")
        });
    }
    device.stop_log().map_err(failed("STOP"))?;
    device
        .space()
        .unmap(BASE, LENGTH)
        .map_err(failed("unmapping"))?;
    Ok(())
}

fn mapped_anew(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    let memory = Memory::new((LENGTH / P) as usize)?;
    let space = device.space();
    space.map(&memory, BASE).map_err(failed("mapping"))?;
    device
        .start_log(P, &[(BASE, LENGTH)])
        .map_err(failed("START"))?;
    for round in 0..5 {
        space
            .unmap(BASE, LENGTH)
            .map_err(failed("unmapping while logging"))?;
        let answer = report(device, BASE, LENGTH, P)?;
        trial.check(answer.is_ok(), || {
            format!("round {round}: REPORT of what is not mapped: {answer:?}")
        });
        // Another size, so that page tables change their shape.
        let other = Memory::new(if round % 2 == 0 {
            1
        } else {
            (LENGTH / P) as usize
        })?;
        space.map(&other, BASE).map_err(failed("mapping anew"))?;
        let answer = report(device, BASE, LENGTH, P)?;
        trial.check(answer.is_ok(), || {
            format!("round {round}: REPORT of what is mapped anew: {answer:?}")
        });
        space
            .unmap(BASE, other.len() as u64)
            .map_err(failed("unmapping"))?;
        space.map(&memory, BASE).map_err(failed("mapping"))?;
    }
    device.stop_log().map_err(failed("STOP"))?;
    space.unmap(BASE, LENGTH).map_err(failed("unmapping"))?;
    Ok(())
}

fn two_threads(trial: &Trial<'_>) -> Verdict {
    let device = trial.require_log()?;
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                let _ = device.start_log(P, &[(BASE, LENGTH)]);
                let _ = device.stop_log();
            }
        });
        scope.spawn(|| {
            for _ in 0..100 {
                // Which of the answers there are is open.
                let _ = report(device, BASE, LENGTH, P);
            }
        });
    });
    works(trial, device)
}

/// Where a bitmap should not be.
#[derive(Clone, Copy, Debug)]
enum Place {
    Null,
    Kernel,
    Inaccessible,
    ReadOnly,
    SecondPage(Access),
}

/// Whether there was anything to report cannot be known: without, a success loses nothing.
fn unwritable(trial: &Trial<'_>, place: Place) -> Verdict {
    // So that the bitmap has two pages.
    let length = 2 * 8 * P * P;
    let device = trial.require_log()?;
    device
        .start_log(P, &[(BASE, length)])
        .map_err(failed("START"))?;
    let memory = Memory::new(2)?;
    let address = match place {
        Place::Null => 0,
        Place::Kernel => 1 << 63,
        Place::Inaccessible => {
            memory.protect(0, 2, Access::None)?;
            memory.address()
        }
        Place::ReadOnly => {
            memory.protect(0, 2, Access::ReadOnly)?;
            memory.address()
        }
        Place::SecondPage(access) => {
            memory.protect(1, 1, access)?;
            memory.address()
        }
    };
    let answer = device.report_log_at(BASE, length, P, address);
    trial.should(answer.is_err(), || {
        "a report succeeds, to memory that cannot be written: bits that there were are lost".into()
    });
    must!(
        device.stop_log().is_ok(),
        "STOP after a report that could not be written"
    );
    works(trial, device).context_if("after a report that could not be written")
}

/// Adds to an error what was before it.
trait ContextIf {
    fn context_if(self, what: &str) -> Verdict;
}

impl ContextIf for Verdict {
    fn context_if(self, what: &str) -> Verdict {
        self.map_err(|end| match end {
            End::Error(text) => End::Error(format!("{what}: {text}")),
            skip => skip,
        })
    }
}
