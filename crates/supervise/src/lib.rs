// SPDX-License-Identifier: GPL-2.0
//! Child processes that cannot outlive us: ended on drop, and by the kernel if
//! we die first. And what their logs say last.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How often a state that nothing announces is looked at.
pub const POLL: Duration = Duration::from_millis(50);

/// A child process. Dropping it ends it: politely first, then by force.
#[derive(Debug)]
pub struct Supervised {
    name: &'static str,
    child: Child,
}

impl Supervised {
    /// Starts `command` in a process group of its own, so that a terminal's ^C
    /// reaches only us and the order in which things end is ours.
    ///
    /// To be called from a thread that lives as long as the child should: the
    /// kernel's parent-death signal follows the thread, not the process.
    pub fn spawn(name: &'static str, command: &mut Command) -> Result<Self> {
        let parent = nix::unistd::getpid();
        command.process_group(0);
        // SAFETY: between fork and exec only async-signal-safe system calls are
        // made (prctl and getppid), and nothing is allocated.
        unsafe {
            command.pre_exec(move || {
                set_pdeathsig(Signal::SIGKILL)?;
                if nix::unistd::getppid() != parent {
                    // The parent died before the signal was asked for.
                    return Err(std::io::ErrorKind::BrokenPipe.into());
                }
                Ok(())
            });
        }
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name} ({:?})", command.get_program()))?;
        Ok(Self { name, child })
    }

    /// The underlying process, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The exit status, if the child has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Waits up to `limit` for the child to end by itself.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            sleep(POLL);
        }
    }

    /// Ends the child and its own children: SIGTERM, and SIGKILL if that does
    /// not help in time.
    pub fn end(&mut self) {
        if !matches!(self.ended(), Ok(None)) {
            return;
        }
        // Not reaped yet, so the pid still names this child and its group.
        let group = Pid::from_raw(self.child.id() as i32);
        let _ = killpg(group, Signal::SIGTERM);
        if !matches!(self.wait(Duration::from_secs(5)), Ok(Some(_))) {
            let _ = killpg(group, Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.end();
    }
}

/// The last `count` lines of a log that say something.
pub fn tail(log: &str, count: usize) -> Vec<&str> {
    let lines: Vec<&str> = log
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::kill;

    #[test]
    fn exit_status_is_reported() {
        let mut child = Supervised::spawn("sh", Command::new("sh").args(["-c", "exit 7"])).unwrap();
        let status = child.wait(Duration::from_secs(60)).unwrap().unwrap();
        assert_eq!(status.code(), Some(7));
    }

    #[test]
    fn dropping_ends_a_child_that_ignores_sigterm() {
        let mut child = Supervised::spawn(
            "sh",
            Command::new("sh").args(["-c", "trap '' TERM; while :; do sleep 1; done"]),
        )
        .unwrap();
        let pid = Pid::from_raw(child.child().id() as i32);
        assert!(child.ended().unwrap().is_none());
        drop(child);
        assert_eq!(kill(pid, None), Err(nix::errno::Errno::ESRCH));
    }

    #[test]
    fn missing_program_names_the_role() {
        let error = Supervised::spawn("bench", &mut Command::new("/nonexistent")).unwrap_err();
        assert!(error.to_string().contains("cannot start bench"));
    }

    #[test]
    fn tail_skips_blank_lines() {
        assert_eq!(tail("a\n\nb\r\nc\n \n", 2), ["b", "c"]);
        assert_eq!(tail("a\n", 5), ["a"]);
    }
}
