// SPDX-License-Identifier: GPL-2.0
//! Fixture `lifetimes`: the driver, the function and its PF are taken away, or
//! two users are at one descriptor, while a migration is under way.

use std::sync::Arc;
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use vvp_harness::control::{Action, opcode};
use vvp_harness::ktap::Suite;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{DataFd, Device, State};
use vvp_harness::{expect, expect_eq, kmod, note, skip, sriov};

use crate::config::{Config, Driver};
use crate::lockdep;
use crate::rig;
use crate::states::enter;

const LIMIT: Duration = Duration::from_secs(180);

/// Long enough to see that somebody waits.
const MOMENT: Duration = Duration::from_millis(300);

/// What `vfio_mig_get_next_state` makes changes of state of.
const ARCS: [(State, State); 15] = [
    (State::Running, State::RunningP2p),
    (State::RunningP2p, State::Running),
    (State::RunningP2p, State::Stop),
    (State::Stop, State::RunningP2p),
    (State::Stop, State::StopCopy),
    (State::StopCopy, State::Stop),
    (State::Stop, State::Resuming),
    (State::Resuming, State::Stop),
    (State::Running, State::PreCopy),
    (State::PreCopy, State::Running),
    (State::PreCopy, State::PreCopyP2p),
    (State::PreCopyP2p, State::PreCopy),
    (State::RunningP2p, State::PreCopyP2p),
    (State::PreCopyP2p, State::RunningP2p),
    (State::PreCopyP2p, State::StopCopy),
];

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    type Test = fn(&Config) -> Result<()>;
    let tests: [(&str, Test); 6] = [
        ("a_descriptor_pins_the_module", pins_the_module),
        ("two_writers", two_writers),
        ("two_readers", two_readers),
        ("unbinding_during_every_arc", unbinding_during_every_arc),
        ("sriov_disabled_with_a_session", sriov_disabled),
        ("pf_unbound_with_a_session", pf_unbound),
    ];
    let variant = format!("rs_{}", config.access);
    for (name, test) in tests {
        let config = Arc::clone(config);
        suite.add_slow("lifetimes", &*variant, name, LIMIT, move || test(&config));
    }
}

fn open(config: &Config) -> Result<(Function, Device)> {
    let vf = config.vf()?;
    let device = rig::open(config, &vf, Driver::Rs, config.access)?;
    Ok((vf, device))
}

/// The file's functions are the module's.
fn pins_the_module(config: &Config) -> Result<()> {
    let name = config.module_name(Driver::Rs);
    let (vf, device) = open(config)?;
    let mut fd = device.begin(State::PreCopy)?;
    drop(device);
    for function in [vf, config.vf2()?] {
        function.unbind()?;
    }
    expect_eq!(kmod::users(&name)?, 1, "users of the module");
    expect_eq!(
        kmod::unload(&name),
        Err(Errno::EWOULDBLOCK),
        "unloading under a descriptor"
    );
    expect_eq!(
        fd.read_once(&mut [0; 8]),
        Err(Errno::ENODEV),
        "reading without a device"
    );
    drop(fd);
    expect_eq!(kmod::unload(&name), Ok(()), "unloading");
    config.load(Driver::Rs)?;
    rig::prove_migration(&open(config)?.1)
}

/// Whatever they make of it, the kernel keeps its head, and only a whole stream
/// loads.
pub fn two_writers(config: &Config) -> Result<()> {
    let (_, device) = open(config)?;
    let stream = rig::save(&device)?;
    let (mut loaded, mut refused) = (0, 0);
    for round in 0..40 {
        rig::recover(&device)?;
        let mut fd = rig::resume(&device)?;
        let mut other = fd.try_clone()?;
        let step = 1 + round % 7 * 16;
        let stream = &stream;
        scope(|scope| {
            let writer = scope.spawn(move || {
                for bytes in stream.chunks(step) {
                    if other.write_once(bytes).is_err() {
                        break;
                    }
                }
            });
            for bytes in stream.chunks(step) {
                if fd.write_once(bytes).is_err() {
                    break;
                }
            }
            // With the other still at it.
            let stopped = device.set_state(State::Stop).map(drop);
            match stopped {
                Ok(()) => loaded += 1,
                Err(_) => refused += 1,
            }
            writer.join()
        })
        .map_err(|_| anyhow!("a writer panicked"))?;
    }
    note!("{loaded} streams loaded, {refused} refused");
    expect!(refused > 0, "two interleaved streams are a stream");
    rig::recover(&device)?;
    rig::prove_migration(&device)
}

/// Together they get every byte once.
fn two_readers(config: &Config) -> Result<()> {
    let (_, device) = open(config)?;
    for state in [State::StopCopy, State::PreCopy] {
        rig::recover(&device)?;
        let whole = rig::save(&device)?;
        rig::recover(&device)?;
        let mut fd = device.begin(state)?;
        let mut other = fd.try_clone()?;
        fn count(fd: &mut DataFd) -> usize {
            let mut bytes = [0; 3];
            let mut sum = 0;
            while let Ok(length @ 1..) = fd.read_once(&mut bytes) {
                sum += length;
            }
            sum
        }
        let (one, two) = scope(|scope| {
            let reader = scope.spawn(move || count(&mut other));
            (count(&mut fd), reader.join())
        });
        let read = one + two.map_err(|_| anyhow!("a reader panicked"))?;
        device.go(State::StopCopy)?;
        let rest = fd.read_all()?.len();
        expect_eq!(read + rest, whole.len(), "bytes read from {state} on");
    }
    rig::recover(&device)
}

/// Unbinding begins while an arc waits for the device: the arc ends, and so does
/// the unbinding when the device is closed.
fn unbinding_during_every_arc(config: &Config) -> Result<()> {
    let (vf, device) = open(config)?;
    if !config.bench {
        skip!("only the bench can slow commands down");
    }
    let stream = rig::save(&device)?;
    drop(device);
    let mut control = config.control()?;
    for (from, to) in ARCS {
        let (_, device) = open(config)?;
        let fd = enter(&device, from, &stream)?;
        for opcode in opcode::MIGRATION {
            control.inject(opcode, 1, 1, Action::DelayMs(50))?;
        }
        let vf = &vf;
        let (moved, unbound) = scope(|scope| {
            let unbinder = scope.spawn(move || {
                sleep(Duration::from_millis(20));
                vf.unbind()
            });
            let moved = device.set_state(to);
            drop(device);
            (moved, unbinder.join())
        });
        let moved = moved.with_context(|| format!("{from} -> {to}"))?;
        unbound.map_err(|_| anyhow!("the unbinding thread panicked"))??;
        for mut fd in [fd, moved].into_iter().flatten() {
            let answer = fd.read_once(&mut [0; 8]);
            expect!(
                matches!(answer, Err(Errno::ENODEV | Errno::EBADF)),
                "{from} -> {to}: a read afterwards: {answer:?}"
            );
        }
        control.clear_faults()?;
    }
    rig::prove_migration(&open(config)?.1)
}

/// `take_away` must wait for the user of the device, who has a session, and
/// succeed when it is closed.
fn taken_away(
    config: &Config,
    take_away: impl Fn() -> Result<()> + Sync,
    give_back: impl Fn() -> Result<()>,
) -> Result<()> {
    for state in [State::PreCopy, State::StopCopy, State::Resuming] {
        let (_, device) = open(config)?;
        let mut fd = device.begin(state)?;
        let (waited, gone) = scope(|scope| {
            let taker = scope.spawn(&take_away);
            sleep(MOMENT);
            let waited = !taker.is_finished();
            // The session is as good as ever.
            let answer = device.data_size();
            drop(device);
            (waited && answer.is_ok(), taker.join())
        });
        gone.map_err(|_| anyhow!("a thread panicked"))??;
        let answer = fd.read_once(&mut [0; 8]);
        drop(fd);
        give_back()?;
        expect!(waited, "{state}: taken away from an open device");
        expect!(
            matches!(answer, Err(Errno::ENODEV | Errno::EBADF)),
            "{state}: a read afterwards: {answer:?}"
        );
    }
    rig::prove_migration(&open(config)?.1)
}

fn sriov_disabled(config: &Config) -> Result<()> {
    if !config.bench {
        skip!("the host's virtual functions are not the test's to disable");
    }
    let pf = config.vf()?.physfn().context("no PF")?;
    let count = pf.numvfs()?;
    taken_away(
        config,
        || sriov::set_numvfs(&pf, 0),
        || sriov::bring_up_bench(&pf, count).map(drop),
    )
}

fn pf_unbound(config: &Config) -> Result<()> {
    if !config.bench {
        skip!("the host's PF is not the test's to unbind");
    }
    if lockdep::reports_unbinding() {
        skip!("lockdep reports virtio_pci, whoever unbinds its PF");
    }
    let pf = config.vf()?.physfn().context("no PF")?;
    let count = pf.numvfs()?;
    let driver = pf.driver().context("the PF has no driver")?;
    taken_away(
        config,
        || pf.unbind(),
        || {
            pf.bind(&driver)?;
            config.wait_for_pf(&pf)?;
            sriov::bring_up_bench(&pf, count).map(drop)
        },
    )
}
