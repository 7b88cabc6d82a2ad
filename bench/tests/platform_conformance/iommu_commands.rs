// SPDX-License-Identifier: GPL-2.0
//! The command buffer.

use crate::guest::{
    COMMAND_BUFFER, ENABLED, EVENT_LOG, Guest, RAM, RING_ENTRIES, SEMAPHORE, fired,
};
use crate::wire::{control, event, opcode, register, status};

const WAIT: u64 = opcode::COMPLETION_WAIT | SEMAPHORE;

#[test]
fn completion_wait_stores_its_data() {
    let mut guest = Guest::with_iommu(1);
    guest.submit(&[[WAIT | 1, 0x1122_3344_5566_7788]]);
    assert_eq!(guest.read64(SEMAPHORE), 0x1122_3344_5566_7788);
    assert_eq!(guest.register(register::COMMAND_HEAD), 16);
}

#[test]
fn completion_wait_stores_only_if_told() {
    let mut guest = Guest::with_iommu(1);
    guest.submit(&[[WAIT, 0x1122_3344_5566_7788]]);
    assert_eq!(guest.read64(SEMAPHORE), 0);
    assert_eq!(guest.register(register::COMMAND_HEAD), 16);
    assert_eq!(guest.register(register::STATUS) & status::COM_WAIT_INT, 0);
}

#[test]
fn completion_wait_interrupts_once_until_acknowledged() {
    let mut guest = Guest::with_iommu(1);
    let interrupt = guest.listen_iommu();
    guest.set_register(register::CONTROL, ENABLED | control::COM_WAIT_INT_EN);
    guest.submit(&[[WAIT | 2, 0]]);
    assert_ne!(guest.register(register::STATUS) & status::COM_WAIT_INT, 0);
    assert!(fired(&interrupt));
    guest.submit(&[[WAIT | 2, 0]]);
    assert!(!fired(&interrupt), "the status bit was still set");
    guest.set_register(register::STATUS, status::COM_WAIT_INT);
    assert_eq!(guest.register(register::STATUS) & status::COM_WAIT_INT, 0);
    guest.submit(&[[WAIT | 2, 0]]);
    assert!(fired(&interrupt));
}

#[test]
fn completion_wait_interrupts_only_if_enabled() {
    let mut guest = Guest::with_iommu(1);
    let interrupt = guest.listen_iommu();
    guest.submit(&[[WAIT | 2, 0]]);
    assert_ne!(guest.register(register::STATUS) & status::COM_WAIT_INT, 0);
    assert!(!fired(&interrupt));
}

#[test]
fn nothing_runs_unless_enabled() {
    for missing in [control::CMD_BUF_EN, control::IOMMU_EN] {
        let mut guest = Guest::with_iommu(1);
        guest.set_register(register::CONTROL, ENABLED & !missing);
        guest.submit(&[[WAIT | 1, 1]]);
        assert_eq!(guest.read64(SEMAPHORE), 0);
        guest.set_register(register::CONTROL, ENABLED);
        assert_eq!(guest.read64(SEMAPHORE), 1, "enabling starts what waits");
    }
}

#[test]
fn the_buffer_wraps() {
    let mut guest = Guest::with_iommu(1);
    for number in 0..RING_ENTRIES + 3 {
        guest.submit(&[[WAIT | 1, number]]);
        assert_eq!(guest.read64(SEMAPHORE), number);
    }
    assert_eq!(guest.register(register::COMMAND_HEAD), 3 * 16);
}

#[test]
fn every_command_is_accepted() {
    let mut guest = Guest::with_iommu(1);
    for command in [
        [opcode::INVALIDATE_DEVTAB_ENTRY | 0x0100, 0],
        [opcode::INVALIDATE_IOMMU_PAGES | (7 << 32), 0x1000],
        [
            opcode::INVALIDATE_IOMMU_PAGES | (7 << 32),
            0x7fff_ffff_ffff_f003,
        ],
        [opcode::INVALIDATE_IOTLB_PAGES | 0x0100, 0x1001],
        [opcode::INVALIDATE_INTERRUPT_TABLE | 0x0100, 0],
        [
            opcode::PREFETCH_IOMMU_PAGES | (7 << 32) | (1 << 24) | 0x0100,
            0x1000,
        ],
        [opcode::INVALIDATE_IOMMU_ALL, 0],
    ] {
        guest.run(command);
    }
    assert_eq!(guest.events(), []);
    let commands = &guest.state()["iommu"]["commands"];
    assert_eq!(commands["INVALIDATE_IOMMU_PAGES"], 2);
    assert_eq!(commands["COMPLETION_WAIT"], 7);
}

/// Commands that must be refused: unknown, not offered, or with reserved bits.
const ILLEGAL: [[u64; 2]; 13] = [
    [0, 0],
    [opcode::COMPLETE_PPR_REQUEST, 0],
    [0x9 << 60, 0],
    [0xf << 60, 0],
    [opcode::COMPLETION_WAIT | (1 << 52), 0],
    [opcode::INVALIDATE_DEVTAB_ENTRY | (1 << 16), 0],
    [opcode::INVALIDATE_DEVTAB_ENTRY, 1],
    [opcode::INVALIDATE_IOMMU_PAGES | (1 << 48), 0],
    [opcode::INVALIDATE_IOMMU_PAGES, 1 << 2],
    [opcode::INVALIDATE_IOTLB_PAGES, 1 << 2],
    [opcode::INVALIDATE_INTERRUPT_TABLE, 1],
    [opcode::PREFETCH_IOMMU_PAGES | (1 << 16), 0],
    [opcode::INVALIDATE_IOMMU_ALL, 1],
];

#[test]
fn illegal_commands_stop_the_buffer() {
    for command in ILLEGAL {
        let mut guest = Guest::with_iommu(1);
        guest.submit(&[[WAIT | 1, 1], command, [WAIT | 1, 2]]);
        assert_eq!(guest.read64(SEMAPHORE), 1, "{command:x?}");
        assert_eq!(guest.register(register::STATUS) & status::CMD_BUF_RUN, 0);
        assert_eq!(guest.register(register::COMMAND_HEAD), 16, "{command:x?}");
        let events = guest.events();
        assert_eq!(events.len(), 1, "{command:x?}");
        assert_eq!(events[0].code, event::ILLEGAL_COMMAND_ERROR);
        assert_eq!(events[0].address, COMMAND_BUFFER + 16);
    }
}

#[test]
fn a_stopped_buffer_restarts_when_enabled_anew() {
    let mut guest = Guest::with_iommu(1);
    guest.submit(&[[0, 0]]);
    guest.submit(&[[WAIT | 1, 1]]);
    assert_eq!(guest.read64(SEMAPHORE), 0, "stopped");
    guest.set_register(register::CONTROL, ENABLED & !control::CMD_BUF_EN);
    guest.set_register(register::COMMAND_HEAD, 16);
    guest.set_register(register::CONTROL, ENABLED);
    assert_eq!(guest.read64(SEMAPHORE), 1);
}

#[test]
fn unreachable_memory_stops_the_buffer() {
    let mut guest = Guest::with_iommu(1);
    guest.submit(&[[opcode::COMPLETION_WAIT | RAM | 1, 0]]);
    guest.set_register(register::CONTROL, ENABLED & !control::CMD_BUF_EN);
    guest.set_register(register::COMMAND_BUFFER, RAM | (8 << 56));
    guest.set_register(register::CONTROL, ENABLED);
    guest.set_register(register::COMMAND_TAIL, 16);
    let events = guest.events();
    assert_eq!(events.len(), 2);
    for (event, address) in events.iter().zip([COMMAND_BUFFER, RAM]) {
        assert_eq!(event.code, event::COMMAND_HARDWARE_ERROR);
        assert_eq!(event.address, address);
    }
    assert_eq!(guest.register(register::STATUS) & status::CMD_BUF_RUN, 0);
}

/// The ring has 256 entries of 16 bytes, and is full of commands.
#[test]
fn a_tail_beyond_the_ring_counts_from_its_beginning() {
    for (tail, executed) in [(RING_ENTRIES * 16, 0), (RING_ENTRIES * 16 + 32, 2)] {
        let mut guest = Guest::with_iommu(1);
        for entry in 0..RING_ENTRIES {
            guest.write64(COMMAND_BUFFER + 16 * entry, WAIT | 1);
            guest.write64(COMMAND_BUFFER + 16 * entry + 8, entry + 1);
        }
        guest.set_register(register::COMMAND_TAIL, tail);
        assert_eq!(guest.read64(SEMAPHORE), executed, "tail {tail:#x}");
        assert_eq!(guest.register(register::COMMAND_HEAD), 16 * executed);
    }
    // A head beyond it, too.
    let mut guest = Guest::with_iommu(1);
    guest.set_register(register::COMMAND_HEAD, RING_ENTRIES * 16 + 16);
    guest.set_register(register::COMMAND_TAIL, 16);
    assert_eq!(guest.register(register::COMMAND_TAIL), 16);
}

#[test]
fn a_new_ring_is_empty() {
    let mut guest = Guest::with_iommu(1);
    guest.submit(&[[WAIT | 1, 7], [WAIT | 1, 8]]);
    assert_eq!(guest.register(register::COMMAND_HEAD), 32);
    guest.set_register(register::COMMAND_BUFFER, COMMAND_BUFFER | (8 << 56));
    assert_eq!(guest.register(register::COMMAND_HEAD), 0);
    assert_eq!(guest.register(register::COMMAND_TAIL), 0);
    guest.write64(SEMAPHORE, 0);
    guest.submit(&[[WAIT | 1, 9]]);
    assert_eq!(guest.read64(SEMAPHORE), 9);

    guest.set_register(register::EVENT_TAIL, 64);
    guest.set_register(register::EVENT_LOG, EVENT_LOG | (8 << 56));
    assert_eq!(guest.register(register::EVENT_TAIL), 0);
    assert_eq!(guest.register(register::EVENT_HEAD), 0);
}
