// SPDX-License-Identifier: GPL-2.0

//! What a device's migrations have amounted to, counted since the device was
//! bound. Not synchronised: the module has it behind a lock, so that whoever
//! reads it sees numbers that belong together.

use super::admin_command;
use core::fmt;

/// A part of a migration in which a stream moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Outgoing, PRE_COPY and PRE_COPY_P2P.
    PreCopy,
    /// Outgoing, STOP_COPY.
    StopCopy,
    /// Incoming.
    Resuming,
}

impl Phase {
    const ALL: [Self; 3] = [Self::PreCopy, Self::StopCopy, Self::Resuming];

    /// Its name, as in the files and events that show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreCopy => "pre_copy",
            Self::StopCopy => "stop_copy",
            Self::Resuming => "resuming",
        }
    }
}

/// What moved in one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bytes that userspace read or wrote, record headers included.
    pub bytes: u64,
    /// Records whose last byte was among them.
    pub records: u64,
}

/// What became of the commands with one opcode. One that was given again counts
/// again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// How many were given.
    pub count: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Nanoseconds they took in all.
    pub total_ns: u64,
    /// Nanoseconds the slowest took.
    pub max_ns: u64,
}

impl Commands {
    fn add(&mut self, errno: i32, ns: u64) {
        self.count += 1;
        self.errors += u64::from(errno != 0);
        self.total_ns = self.total_ns.saturating_add(ns);
        self.max_ns = self.max_ns.max(ns);
    }
}

/// Everything that is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    moved: [Moved; 3],
    commands: [Commands; admin_command::OPCODES],
}

impl Stats {
    /// All zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Userspace read or wrote `bytes` bytes in `phase`, and with them the rest
    /// of `records` records.
    pub fn moved(&mut self, phase: Phase, bytes: u64, records: u64) {
        let moved = &mut self.moved[phase as usize];
        moved.bytes += bytes;
        moved.records += records;
    }

    /// A command was given; `errno` is 0 if it succeeded. Opcodes that no table
    /// has are not counted.
    pub fn command(&mut self, opcode: u16, errno: i32, ns: u64) {
        if let Some(commands) = self.commands.get_mut(usize::from(opcode)) {
            commands.add(errno, ns);
        }
    }

    /// Bytes and records of each phase.
    pub const fn stream(&self) -> StreamTable<'_> {
        StreamTable(&self.moved)
    }

    /// The commands that were given, by opcode.
    pub const fn commands(&self) -> CommandTable<'_> {
        CommandTable(&self.commands)
    }
}

/// Bytes and records by phase, as text.
pub struct StreamTable<'a>(&'a [Moved; 3]);

impl fmt::Display for StreamTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "phase bytes records")?;
        for phase in Phase::ALL {
            let Moved { bytes, records } = self.0[phase as usize];
            writeln!(f, "{} {bytes} {records}", phase.name())?;
        }
        Ok(())
    }
}

/// Commands by opcode, as text.
pub struct CommandTable<'a>(&'a [Commands; admin_command::OPCODES]);

impl fmt::Display for CommandTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "opcode name count errors total_ns max_ns")?;
        for (opcode, of) in (0u16..).zip(self.0) {
            if of.count > 0 {
                writeln!(
                    f,
                    "{opcode:#04x} {} {} {} {} {}",
                    admin_command::name(opcode),
                    of.count,
                    of.errors,
                    of.total_ns,
                    of.max_ns
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_apart() {
        let mut stats = Stats::new();
        stats.moved(Phase::PreCopy, 100, 2);
        stats.moved(Phase::Resuming, 7, 0);
        stats.moved(Phase::Resuming, 9, 1);
        assert_eq!(
            stats.stream().to_string(),
            "phase bytes records\npre_copy 100 2\nstop_copy 0 0\nresuming 16 1\n"
        );
    }

    #[test]
    fn commands_add_up() {
        let mut stats = Stats::new();
        stats.command(0x0f, 0, 100);
        stats.command(0x0f, 11, 300);
        stats.command(0x0f, 0, 200);
        stats.command(0x11, 22, 5);
        assert_eq!(
            stats.commands().to_string(),
            "opcode name count errors total_ns max_ns\n\
             0x0f DEV_PARTS_GET 3 1 600 300\n\
             0x11 DEV_MODE_SET 1 1 5 5\n"
        );
    }

    #[test]
    fn unknown_opcodes_do_no_harm() {
        let mut stats = Stats::new();
        stats.command(admin_command::OPCODES as u16, 0, 1);
        stats.command(u16::MAX, 0, u64::MAX);
        assert_eq!(stats, Stats::new());
        stats.command(0, 0, u64::MAX);
        stats.command(0, 0, u64::MAX);
    }
}
