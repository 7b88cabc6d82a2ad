// SPDX-License-Identifier: GPL-2.0
//! The arguments of VFIO_DEVICE_FEATURE, for each feature of migration.

use nix::errno::Errno;

use crate::call;
use crate::device::words;
use crate::fsm::State;
use crate::memory::{Access, Memory, PAGE, Structure};
use crate::rules;
use crate::skip;
use crate::trial::{Case, End, Trial, Verdict};
use crate::uapi::{self, FEATURE_GET, FEATURE_HEADER, FEATURE_PROBE, FEATURE_SET};

/// A feature, and what a valid use of it looks like.
#[derive(Clone, Copy, Debug)]
struct Feature {
    name: &'static str,
    index: u32,
    /// FEATURE_GET, FEATURE_SET, or both.
    methods: u32,
    /// Bytes of its data.
    size: usize,
}

const FEATURES: [Feature; 7] = [
    Feature {
        name: "MIGRATION",
        index: uapi::MIGRATION,
        methods: FEATURE_GET,
        size: 8,
    },
    Feature {
        name: "MIG_DEVICE_STATE",
        index: uapi::MIG_DEVICE_STATE,
        methods: FEATURE_GET | FEATURE_SET,
        size: 8,
    },
    Feature {
        name: "MIG_DATA_SIZE",
        index: uapi::MIG_DATA_SIZE,
        methods: FEATURE_GET,
        size: 8,
    },
    Feature {
        name: "MIG_PRECOPY_INFOv2",
        index: uapi::MIG_PRECOPY_INFO_V2,
        methods: FEATURE_SET,
        size: 0,
    },
    Feature {
        name: "DMA_LOGGING_START",
        index: uapi::DMA_LOGGING_START,
        methods: FEATURE_SET,
        size: 24,
    },
    Feature {
        name: "DMA_LOGGING_STOP",
        index: uapi::DMA_LOGGING_STOP,
        methods: FEATURE_SET,
        size: 0,
    },
    Feature {
        name: "DMA_LOGGING_REPORT",
        index: uapi::DMA_LOGGING_REPORT,
        methods: FEATURE_GET,
        size: 32,
    },
];

pub fn cases() -> Vec<Case> {
    type Test = fn(&Trial<'_>, Feature) -> Verdict;
    let tests: [(&str, &'static rules::Rule, Test); 8] = [
        ("probe", &rules::FEATURE_PROBE, probe),
        ("method", &rules::FEATURE_METHOD, method),
        ("no_method", &rules::FEATURE_EXCLUSIVE, no_method),
        ("get_and_set", &rules::FEATURE_EXCLUSIVE, get_and_set),
        ("flags", &rules::FEATURE_FLAGS, flags),
        ("argsz_short", &rules::FEATURE_ARGSZ, argsz_short),
        ("argsz_long", &rules::FEATURE_ARGSZ, argsz_long),
        ("bad_memory", &rules::FEATURE_MEMORY, bad_memory),
    ];
    let mut cases = Vec::new();
    for feature in FEATURES {
        for (name, rule, test) in tests {
            let name = format!("feature.{}.{name}", feature.name);
            cases.push(Case::new(name, rule, move |trial: &Trial<'_>| {
                required(trial, feature)?;
                test(trial, feature)?;
                unmoved(trial, feature)
            }));
        }
    }
    cases.push(Case::new(
        "feature.that_does_not_exist",
        &rules::FEATURE_UNKNOWN,
        unknown,
    ));
    cases
}

/// The case does not apply to a device without the feature.
fn required(trial: &Trial<'_>, feature: Feature) -> Verdict {
    match trial.device()?.probe(feature.index) {
        Ok(()) => Ok(()),
        Err(errno) if mandatory(trial, feature)? => Err(End::Error(format!(
            "PROBE of {}, which a device with migration has: {errno:?}",
            feature.name
        ))),
        Err(_) => skip!("{} is not there", feature.name),
    }
}

fn mandatory(trial: &Trial<'_>, feature: Feature) -> Result<bool, End> {
    let migrates = trial.device()?.probe(uapi::MIGRATION).is_ok();
    Ok(migrates && [uapi::MIG_DEVICE_STATE, uapi::MIG_DATA_SIZE].contains(&feature.index))
}

/// What was asked wrongly must not have been done.
fn unmoved(trial: &Trial<'_>, feature: Feature) -> Verdict {
    if feature.index == uapi::MIG_DEVICE_STATE {
        let state = trial.device()?.state()?;
        trial.check(state == State::Running, || {
            format!("the device is in {state} afterwards")
        });
    }
    Ok(())
}

/// Data with which a SET would start something, were it not for the rest.
fn data(feature: Feature, ranges: &[u64; 2]) -> Vec<u8> {
    match feature.index {
        uapi::MIG_DEVICE_STATE => [State::Stop as u32, u32::MAX]
            .map(u32::to_ne_bytes)
            .concat(),
        uapi::DMA_LOGGING_START => words(&[PAGE as u64, 1, ranges.as_ptr() as u64]),
        uapi::DMA_LOGGING_REPORT => words(&[0, PAGE as u64, PAGE as u64, 0]),
        _ => vec![0; feature.size],
    }
}

const RANGE: [u64; 2] = [0x1000_0000, PAGE as u64];

fn structure(feature: Feature, argsz: usize, flags: u32) -> Structure {
    let mut structure = Structure::of_u32(&[argsz as u32, flags]);
    structure.set(FEATURE_HEADER, &data(feature, &RANGE));
    structure
}

fn ask(trial: &Trial<'_>, feature: Feature, flags: u32) -> anyhow::Result<Result<(), Errno>> {
    let argsz = FEATURE_HEADER + feature.size;
    Ok(trial
        .device()?
        .feature_raw(&mut structure(feature, argsz, flags | feature.index)))
}

fn label(method: u32) -> &'static str {
    match method {
        FEATURE_GET => "GET",
        FEATURE_SET => "SET",
        0 => "nothing",
        _ => "GET and SET",
    }
}

/// With no data at all.
fn probe(trial: &Trial<'_>, feature: Feature) -> Verdict {
    let device = trial.device()?;
    for methods in [0, FEATURE_GET, FEATURE_SET, FEATURE_GET | FEATURE_SET] {
        let mut structure = Structure::of_u32(&[
            FEATURE_HEADER as u32,
            FEATURE_PROBE | methods | feature.index,
        ]);
        let answer = device.feature_raw(&mut structure);
        let what = format!("PROBE of {} with {}", feature.name, label(methods));
        if methods & !feature.methods == 0 {
            trial.check(answer.is_ok(), || format!("{what} fails: {answer:?}"));
        } else {
            trial.refused(&what, answer, Errno::EINVAL);
        }
    }
    // A probe with data is one all the same.
    let methods = FEATURE_PROBE | feature.methods;
    let answer = ask(trial, feature, methods)?;
    trial.check(answer.is_ok(), || {
        format!("PROBE with data fails: {answer:?}")
    });
    if feature.index == uapi::DMA_LOGGING_START {
        let stopped = device.start_log(PAGE as u64, &[(RANGE[0], RANGE[1])]);
        trial.check(stopped.is_ok(), || {
            format!("after a probe with data logging cannot be started: {stopped:?}")
        });
    }
    Ok(())
}

fn method(trial: &Trial<'_>, feature: Feature) -> Verdict {
    for method in [FEATURE_GET, FEATURE_SET] {
        if method & feature.methods == 0 {
            trial.refused(
                &format!("{} of {}", label(method), feature.name),
                ask(trial, feature, method)?,
                Errno::EINVAL,
            );
        }
    }
    // One that it has works, where it changes nothing.
    if feature.methods & FEATURE_GET != 0 && feature.index != uapi::DMA_LOGGING_REPORT {
        let answer = ask(trial, feature, FEATURE_GET)?;
        trial.check(answer.is_ok(), || {
            format!("GET of {} fails: {answer:?}", feature.name)
        });
    }
    Ok(())
}

fn no_method(trial: &Trial<'_>, feature: Feature) -> Verdict {
    let what = format!("{} without GET, SET and PROBE", feature.name);
    trial.refused(&what, ask(trial, feature, 0)?, Errno::EINVAL);
    Ok(())
}

fn get_and_set(trial: &Trial<'_>, feature: Feature) -> Verdict {
    let what = format!("{} with GET and SET", feature.name);
    trial.refused(
        &what,
        ask(trial, feature, FEATURE_GET | FEATURE_SET)?,
        Errno::EINVAL,
    );
    Ok(())
}

fn flags(trial: &Trial<'_>, feature: Feature) -> Verdict {
    for bit in 19..32 {
        for with in [
            FEATURE_PROBE,
            feature.methods & FEATURE_GET,
            feature.methods & FEATURE_SET,
        ] {
            if with != 0 {
                let what = format!("{} with bit {bit} in its flags", feature.name);
                trial.refused(&what, ask(trial, feature, with | 1 << bit)?, Errno::EINVAL);
            }
        }
    }
    Ok(())
}

fn argsz_short(trial: &Trial<'_>, feature: Feature) -> Verdict {
    let device = trial.device()?;
    let methods = [FEATURE_GET, FEATURE_SET]
        .into_iter()
        .filter(|method| method & feature.methods != 0);
    for method in methods {
        for argsz in 0..FEATURE_HEADER + feature.size {
            let answer = device.feature_raw(&mut structure(feature, argsz, method | feature.index));
            trial.refused(
                &format!("{} of {} with argsz {argsz}", label(method), feature.name),
                answer,
                Errno::EINVAL,
            );
        }
    }
    for argsz in 0..FEATURE_HEADER {
        let answer = device.feature_raw(&mut structure(
            feature,
            argsz,
            FEATURE_PROBE | feature.index,
        ));
        trial.refused(
            &format!("PROBE of {} with argsz {argsz}", feature.name),
            answer,
            Errno::EINVAL,
        );
    }
    Ok(())
}

fn argsz_long(trial: &Trial<'_>, feature: Feature) -> Verdict {
    let device = trial.device()?;
    let end = FEATURE_HEADER + feature.size;
    for argsz in [end + 1, end + 8, end + 100, PAGE] {
        let method = match feature.index {
            // Without a log there is nothing to report and nothing to stop.
            uapi::DMA_LOGGING_REPORT | uapi::DMA_LOGGING_STOP => FEATURE_PROBE,
            _ if feature.methods & FEATURE_GET != 0 => FEATURE_GET,
            _ => FEATURE_SET,
        };
        let mut structure = structure(feature, argsz, method | feature.index);
        structure.set(end, &vec![0x5a; PAGE]);
        let answer = device.feature_raw(&mut structure);
        trial.check(answer.is_ok(), || {
            format!(
                "{} with argsz {argsz} instead of {end} is refused: {answer:?}",
                feature.name
            )
        });
        trial.check(
            structure.get(end, PAGE).iter().all(|byte| *byte == 0x5a),
            || format!("with argsz {argsz} bytes beyond the {end} are written"),
        );
        if feature.index == uapi::DMA_LOGGING_START {
            // So that it can be started once more.
            let _ = device.stop_log();
        }
    }
    Ok(())
}

fn bad_memory(trial: &Trial<'_>, feature: Feature) -> Verdict {
    let device = trial.device()?;
    let nowhere = call::nowhere(device.fd(), uapi::DEVICE_FEATURE);
    trial.refused("a structure nowhere", nowhere, Errno::EFAULT);
    if feature.size == 0 {
        return Ok(());
    }
    // The header can be read, the data after it cannot.
    let memory = Memory::new(2)?;
    memory.protect(1, 1, Access::None)?;
    for method in [FEATURE_GET, FEATURE_SET]
        .into_iter()
        .filter(|method| method & feature.methods != 0)
    {
        let header = [
            (FEATURE_HEADER + feature.size) as u32,
            method | feature.index,
        ];
        memory.store(
            PAGE - FEATURE_HEADER,
            &header.map(u32::to_ne_bytes).concat(),
        );
        let what = format!(
            "{} of {} with data outside of memory",
            label(method),
            feature.name
        );
        trial.refused(
            &what,
            device.feature_in(&memory, PAGE - FEATURE_HEADER),
            Errno::EFAULT,
        );
    }
    // Half of the header.
    memory.store(PAGE - 4, &16_u32.to_ne_bytes());
    trial.refused(
        "half of a header",
        device.feature_in(&memory, PAGE - 4),
        Errno::EFAULT,
    );
    Ok(())
}

fn unknown(trial: &Trial<'_>) -> Verdict {
    let device = trial.device()?;
    for index in [0xffff, 0xfffe, 0x7777, 0x0100] {
        trial.refused(
            &format!("PROBE of feature {index:#x}"),
            device.probe(index),
            Errno::ENOTTY,
        );
        let answer = device.feature(FEATURE_GET | index, &mut vec![0; 64]);
        trial.refused(&format!("GET of feature {index:#x}"), answer, Errno::ENOTTY);
    }
    Ok(())
}
