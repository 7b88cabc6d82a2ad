// SPDX-License-Identifier: GPL-2.0
//! What happens to the functions while a client has them: faults, resets, readers of debugfs,
//! and in the end somebody who takes them away.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use fastrand::Rng;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use vvp_harness::control::{Action, Control, opcode};
use vvp_harness::debugfs::Files;
use vvp_harness::pci::Function;
use vvp_harness::{kmod, note, sriov, wait};

use super::order::{Ending, Order, Part, one_of};
use super::tally::{Book, Event, Tally};
use crate::config::{Config, Driver};

/// Most bytes of a result that the bench makes up. A size that a device only claims may be
/// any.
const MAX_RESULT: u32 = 64 << 20;

/// Between two things that the host does, in milliseconds.
const PAUSE: usize = 25;

/// Between two faults, each of which may cost the client its state and a reset, in
/// milliseconds.
const PEACE: usize = 150;

/// How long a client may take to end once it can.
const DEATH: Duration = Duration::from_secs(60);

/// How long a function that was pulled out stays away. Whoever resets one that does not
/// answer waits up to a minute for it, and cannot be killed meanwhile.
const ABSENCE: Duration = Duration::from_secs(2);

/// The rows in which the host counts.
const ROWS: [u64; 3] = [0, 1, 2];

/// A round's surroundings.
pub struct Host<'a> {
    pub config: &'a Config,
    pub pf: &'a Function,
    pub functions: &'a [Function; 2],
    pub order: &'a Order,
    pub book: &'a Book,
    /// The number of the first round of all.
    pub first: u64,
}

impl Host<'_> {
    /// Runs the round around `client`, and returns when it, and all that was begun, has ended.
    pub fn run(&self, client: Pid) -> Result<()> {
        let control = Mutex::new(self.config.control()?);
        self.await_client(client)?;
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let resetter = scope.spawn(|| self.disturb(&over));
            let taker = scope.spawn(|| self.take_away(&control, &over));
            let ended = self.watch(client, &control, &over);
            over.store(true, Ordering::Relaxed);
            if ended.is_err() {
                // Or those who wait for it would wait for ever.
                let _ = kill(client, Signal::SIGKILL);
            }
            // Whoever waits for the device has its answers from now on, and the device itself.
            let mut gone = self.order.ending == Ending::Remove;
            let released = wait::until("all threads end", DEATH, || {
                calm(&control)?;
                if gone && taker.is_finished() {
                    self.put_back(&mut lock(&control))?;
                    gone = false;
                }
                Ok((resetter.is_finished() && taker.is_finished()).then_some(()))
            });
            ended?;
            released?;
            for thread in [resetter, taker] {
                thread.join().map_err(|_| anyhow!("a thread panicked"))??;
            }
            Ok(())
        })
    }

    /// Until it has both functions, and has saved one.
    fn await_client(&self, client: Pid) -> Result<()> {
        let before = self.order.number - self.first;
        wait::until("the client begins", DEATH, || {
            if let Some(status) = ended(client)? {
                bail!("the client has ended: {status:?}");
            }
            Ok((self.book.sums()?.of(Event::Rounds) > before).then_some(()))
        })
    }

    /// Has the device misbehave until the client has ended.
    fn watch(&self, client: Pid, control: &Mutex<Control>, over: &AtomicBool) -> Result<()> {
        let mut random = self.order.random(Part::Faults, 0);
        let mut tally = self.book.writer(ROWS[0])?;
        let begun = Instant::now();
        let mut dying = false;
        let mut gone = self.order.ending == Ending::Remove;
        loop {
            match ended(client)? {
                None => {}
                Some(WaitStatus::Exited(_, 0)) => return Ok(()),
                Some(WaitStatus::Signaled(_, Signal::SIGKILL, _)) if dying => return Ok(()),
                Some(status) => bail!("the client has ended: {status:?}"),
            }
            if begun.elapsed() > self.order.length + DEATH {
                let tasks = fs::read_dir(format!("/proc/{client}/task")).context("tasks")?;
                for task in tasks.flatten() {
                    let stack = fs::read_to_string(task.path().join("stack"));
                    note!("the client hangs:\n{}", stack.unwrap_or_default());
                }
                bail!("the client does not end");
            }
            let due = begun.elapsed() >= self.order.length;
            if due && !dying && self.order.ending != Ending::Leave {
                // Who takes the device away waits for the client.
                over.store(true, Ordering::Relaxed);
                kill(client, Signal::SIGKILL).context("kill")?;
                tally.add(Event::Kills);
                dying = true;
            }
            if gone && begun.elapsed() >= self.order.length + ABSENCE {
                let mut control = lock(control);
                self.put_back(&mut control)?;
                gone = false;
            }
            if due {
                calm(control)?;
            } else if self.order.faults {
                self.misbehave(&mut random, &mut lock(control), &mut tally)?;
            }
            let pause = if due { PAUSE } else { PEACE };
            std::thread::sleep(Duration::from_millis(1 + random.usize(..pause) as u64));
        }
    }

    /// Puts the function back that was pulled out, whether it has been or is just about to.
    fn put_back(&self, control: &mut Control) -> Result<()> {
        let name = self.config.bench_name(&self.functions[0])?;
        Ok(control.remove(&name, false)?)
    }

    /// One fault, or the end of some.
    fn misbehave(&self, random: &mut Rng, control: &mut Control, tally: &mut Tally) -> Result<()> {
        if random.usize(..4) == 0 {
            return Ok(control.release()?);
        }
        if random.usize(..30) == 0 {
            let function = &self.functions[random.usize(..2)];
            // Unless it is just going. The bench refuses that of a function without a driver
            // at work, which this one may have or not.
            if let Ok(name) = self.config.bench_name(function) {
                if control.need_reset(&name).is_ok() {
                    tally.add(Event::DeviceFaults);
                }
            }
            return Ok(());
        }
        let opcode = one_of(random, &opcode::MIGRATION);
        let status = |status| Action::Status {
            status,
            qualifier: 0,
        };
        let any = random.usize(..1 << 16) as u32;
        let mut action = one_of(
            random,
            &[
                status(22),
                status(6),
                status(12),
                status(5000),
                Action::Status {
                    status: 11,
                    qualifier: 7,
                },
                Action::DelayMs(20),
                Action::LateMs(20),
                Action::Silence,
                Action::ResultSize(any % 512),
                Action::ResultSize(any << 16),
                Action::Withhold(any % 128),
                Action::ResultFill(any as u8),
            ],
        );
        if let Action::ResultSize(size) = &mut action {
            if opcode != opcode::DEV_PARTS_METADATA_GET {
                *size %= MAX_RESULT;
            }
        }
        // An object whose destruction is refused stays until the PF is reset.
        if opcode == opcode::RESOURCE_OBJ_DESTROY && self.order.ending != Ending::Pf {
            action = Action::DelayMs(5);
        }
        control.inject(opcode, 1 + random.usize(..3) as u32, 1, action)?;
        tally.add(Event::DeviceFaults);
        Ok(())
    }

    /// Resets by sysfs and readers of debugfs, who may have to wait as the client does.
    fn disturb(&self, over: &AtomicBool) -> Result<()> {
        let mut tally = self.book.writer(ROWS[1])?;
        let mut random = self.order.random(Part::Resets, 0);
        while !over.load(Ordering::Relaxed) {
            let function = &self.functions[random.usize(..2)];
            if random.usize(..12) == 0 {
                // Refused while the client has it in a state that allows none.
                if function.set_attribute("reset", "1").is_ok() {
                    tally.add(Event::Resets);
                }
            } else {
                self.look(function, &mut tally);
            }
            std::thread::sleep(Duration::from_millis(random.usize(..PAUSE) as u64));
        }
        Ok(())
    }

    /// Reads all there is of `function` in debugfs, unless it is just going.
    fn look(&self, function: &Function, tally: &mut Tally) {
        let Ok(entries) = fs::read_dir(Files::of(function).path("")) else {
            return;
        };
        for entry in entries.flatten() {
            if fs::read(entry.path()).is_ok() {
                tally.add(Event::DebugfsReads);
            }
        }
    }

    /// Takes the device away when its time has come.
    fn take_away(&self, control: &Mutex<Control>, over: &AtomicBool) -> Result<()> {
        let mut tally = self.book.writer(ROWS[2])?;
        let mut left = self.order.length.saturating_sub(Duration::from_millis(200));
        while !over.load(Ordering::Relaxed) && !left.is_zero() {
            let pause = left.min(Duration::from_millis(20));
            std::thread::sleep(pause);
            left -= pause;
        }
        let [function, _] = self.functions;
        match self.order.ending {
            Ending::Leave | Ending::Kill => {}
            Ending::Unbind => {
                function.unbind().context("unbinding")?;
                tally.add(Event::Unbinds);
            }
            Ending::Sriov => {
                sriov::set_numvfs(self.pf, 0)?;
                tally.add(Event::SriovChanges);
            }
            Ending::Pf => {
                self.pf.unbind().context("unbinding the PF")?;
                tally.add(Event::Unbinds);
            }
            Ending::Remove => {
                let name = self.config.bench_name(function)?;
                lock(control).remove(&name, true)?;
                tally.add(Event::Removals);
            }
            Ending::Unload => {
                let module = self.config.module_name(Driver::Rs);
                wait::until("unloading the module", DEATH, || {
                    Ok(kmod::unload(&module).ok())
                })?;
                tally.add(Event::Unloads);
            }
        }
        Ok(())
    }
}

/// How `client` has ended, if it has.
fn ended(client: Pid) -> Result<Option<WaitStatus>> {
    Ok(
        match waitpid(client, Some(WaitPidFlag::WNOHANG)).context("waitpid")? {
            WaitStatus::StillAlive => None,
            status => Some(status),
        },
    )
}

/// Nothing goes wrong any more, and nobody waits for an answer.
fn calm(control: &Mutex<Control>) -> Result<()> {
    let mut control = lock(control);
    control.clear_faults()?;
    Ok(control.release()?)
}

fn lock(control: &Mutex<Control>) -> std::sync::MutexGuard<'_, Control> {
    control
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
