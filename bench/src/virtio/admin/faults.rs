// SPDX-License-Identifier: GPL-2.0
//! Faults that a test injects into administration commands.

use std::time::Duration;

use super::status::Status;

/// What happens to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is not executed and ends like this.
    Fail(Status),
    /// It is executed; the driver hears of it later.
    Delay(Duration),
    /// It is executed, and answered, later.
    Late(Duration),
    /// It is executed; the driver does not hear of it until the test releases it.
    Silence,
    /// It is executed. METADATA_GET for the size answers this number; another
    /// result is cut, or filled up with zeroes, to this many bytes.
    ResultSize(u32),
    /// It is executed, and says that all of its result was written; only this many
    /// bytes of it are.
    Withhold(u32),
    /// It is executed, and each byte of its result is replaced by this one.
    ResultFill(u8),
}

/// A fault that waits for its command.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub opcode: u16,
    /// Only commands for this member, if set.
    pub member: Option<u64>,
    /// How many matching commands to let pass.
    pub skip: u64,
    /// How many to hit after that.
    pub count: u64,
    pub action: Action,
}

/// Faults in the order of injection. At most one hits a command, the oldest.
#[derive(Debug, Default)]
pub struct Faults {
    pending: Vec<Fault>,
}

impl Faults {
    pub fn inject(&mut self, fault: Fault) {
        self.pending.push(fault);
    }

    pub fn clear(&mut self) {
        self.pending.clear();
    }

    /// What is to happen to this command.
    pub fn strike(&mut self, opcode: u16, member: u64) -> Option<Action> {
        let mut action = None;
        for fault in &mut self.pending {
            if fault.opcode != opcode || fault.member.is_some_and(|wanted| wanted != member) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if fault.count > 0 && action.is_none() {
                fault.count -= 1;
                action = Some(fault.action);
            }
        }
        self.pending.retain(|fault| fault.count > 0);
        action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_the_right_commands() {
        let action = Action::Silence;
        let mut faults = Faults::default();
        faults.inject(Fault {
            opcode: 7,
            member: Some(1),
            skip: 1,
            count: 2,
            action,
        });
        assert_eq!(faults.strike(7, 1), None);
        assert_eq!(faults.strike(7, 2), None);
        assert_eq!(faults.strike(8, 1), None);
        assert_eq!(faults.strike(7, 1), Some(action));
        assert_eq!(faults.strike(7, 1), Some(action));
        assert_eq!(faults.strike(7, 1), None);
        faults.inject(Fault {
            opcode: 7,
            member: None,
            skip: 0,
            count: 1,
            action,
        });
        faults.clear();
        assert_eq!(faults.strike(7, 1), None);
    }
}
