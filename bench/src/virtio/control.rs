// SPDX-License-Identifier: GPL-2.0
//! The requests of the control protocol that concern the devices.

use std::time::Duration;

use vfio_bench_protocol::reply::{DeviceParts, DmaWrites};
use vfio_bench_protocol::{
    Action as Wish, AdminObject, AdminState, FunctionState, Injection, IommuState, LinkState,
    Queue, Request, State,
};

use super::admin::faults::{Action, Fault};
use super::admin::status::Status;
use super::device::Device;
use super::parts::PartWriter;
use super::parts::extra::{Ballast, ExtraParts};
use super::world::{PF, World};
use crate::control::{Answer, answer, done};

/// Longest delay of a command.
const MAX_DELAY_MS: u64 = 600_000;
/// Largest result that can be asked for.
const MAX_RESULT_SIZE: u32 = 64 << 20;

/// Answers a request that is about the devices.
pub fn control(world: &mut World, request: Request) -> Answer {
    match request {
        Request::State {} => answer(&state(world)),
        Request::Parts { function } => parts(find(world, &function)?),
        Request::Inject(injection) => inject(world, injection),
        Request::Release {} => {
            world.release();
            done()
        }
        Request::ClearFaults {} => {
            world.admin.faults.clear();
            done()
        }
        Request::DmaWrites { function, clear } => dma_writes(find(world, &function)?, clear),
        Request::PokeExtra {
            function,
            position,
            value,
        } => {
            let poked = find(world, &function)?.extra_mut().poke(position, value);
            possible(poked, "beyond the extra parts")
        }
        Request::Ballast {
            function,
            bytes,
            part_size,
        } => {
            let device = find(world, &function)?;
            let ballast = Ballast::new(bytes, part_size).map_err(|error| error.to_string())?;
            *device.extra_mut() = ExtraParts::new(ballast);
            done()
        }
        Request::TouchBallast { function, parts } => {
            let touched = find(world, &function)?.extra_mut().touch(parts);
            possible(touched, "there are not so many extra parts")
        }
        Request::SlowDisk { delay_ms } => {
            let delay = delay(delay_ms)?;
            let mut any = false;
            for device in &mut world.devices {
                any |= device.set_delay(delay);
            }
            possible(any, "no block devices here")
        }
        Request::Link { function, up } => {
            let linked = find(world, &function)?.set_link(up);
            possible(linked, "no network function")
        }
        Request::Announce { function } => {
            let asked = find(world, &function)?.announce();
            possible(asked, "no driver that would announce itself")
        }
        Request::ResizeDisk { bytes } => {
            world.resize_disk(bytes)?;
            done()
        }
        Request::NeedReset { function } => {
            let live = find(world, &function)?.need_reset();
            possible(live, "no driver is at work")
        }
        other => Err(format!("not for the devices: {other:?}")),
    }
}

/// Done, or `otherwise`.
fn possible(it_was: bool, otherwise: &str) -> Answer {
    match it_was {
        true => done(),
        false => Err(otherwise.into()),
    }
}

fn delay(ms: u64) -> Result<Duration, String> {
    match ms <= MAX_DELAY_MS {
        true => Ok(Duration::from_millis(ms)),
        false => Err(format!("at most {MAX_DELAY_MS} ms")),
    }
}

fn find<'a>(world: &'a mut World, name: &str) -> Result<&'a mut Device, String> {
    let found = world
        .devices
        .iter_mut()
        .find(|device| device.name() == name);
    found.ok_or_else(|| format!("no function {name:?}"))
}

fn state(world: &World) -> State {
    let functions = world
        .devices
        .iter()
        .enumerate()
        .map(|(index, device)| function(device, index == PF || index <= world.enabled_vfs))
        .collect();
    let objects = world.admin.objects.iter().map(|(id, object)| AdminObject {
        id,
        kind: object.purpose.wire(),
        member: object.member,
    });
    let commands = world.admin.counters.iter();
    State {
        functions,
        choices: world.choices,
        link: world.link().map(|link| LinkState {
            up: link.is_up(),
            dropped: link.dropped(),
        }),
        // Which is not a device of this side.
        iommu: IommuState::default(),
        admin: AdminState {
            objects: objects.collect(),
            commands: commands
                .map(|(opcode, &count)| (format!("{opcode:#x}"), count))
                .collect(),
        },
    }
}

fn function(device: &Device, enabled: bool) -> FunctionState {
    let common = device.common();
    let queues = common.queues.iter().zip(0..).map(|(queue, index)| {
        let ring = device.ring(usize::from(index));
        Queue {
            index,
            size: queue.size,
            enabled: queue.enabled,
            vector: queue.vector,
            desc: queue.desc,
            driver: queue.driver,
            device: queue.device,
            next_avail: ring.map_or(0, |ring| ring.next_avail()),
            next_used: ring.map_or(0, |ring| ring.next_used()),
        }
    });
    let mac = device.mac().unwrap_or_default();
    FunctionState {
        name: device.name().into(),
        status: common.status,
        features: common.driver_features,
        stopped: device.stopped(),
        enabled,
        mac: mac.map(|byte| format!("{byte:02x}")).join(":"),
        queues: queues.collect(),
        counters: device.counters,
    }
}

fn parts(device: &Device) -> Answer {
    let mut parts = PartWriter::all(device.max_saved());
    device.save(&mut parts);
    answer(&DeviceParts {
        parts: parts.into_bytes(),
    })
}

fn inject(world: &mut World, injection: Injection) -> Answer {
    if injection.nth == 0 || injection.count == 0 {
        return Err("nth and count start at 1".into());
    }
    let action = match injection.action {
        Wish::Status { status, qualifier } => Action::Fail(Status::new(status, qualifier)),
        Wish::DelayMs(ms) => Action::Delay(delay(ms)?),
        Wish::LateMs(ms) => Action::Late(delay(ms)?),
        Wish::Silence => Action::Silence,
        Wish::ResultSize(size) => Action::ResultSize(size),
        Wish::Withhold(written) => Action::Withhold(written),
        Wish::ResultFill(byte) => Action::ResultFill(byte),
    };
    // The size that a device claims may be any; a result must be made up.
    let made_up = injection.opcode != super::admin::opcode::DEV_PARTS_METADATA_GET;
    if matches!(action, Action::ResultSize(size) if made_up && size > MAX_RESULT_SIZE) {
        return Err(format!("at most {MAX_RESULT_SIZE} bytes"));
    }
    world.admin.faults.inject(Fault {
        opcode: injection.opcode,
        member: injection.member,
        skip: injection.nth - 1,
        count: injection.count,
        action,
    });
    done()
}

fn dma_writes(device: &Device, clear: bool) -> Answer {
    let port = device.port().clone();
    let mut pages = Vec::new();
    port.with_dma(&mut |mem| {
        let log = mem.bitmap();
        pages = log.pages();
        if clear {
            log.clear();
        }
    });
    answer(&DmaWrites { pages })
}
