// SPDX-License-Identifier: GPL-2.0
//! Runs something in a child process, bounded in time: what hangs or crashes does so there.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long a killed process may take to go.
const GONE: Duration = Duration::from_secs(10);

/// What became of a child.
#[derive(Debug)]
pub enum Ended<T> {
    /// It has answered.
    Answered(T),
    /// It ended without an answer, in this way.
    Died(String),
    /// It was killed when its time was up.
    Killed,
    /// Its time was up, and it cannot be killed: it waits in the kernel.
    Stuck,
}

/// Runs `work` in a child, for `limit` at most. To be called with one thread only.
pub fn run<T: Serialize + DeserializeOwned>(
    limit: Duration,
    work: impl FnOnce() -> T,
) -> Result<Ended<T>> {
    let (read, write) = pipe().context("pipe")?;
    // SAFETY: this process has one thread, so that the child finds no lock taken.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Child => {
            drop(read);
            let answered = catch_unwind(AssertUnwindSafe(|| {
                let answer = serde_json::to_vec(&work()).unwrap_or_default();
                File::from(write).write_all(&answer).is_ok()
            }));
            // SAFETY: ends the process at once; buffers of the parent's are not flushed twice.
            unsafe { libc::_exit(i32::from(!answered.unwrap_or(false))) }
        }
        ForkResult::Parent { child } => {
            drop(write);
            wait_for(child, File::from(read), Instant::now() + limit)
        }
    }
}

fn wait_for<T: DeserializeOwned>(
    child: Pid,
    mut answer: File,
    deadline: Instant,
) -> Result<Ended<T>> {
    let mut bytes = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let patience =
            PollTimeout::try_from(left.min(Duration::from_secs(3600))).unwrap_or(PollTimeout::MAX);
        match poll(
            &mut [PollFd::new(answer.as_fd(), PollFlags::POLLIN)],
            patience,
        ) {
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno).context("poll"),
            Ok(0) => return kill_it(child),
            Ok(_) => {}
        }
        let mut chunk = [0; 4096];
        match answer
            .read(&mut chunk)
            .context("reading the child's answer")?
        {
            0 => break,
            length => bytes.extend_from_slice(&chunk[..length]),
        }
    }
    // It has closed its end; ending may still take it a while, as files are closed then.
    let Some(status) = reap(child, deadline)? else {
        return kill_it(child);
    };
    Ok(match (status, serde_json::from_slice(&bytes)) {
        (WaitStatus::Exited(_, 0), Ok(answer)) => Ended::Answered(answer),
        (WaitStatus::Exited(_, _), _) => Ended::Died("it panicked: see above".into()),
        (WaitStatus::Signaled(_, signal, _), _) => Ended::Died(format!("it was ended by {signal}")),
        (status, _) => Ended::Died(format!("it ended with {status:?}")),
    })
}

fn kill_it<T>(child: Pid) -> Result<Ended<T>> {
    kill(child, Signal::SIGKILL).context("kill")?;
    Ok(match reap(child, Instant::now() + GONE)? {
        Some(_) => Ended::Killed,
        None => Ended::Stuck,
    })
}

/// Waits until `child` has gone, or `deadline` is over.
fn reap(child: Pid, deadline: Instant) -> Result<Option<WaitStatus>> {
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if Instant::now() > deadline => return Ok(None),
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(2)),
            Ok(status) => return Ok(Some(status)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("waitpid"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // `cargo test` has threads; these children use nothing that they might have locked.
    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn an_answer_arrives() {
        assert!(matches!(run(LIMIT, || 7).unwrap(), Ended::Answered(7)));
    }

    #[test]
    fn a_hang_is_ended() {
        let ended = run(Duration::from_millis(50), || {
            std::thread::sleep(Duration::from_secs(3600))
        });
        assert!(matches!(ended.unwrap(), Ended::Killed));
    }

    #[test]
    fn a_crash_is_told() {
        let ended = run(LIMIT, || {
            // SAFETY: ends this child, as a fault would.
            unsafe { libc::raise(libc::SIGKILL) };
        });
        assert!(matches!(ended.unwrap(), Ended::Died(how) if how.contains("SIGKILL")));
    }
}
