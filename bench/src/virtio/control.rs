// SPDX-License-Identifier: GPL-2.0
//! The requests of the control protocol that concern the devices. See
//! Documentation/bench.rst for the protocol.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::admin::faults::{Action, Fault};
use super::admin::status::Status;
use super::device::Device;
use super::parts::PartWriter;
use super::parts::extra::{Ballast, ExtraParts};
use super::world::{PF, World};

/// Longest delay of a command.
const MAX_DELAY_MS: u64 = 600_000;
/// Largest result that can be asked for.
const MAX_RESULT_SIZE: u32 = 64 << 20;

type Answer = Result<Value, String>;

#[derive(Deserialize)]
struct FunctionRequest {
    function: String,
}

#[derive(Deserialize)]
struct DmaWrites {
    function: String,
    #[serde(default)]
    clear: bool,
}

#[derive(Deserialize)]
struct PokeExtra {
    function: String,
    position: usize,
    value: u8,
}

#[derive(Deserialize)]
struct SetBallast {
    function: String,
    bytes: usize,
    part_size: usize,
}

#[derive(Deserialize)]
struct TouchBallast {
    function: String,
    parts: usize,
}

#[derive(Deserialize)]
struct SlowDisk {
    delay_ms: u64,
}

#[derive(Deserialize)]
struct Inject {
    opcode: u16,
    member: Option<u64>,
    #[serde(default = "one")]
    nth: u64,
    #[serde(default = "one")]
    count: u64,
    action: InjectAction,
}

fn one() -> u64 {
    1
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum InjectAction {
    Fail { status: u16, qualifier: u16 },
    Delay { delay_ms: u64 },
    Silence { silence: bool },
    ResultSize { result_size: u32 },
    Withhold { written: u32 },
    ResultFill { result_fill: u8 },
}

/// Answers `request`, if it is for the devices.
pub fn answer(world: &mut World, request: &Value) -> Option<Answer> {
    let answer = match request.get("cmd")?.as_str()? {
        "state" => Ok(state(world)),
        "parts" => parts(world, request),
        "inject" => inject(world, request),
        "release" => {
            world.release();
            done()
        }
        "clear-faults" => {
            world.admin.faults.clear();
            done()
        }
        "dma-writes" => dma_writes(world, request),
        "poke-extra" => poke_extra(world, request),
        "ballast" => ballast(world, request),
        "touch-ballast" => touch_ballast(world, request),
        "slow-disk" => slow_disk(world, request),
        _ => return None,
    };
    Some(answer)
}

fn done() -> Answer {
    Ok(json!({"ok": true}))
}

fn parse<T: for<'a> Deserialize<'a>>(request: &Value) -> Result<T, String> {
    T::deserialize(request).map_err(|error| error.to_string())
}

fn find<'a>(world: &'a mut World, name: &str) -> Result<&'a mut Device, String> {
    let found = world
        .devices
        .iter_mut()
        .find(|device| device.name() == name);
    found.ok_or_else(|| format!("no function {name:?}"))
}

fn state(world: &World) -> Value {
    let functions: Vec<Value> = world
        .devices
        .iter()
        .enumerate()
        .map(|(index, device)| function(device, index == PF || index <= world.enabled_vfs))
        .collect();
    let objects: Vec<Value> = world
        .admin
        .objects
        .iter()
        .map(|(id, object)| {
            json!({"id": id, "type": object.purpose.wire(), "member": object.member})
        })
        .collect();
    let commands: serde_json::Map<String, Value> = world
        .admin
        .counters
        .iter()
        .map(|(opcode, &count)| (format!("{opcode:#x}"), count.into()))
        .collect();
    json!({
        "ok": true,
        "functions": functions,
        "choices": world.choices,
        "link": world.link().map(|link| json!({"up": link.is_up(), "dropped": link.dropped()})),
        "admin": {"objects": objects, "commands": commands},
    })
}

fn function(device: &Device, enabled: bool) -> Value {
    let common = device.common();
    let queues: Vec<Value> = common
        .queues
        .iter()
        .enumerate()
        .map(|(index, queue)| {
            let ring = device.ring(index);
            json!({
                "index": index,
                "size": queue.size,
                "enabled": queue.enabled,
                "vector": queue.vector,
                "desc": format!("{:#x}", queue.desc),
                "driver": format!("{:#x}", queue.driver),
                "device": format!("{:#x}", queue.device),
                "next_avail": ring.map_or(0, |ring| ring.next_avail()),
                "next_used": ring.map_or(0, |ring| ring.next_used()),
            })
        })
        .collect();
    let mac = device
        .mac()
        .unwrap_or_default()
        .map(|byte| format!("{byte:02x}"))
        .join(":");
    let counters = &device.counters;
    json!({
        "name": device.name(),
        "status": common.status,
        "features": format!("{:#x}", common.driver_features),
        "stopped": device.stopped(),
        "enabled": enabled,
        "mac": mac,
        "queues": queues,
        "counters": {
            "tx_frames": counters.tx_frames,
            "tx_bytes": counters.tx_bytes,
            "tx_dropped": counters.tx_dropped,
            "rx_frames": counters.rx_frames,
            "rx_bytes": counters.rx_bytes,
            "rx_dropped": counters.rx_dropped,
            "requests": counters.requests,
            "failed_requests": counters.failed_requests,
            "drained_requests": counters.drained_requests,
            "read_bytes": counters.read_bytes,
            "written_bytes": counters.written_bytes,
            "flushes": counters.flushes,
            "interrupts": counters.interrupts,
            "page_writes": counters.page_writes,
        },
    })
}

fn parts(world: &mut World, request: &Value) -> Answer {
    let request: FunctionRequest = parse(request)?;
    let device = find(world, &request.function)?;
    let mut parts = PartWriter::all(device.max_saved());
    device.save(&mut parts);
    let bytes = parts.into_bytes();
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            hex.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    Ok(json!({"ok": true, "parts": hex}))
}

fn inject(world: &mut World, request: &Value) -> Answer {
    let request: Inject = parse(request)?;
    if request.nth == 0 || request.count == 0 {
        return Err("nth and count start at 1".into());
    }
    let action = match request.action {
        InjectAction::Fail { status, qualifier } => Action::Fail(Status::new(status, qualifier)),
        InjectAction::Delay { delay_ms } if delay_ms <= MAX_DELAY_MS => {
            Action::Delay(Duration::from_millis(delay_ms))
        }
        InjectAction::Delay { .. } => return Err(format!("at most {MAX_DELAY_MS} ms")),
        InjectAction::Silence { silence: true } => Action::Silence,
        InjectAction::Silence { silence: false } => {
            return Err("silence is ended by \"release\"".into());
        }
        InjectAction::ResultSize { result_size } => Action::ResultSize(result_size),
        InjectAction::Withhold { written } => Action::Withhold(written),
        InjectAction::ResultFill { result_fill } => Action::ResultFill(result_fill),
    };
    // The size that a device claims may be any; a result must be made up.
    let made_up = request.opcode != super::admin::opcode::DEV_PARTS_METADATA_GET;
    if matches!(action, Action::ResultSize(size) if made_up && size > MAX_RESULT_SIZE) {
        return Err(format!("at most {MAX_RESULT_SIZE} bytes"));
    }
    world.admin.faults.inject(Fault {
        opcode: request.opcode,
        member: request.member,
        skip: request.nth - 1,
        count: request.count,
        action,
    });
    done()
}

fn dma_writes(world: &mut World, request: &Value) -> Answer {
    let request: DmaWrites = parse(request)?;
    let port = find(world, &request.function)?.port().clone();
    let mut pages = Vec::new();
    port.with_dma(&mut |mem| {
        let log = mem.bitmap();
        pages = log
            .pages()
            .iter()
            .map(|page| format!("{page:#x}"))
            .collect();
        if request.clear {
            log.clear();
        }
    });
    Ok(json!({"ok": true, "pages": pages}))
}

fn poke_extra(world: &mut World, request: &Value) -> Answer {
    let request: PokeExtra = parse(request)?;
    match find(world, &request.function)?
        .extra_mut()
        .poke(request.position, request.value)
    {
        true => done(),
        false => Err("beyond the extra parts".into()),
    }
}

fn ballast(world: &mut World, request: &Value) -> Answer {
    let request: SetBallast = parse(request)?;
    let device = find(world, &request.function)?;
    let ballast =
        Ballast::new(request.bytes, request.part_size).map_err(|error| error.to_string())?;
    *device.extra_mut() = ExtraParts::new(ballast);
    done()
}

fn touch_ballast(world: &mut World, request: &Value) -> Answer {
    let request: TouchBallast = parse(request)?;
    match find(world, &request.function)?
        .extra_mut()
        .touch(request.parts)
    {
        true => done(),
        false => Err("there are not so many extra parts".into()),
    }
}

fn slow_disk(world: &mut World, request: &Value) -> Answer {
    let request: SlowDisk = parse(request)?;
    if request.delay_ms > MAX_DELAY_MS {
        return Err(format!("at most {MAX_DELAY_MS} ms"));
    }
    let delay = Duration::from_millis(request.delay_ms);
    let mut any = false;
    for device in &mut world.devices {
        any |= device.set_delay(delay);
    }
    match any {
        true => done(),
        false => Err("no block devices here".into()),
    }
}
