// SPDX-License-Identifier: GPL-2.0
//! A test in a process of its own. Nothing of it is waited for without a limit: neither
//! its verdict, nor its end, nor its death when it is killed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::outcome::Outcome;
use super::{Skip, diagnose};

/// How long the stages of a test's life may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until it has a verdict.
    pub verdict: Duration,
    /// From there to the end of the process, in which the kernel closes what it had open.
    pub exit: Duration,
    /// From its being killed to its death; after that, the device is given up.
    pub death: Duration,
}

impl Limits {
    /// With this much for the test itself.
    pub fn for_verdict(verdict: Duration) -> Self {
        Self {
            verdict,
            exit: Duration::from_secs(60),
            death: Duration::from_secs(15),
        }
    }
}

/// How often whoever runs the test is asked whether it is to go on.
const ATTENTION: Duration = Duration::from_millis(500);

/// Signals by which somebody wants the tests to end.
pub const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Whether the test is to be interrupted. Called every now and then while it runs.
type Attend<'a> = &'a mut dyn FnMut() -> Result<bool>;

/// What came of waiting for a verdict.
#[derive(PartialEq, Eq)]
enum Came {
    /// A part of it, or its end.
    Something,
    /// Nothing, and the time is up.
    Nothing,
    /// An interruption.
    Interruption,
}

/// Runs `body` in a child process, which is killed if `attend` says so.
pub fn run(body: &dyn Fn() -> Result<()>, limits: Limits, attend: Attend<'_>) -> Result<Outcome> {
    // What the test starts must not have it, or it would seem to live on in that.
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let (reader, mut writer) = (File::from(reader), File::from(writer));
    std::io::stdout().flush().context("flushing stdout")?;
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Child => {
            drop(reader);
            // The parent's end must be the child's, even if the parent is killed.
            let _ = prctl::set_pdeathsig(Signal::SIGKILL);
            for ending in ENDING {
                // SAFETY: what this process inherited is no handler that anybody misses.
                let _ = unsafe { signal(ending, SigHandler::SigDfl) };
            }
            let message = verdict(body).encode();
            let sent = writer.write_all(message.as_bytes());
            std::process::exit(i32::from(sent.is_err()))
        }
        ForkResult::Parent { child } => {
            drop(writer);
            watch(child, reader, limits, attend)
        }
    }
}

/// What `body`, run in this process, comes to.
pub fn verdict(body: &dyn Fn() -> Result<()>) -> Outcome {
    // This is the test's own process; nobody else's panics are affected.
    std::panic::set_hook(Box::new(|panic| diagnose(&panic.to_string())));
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => Outcome::Pass,
        Ok(Err(error)) => match error.downcast_ref::<Skip>() {
            Some(Skip(reason)) => Outcome::Skip(reason.clone()),
            None => Outcome::Fail(format!("{error:#}")),
        },
        // The hook has said where and why.
        Err(_) => Outcome::Fail("panicked".to_owned()),
    }
}

/// Sees `child` to its end.
fn watch(child: Pid, mut pipe: File, limits: Limits, attend: Attend<'_>) -> Result<Outcome> {
    let mut message = Vec::new();
    let deadline = Instant::now() + limits.verdict;
    let reason = match read_some(&mut pipe, &mut message, deadline, attend)? {
        Came::Something => None,
        Came::Nothing => Some(format!("not done after {} s", limits.verdict.as_secs())),
        Came::Interruption => Some("interrupted".to_owned()),
    };
    if let Some(reason) = reason {
        return end(child, reason, limits.death);
    }
    let deadline = Instant::now() + limits.exit;
    let closed = loop {
        let length = message.len();
        if read_some(&mut pipe, &mut message, deadline, attend)? != Came::Something {
            break false;
        }
        if message.len() == length {
            break true;
        }
    };
    let message = String::from_utf8_lossy(&message);
    let verdict = Outcome::decode(&message);
    let ended = if closed { reap(child, deadline)? } else { None };
    Ok(match (ended, verdict) {
        (None, verdict) => {
            let reason = format!(
                "did not end within {} s after its verdict: {verdict:?}",
                limits.exit.as_secs()
            );
            return end(child, reason, limits.death);
        }
        (Some(status), None) => Outcome::Fail(format!("the test's process died: {status:?}")),
        (Some(WaitStatus::Exited(_, 0)), Some(verdict)) => verdict,
        (Some(status), Some(verdict)) => Outcome::Fail(format!(
            "the test's process died after its verdict: {status:?}, {verdict:?}"
        )),
    })
}

/// Reads what there is, or waits for it until `deadline`, or until `attend` says that the test
/// is to be interrupted. At the end of the file nothing is added.
fn read_some(
    pipe: &mut File,
    message: &mut Vec<u8>,
    deadline: Instant,
    attend: Attend<'_>,
) -> Result<Came> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        // A signal that comes just before the waiting is noticed a little later.
        let timeout = PollTimeout::try_from(left.min(ATTENTION)).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(0) if left.is_zero() => return Ok(Came::Nothing),
            Ok(0) | Err(Errno::EINTR) if attend()? => return Ok(Came::Interruption),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => break,
            Err(errno) => return Err(errno).context("poll"),
        }
    }
    let mut bytes = [0; 4096];
    let length = pipe.read(&mut bytes).context("reading the verdict")?;
    message.extend_from_slice(&bytes[..length]);
    Ok(Came::Something)
}

/// Kills `child`, for `reason`.
fn end(child: Pid, reason: String, death: Duration) -> Result<Outcome> {
    diagnose(&whereabouts(child));
    kill(child, Signal::SIGKILL).context("kill")?;
    Ok(match reap(child, Instant::now() + death)? {
        Some(_) => Outcome::Fail(reason),
        None => {
            diagnose(&reason);
            Outcome::Stuck
        }
    })
}

/// What a hanging child is doing in the kernel.
fn whereabouts(child: Pid) -> String {
    let stack = std::fs::read_to_string(format!("/proc/{child}/stack")).unwrap_or_default();
    let wchan = std::fs::read_to_string(format!("/proc/{child}/wchan")).unwrap_or_default();
    format!("hangs in: {wchan}\n{stack}")
}

/// Waits for the child's end; `None` if it has not ended by `deadline`.
fn reap(child: Pid, deadline: Instant) -> Result<Option<WaitStatus>> {
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)).context("waitpid")? {
            WaitStatus::StillAlive if Instant::now() > deadline => return Ok(None),
            WaitStatus::StillAlive => std::thread::sleep(Duration::from_millis(1)),
            status => return Ok(Some(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{expect_eq, skip};

    /// Short where the test is to run into it, long elsewhere.
    fn limits(verdict: u64, exit: u64) -> Limits {
        Limits {
            verdict: Duration::from_secs(verdict),
            exit: Duration::from_secs(exit),
            death: Duration::from_secs(600),
        }
    }

    fn at_exit(what: extern "C" fn()) -> Result<()> {
        // SAFETY: the function is there as long as the process is, and unwinds nothing.
        nix::errno::Errno::result(unsafe { libc::atexit(what) })?;
        Ok(())
    }

    extern "C" fn hang() {
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    extern "C" fn crash() {
        // SAFETY: ends the process, by a signal that nobody catches.
        unsafe { libc::raise(libc::SIGKILL) };
    }

    extern "C" fn leave() {
        // SAFETY: ends the process.
        unsafe { libc::_exit(3) };
    }

    fn failure(body: &dyn Fn() -> Result<()>, limits: Limits) -> String {
        match run(body, limits, &mut || Ok(false)).unwrap() {
            Outcome::Fail(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn skips_are_told_from_failures() {
        assert_eq!(
            verdict(&|| skip!("no {}", "VF")),
            Outcome::Skip("no VF".into())
        );
        assert_eq!(verdict(&|| Ok(())), Outcome::Pass);
        let Outcome::Fail(text) = verdict(&|| {
            expect_eq!(1 + 1, 3, "sum");
            Ok(())
        }) else {
            panic!("an unequal pair passed");
        };
        assert!(text.starts_with("sum: expected 3, found 2"), "{text}");
    }

    #[test]
    fn a_verdict_comes_through() {
        assert_eq!(
            run(&|| Ok(()), limits(600, 600), &mut || Ok(false)).unwrap(),
            Outcome::Pass
        );
        let long = "x".repeat(100_000);
        assert_eq!(
            failure(&|| Err(anyhow::anyhow!(long.clone())), limits(600, 600)),
            long
        );
    }

    #[test]
    fn a_hang_is_a_failure() {
        let text = failure(
            &|| {
                hang();
                Ok(())
            },
            limits(1, 600),
        );
        assert_eq!(text, "not done after 1 s");
    }

    #[test]
    fn an_interruption_ends_it() {
        let body = || {
            hang();
            Ok(())
        };
        assert_eq!(
            run(&body, limits(600, 600), &mut || Ok(true)).unwrap(),
            Outcome::Fail("interrupted".to_owned())
        );
    }

    #[test]
    fn so_is_one_after_the_verdict() {
        let text = failure(&|| at_exit(hang), limits(600, 1));
        assert!(text.starts_with("did not end within 1 s"), "{text}");
    }

    #[test]
    fn so_is_a_crash_after_the_verdict() {
        let text = failure(&|| at_exit(crash), limits(600, 600));
        assert!(text.contains("SIGKILL"), "{text}");
    }

    #[test]
    fn so_is_an_exit_status() {
        let text = failure(&|| at_exit(leave), limits(600, 600));
        assert!(text.contains("died after its verdict"), "{text}");
    }

    #[test]
    fn a_process_without_a_verdict_has_failed() {
        let text = failure(
            &|| {
                leave();
                Ok(())
            },
            limits(600, 600),
        );
        assert!(text.starts_with("the test's process died"), "{text}");
    }
}
