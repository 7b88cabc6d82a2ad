// SPDX-License-Identifier: GPL-2.0
//! Two L1s at once: two hosts, each with a bench of its own, whose switches are linked,
//! and with a management network between them.
//!
//! The first host has the say: its job judges, and when it has ended the other one is told
//! to end, by a file in a directory that both see.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::l1::{self, Job, Outcome};
use crate::paths;
use crate::rundir::RunDir;

/// Where a job finds the directory that both hosts see.
pub const SHARED: &str = "VVP_HOSTS";
/// The file in it by which the second host learns that it is over.
pub const OVER: &str = "over";

/// Where the management network's function is on the root bus, on both hosts: behind all
/// that finds a place by itself.
const MANAGEMENT_SLOT: &str = "0x10";
/// Where the directory is that both see.
const SHARED_SLOT: &str = "0x11";
/// First byte that differs in what is the hosts' own: addresses of their functions.
const MAC_BLOCKS: [u8; 2] = [0x70, 0x71];
/// As much as a host needs that has one small guest; there are two.
const MEMORY: &str = "2G";

/// What the hosts have become.
pub struct Outcomes {
    /// The host that has the say.
    pub first: Outcome,
    /// The other one.
    pub second: Outcome,
}

/// Runs a job on each of two hosts, of which `jobs` says what is theirs alone: the bench's
/// program and the command. `line` is called with each line that the first one prints.
pub fn run(mut jobs: [Job; 2], line: &mut dyn FnMut(Option<&str>)) -> Result<Outcomes> {
    let mut shared = RunDir::create(Path::new(paths::RUNS))?;
    for (number, job) in jobs.iter_mut().enumerate() {
        connect(job, number, &shared);
    }
    let [first, second] = &jobs;
    let (first, second) = thread::scope(|scope| {
        // Its children end with the thread that starts them: it stays until they have.
        let second = scope.spawn(|| l1::run(second, &mut |_| {}));
        let first = l1::run(first, line);
        let told = tell(&shared);
        let second = second.join();
        (first.and_then(|first| told.map(|()| first)), second)
    });
    let Ok(second) = second else {
        bail!("the thread of the second host panicked");
    };
    let outcomes = first.and_then(|first| {
        let second = second.context("the second host")?;
        Ok(Outcomes { first, second })
    });
    if outcomes.is_err() {
        shared.keep();
    }
    outcomes
}

/// Tells the second host that it is over.
fn tell(shared: &RunDir) -> Result<()> {
    let path = shared.file(OVER);
    fs::write(&path, "").with_context(|| format!("cannot write {path:?}"))
}

/// Gives `job`, of host `number`, what makes two hosts of them.
fn connect(job: &mut Job, number: usize, shared: &RunDir) {
    let socket = |name: &str| shared.file(name).display().to_string();
    let waits = number == 0;
    let how = if waits { "listen" } else { "connect" };
    job.memory = MEMORY.to_string();
    job.bench_arguments.extend([
        "--link".to_string(),
        format!("{how}:{}", socket("link.sock")),
        "--mac-block".to_string(),
        MAC_BLOCKS[number].to_string(),
    ]);
    let management = if waits {
        "server=on"
    } else {
        "server=off,reconnect-ms=200"
    };
    job.qemu_arguments.extend([
        "-netdev".to_string(),
        format!(
            "stream,id=management,{management},addr.type=unix,addr.path={}",
            socket("management.sock")
        ),
        "-device".to_string(),
        format!(
            "virtio-net-pci,netdev=management,addr={MANAGEMENT_SLOT},mac=52:54:00:12:00:{:02x}",
            number + 1
        ),
    ]);
    let shared = shared.path().display().to_string();
    job.qemu_arguments.extend([
        "-fsdev".to_string(),
        format!("local,id=hosts,path={shared},security_model=none"),
        "-device".to_string(),
        format!("virtio-9p-pci,fsdev=hosts,mount_tag=hosts,addr={SHARED_SLOT}"),
    ]);
    job.environment.push((SHARED.to_string(), shared));
    // A root file system does not show what becomes of those below it.
    let mount = format!(
        "mkdir -p ${SHARED} && mount -t 9p -o trans=virtio,version=9p2000.L hosts ${SHARED} && exec \"$@\""
    );
    let command = std::mem::take(&mut job.command);
    job.command = ["sh".to_string(), "-c".to_string(), mount, "sh".to_string()].to_vec();
    job.command.extend(command);
}

/// How long the second host may take on top of the first: it is told when that has ended.
pub const FAREWELL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    fn job() -> Job {
        Job {
            kernel: Kernel::new(Path::new("/k")),
            memory: String::new(),
            bench: None,
            bench_arguments: Vec::new(),
            qemu_arguments: Vec::new(),
            timeout: Duration::from_secs(1),
            keep: false,
            environment: Vec::new(),
            command: Vec::new(),
        }
    }

    #[test]
    fn the_hosts_meet_and_are_not_the_same() {
        let parent = tempfile::tempdir().unwrap();
        let shared = RunDir::create(parent.path()).unwrap();
        let mut jobs = [job(), job()];
        for (number, job) in jobs.iter_mut().enumerate() {
            connect(job, number, &shared);
        }
        let socket = shared.file("link.sock").display().to_string();
        let place = |job: &Job| job.bench_arguments[1].clone();
        assert_eq!(place(&jobs[0]), format!("listen:{socket}"));
        assert_eq!(place(&jobs[1]), format!("connect:{socket}"));
        for at in [1, 3] {
            let argument = |number: usize| jobs[number].bench_arguments[at].clone();
            assert_ne!(argument(0), argument(1));
        }
        let device = |number: usize| jobs[number].qemu_arguments[3].clone();
        assert_ne!(device(0), device(1));
        assert_eq!(jobs[0].environment, jobs[1].environment);
    }
}
