// SPDX-License-Identifier: GPL-2.0
//! Machines of the bench that outlast an execution: making one takes a thousand times as
//! long as resetting it.

use serde_json::json;
use vfio_bench::function::Reset;
use vfio_bench::virtio::blk;
use vfio_bench::virtio::machine::{Config, DeviceType};
use vfio_bench_protocol::Choices;

use crate::rig::Rig;

/// VFs of each machine.
pub const VFS: u16 = 2;

/// Sectors of the block machine's disk.
const SECTORS: u64 = 64;

thread_local! {
    static NET: Rig = rig(Config::default());
    static TRANSITIONAL: Rig = rig(Config {
        transitional: true,
        choices: Choices {
            get_predecessors: true,
            private_ring_positions: true,
            ..Choices::default()
        },
        extra_parts: 100,
        extra_part_size: 32,
        ..Config::default()
    });
    static BLK: Rig = rig(Config {
        device: DeviceType::Blk(blk::Config {
            queues: 3,
            medium: blk::disk::Medium::Memory(SECTORS * 512),
        }),
        ..Config::default()
    });
}

fn rig(config: Config) -> Rig {
    Rig::new(config, VFS)
}

/// Runs `test` on a machine as it is after power-on: of network functions, of those that
/// are transitional and decide otherwise where they may, or of block functions.
pub fn with(choice: u8, test: impl FnOnce(&Rig)) {
    let machine = match choice % 3 {
        0 => &NET,
        1 => &TRANSITIONAL,
        _ => &BLK,
    };
    machine.with(|rig| {
        rig.control(json!({"cmd": "clear-faults"}));
        for (function, port) in rig.functions.iter().zip(&rig.ports) {
            function.reset(Reset::Flr);
            port.take_interrupts();
        }
        test(rig);
    });
}
