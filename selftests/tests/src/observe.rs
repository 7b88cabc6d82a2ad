// SPDX-License-Identifier: GPL-2.0
//! Fixture `observe`: what the driver says of itself is true: debugfs, trace
//! events, kernel log, settings, `.modinfo`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use vvp_harness::control::{Control, REFUSE, opcode};
use vvp_harness::debugfs::{Commands, Files, Moved};
use vvp_harness::kmsg::Log;
use vvp_harness::ktap::Suite;
use vvp_harness::pci::{self, Function};
use vvp_harness::tracefs::{Trace, field};
use vvp_harness::vfio::{Device, State, errno_of};
use vvp_harness::{expect, expect_eq, kmod, note, skip};

use crate::config::{Config, Driver};
use crate::framing;
use crate::rig;
use crate::work::Work;

const LIMIT: Duration = Duration::from_secs(120);

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    type Test = fn(&Config) -> Result<()>;
    let tests: [(&str, Test); 12] = [
        ("bytes_and_records", bytes_and_records),
        ("admin_commands", admin_commands),
        ("failed_command", failed_command),
        ("refused_stream", refused_stream),
        ("trace_of_a_migration", trace_of_a_migration),
        ("trace_of_a_failure", trace_of_a_failure),
        ("open_across_unbind", open_across_unbind),
        ("open_pins_the_module", open_pins_the_module),
        ("interval", interval),
        ("quiet_log", quiet_log),
        ("log_is_limited", log_is_limited),
        ("modinfo", modinfo),
    ];
    for (name, test) in tests {
        let config = Arc::clone(config);
        suite.add_slow("observe", "rs", name, LIMIT, move || test(&config));
    }
}

/// Source and target, and what is seen of them.
struct Pair {
    source: Device,
    target: Device,
    files: [Files; 2],
    work: Work,
}

/// What a client itself knows of a migration.
#[derive(Debug)]
struct Client {
    pre_copy: Moved,
    stop_copy: Moved,
    stream: Vec<u8>,
}

impl Pair {
    fn set_up(config: &Config) -> Result<Self> {
        if !Files::available() {
            skip!("debugfs is not mounted");
        }
        let (vf, vf2) = (config.vf()?, config.vf2()?);
        let source = rig::open(config, &vf, Driver::Rs, config.access)?;
        let target = rig::open_in(config, &vf2, Driver::Rs, source.space())?;
        let work = Work::start(config, &vf, &source)?;
        Ok(Self {
            source,
            target,
            files: [Files::of(&vf), Files::of(&vf2)],
            work,
        })
    }

    /// Pre-copy, the rest, and the loading of it; the state file must tell the
    /// same as the device.
    fn migrate(&mut self) -> Result<Client> {
        let [source, target] = &self.files;
        let same_state = |files: &Files, device: &Device| -> Result<()> {
            expect_eq!(files.state()?, device.state()?.to_string(), "state");
            Ok(())
        };
        let mut fd = self.source.begin(State::PreCopy)?;
        same_state(source, &self.source)?;
        let mut stream = fd.read_available()?;
        let pre_copy = moved(&stream);
        self.work.change()?;
        self.source.go(State::StopCopy)?;
        same_state(source, &self.source)?;
        let rest = fd.read_all()?;
        let stop_copy = moved(&rest);
        stream.extend(rest);
        self.source.go(State::Stop)?;
        same_state(source, &self.source)?;

        let mut fd = rig::resume(&self.target)?;
        same_state(target, &self.target)?;
        fd.write_all(&stream).context("writing the stream")?;
        self.target.go(State::Running)?;
        same_state(target, &self.target)?;
        Ok(Client {
            pre_copy,
            stop_copy,
            stream,
        })
    }

    fn commands(&self) -> Result<[BTreeMap<u16, Commands>; 2]> {
        let [source, target] = &self.files;
        Ok([source.commands()?, target.commands()?])
    }
}

/// Bytes and whole records in a piece of stream that begins with a header.
fn moved(stream: &[u8]) -> Moved {
    const HEADER: usize = 16;
    let (mut at, mut records) = (0, 0);
    while let Some(size) = stream.get(at..at + 8) {
        let size = u64::from_le_bytes(size.try_into().unwrap_or_default());
        at += HEADER + size as usize;
        records += u64::from(at <= stream.len());
    }
    Moved {
        bytes: stream.len() as u64,
        records,
    }
}

fn difference(after: Moved, before: Moved) -> Moved {
    Moved {
        bytes: after.bytes - before.bytes,
        records: after.records - before.records,
    }
}

fn bytes_and_records(config: &Config) -> Result<()> {
    let mut pair = Pair::set_up(config)?;
    let before = [pair.files[0].stream()?, pair.files[1].stream()?];
    let client = pair.migrate()?;
    let after = [pair.files[0].stream()?, pair.files[1].stream()?];
    let count = |device: usize, phase: &str| {
        difference(
            after[device].get(phase).copied().unwrap_or_default(),
            before[device].get(phase).copied().unwrap_or_default(),
        )
    };
    note!("{:?}, then {:?}", client.pre_copy, client.stop_copy);
    expect!(client.pre_copy.records > 0, "pre-copy gave no record");
    expect!(client.stop_copy.records > 0, "STOP_COPY gave no record");
    expect_eq!(count(0, "pre_copy"), client.pre_copy, "source, pre-copy");
    expect_eq!(count(0, "stop_copy"), client.stop_copy, "source, STOP_COPY");
    expect_eq!(count(0, "resuming"), Moved::default(), "source, RESUMING");
    expect_eq!(count(1, "resuming"), moved(&client.stream), "target");
    expect_eq!(count(1, "stop_copy"), Moved::default(), "target, STOP_COPY");

    // Half a record is bytes, and no record yet.
    let before = after[1].get("resuming").copied().unwrap_or_default();
    let mut fd = rig::resume(&pair.target)?;
    fd.write_all(&client.stream[..20]).context("20 bytes")?;
    let half = pair.files[1].stream()?["resuming"];
    let expected = Moved {
        bytes: 20,
        records: 0,
    };
    expect_eq!(difference(half, before), expected, "half a record");
    drop(fd);
    rig::recover(&pair.target)
}

fn admin_commands(config: &Config) -> Result<()> {
    let mut control = config.control()?;
    let mut pair = Pair::set_up(config)?;
    let sum = |commands: &[BTreeMap<u16, Commands>; 2], opcode| -> u64 {
        let counts = commands.iter().filter_map(|of| of.get(&opcode));
        counts.map(|commands| commands.count).sum()
    };
    let seen_before = pair.commands()?;
    let before = control.state()?;
    pair.migrate()?;
    let after = control.state()?;
    let seen = pair.commands()?;
    for opcode in opcode::MIGRATION {
        let given = after.commands(opcode) - before.commands(opcode);
        expect!(given > 0, "a migration does without opcode {opcode:#x}");
        expect_eq!(
            sum(&seen, opcode) - sum(&seen_before, opcode),
            given,
            "commands with opcode {opcode:#x}"
        );
    }
    for (opcode, commands) in seen.iter().flatten() {
        expect!(
            commands.max_ns > 0
                && commands.max_ns <= commands.total_ns
                && commands.total_ns <= commands.max_ns.saturating_mul(commands.count),
            "latencies of opcode {opcode:#x}: {commands:?}"
        );
    }
    Ok(())
}

/// The kernel's messages that name `function` and contain `text`.
fn said(log: &mut Log, function: &Function, text: &str) -> Result<Vec<String>> {
    let address = function.address().to_string();
    let mut messages = log.messages()?;
    messages.retain(|message| message.contains(&address) && message.contains(text));
    Ok(messages)
}

/// Opcode, count and cause of a command that the device refused, and one line in the log.
fn failed_command(config: &Config) -> Result<()> {
    let mut control: Control = config.control()?;
    let vf = config.vf()?;
    let pair = Pair::set_up(config)?;
    let files = &pair.files[0];
    let errors = |files: &Files| -> Result<u64> {
        Ok(files
            .commands()?
            .get(&opcode::DEV_PARTS_GET)
            .map_or(0, |of| of.errors))
    };
    let before = errors(files)?;
    let mut log = Log::follow()?;
    pair.source.go(State::Stop)?;
    for _ in 0..2 {
        control.inject(opcode::DEV_PARTS_GET, 1, 1, REFUSE)?;
        let answer = pair.source.set_state(State::StopCopy).map(drop);
        expect_eq!(answer, Err(Errno::EINVAL), "STOP -> STOP_COPY");
    }
    expect_eq!(errors(files)? - before, 2, "errors of DEV_PARTS_GET");
    let text = "admin command DEV_PARTS_GET failed (errno 22)";
    expect_eq!(files.last_error()?, text, "last error");
    let lines = said(&mut log, &vf, "DEV_PARTS_GET")?;
    expect_eq!(lines.len(), 1, "lines in the log: {lines:?}");
    expect!(lines[0].contains(text), "{lines:?}");
    control.clear_faults()?;
    rig::recover(&pair.source)?;
    // It is the last error, not the present state.
    expect_eq!(files.last_error()?, text, "last error after a reset");

    // After that, the same failure is worth a line again.
    control.inject(opcode::DEV_PARTS_GET, 1, 1, REFUSE)?;
    let answer = pair.source.set_state(State::StopCopy).map(drop);
    expect_eq!(answer, Err(Errno::EINVAL), "to STOP_COPY");
    let lines = said(&mut log, &vf, text)?;
    expect_eq!(lines.len(), 1, "lines in the log: {lines:?}");
    rig::recover(&pair.source)
}

fn refused_stream(config: &Config) -> Result<()> {
    let vf2 = config.vf2()?;
    let pair = Pair::set_up(config)?;
    let files = &pair.files[1];
    let mut log = Log::follow()?;
    let mut fd = rig::resume(&pair.target)?;
    // {size 0, flags 0, tag 0x1234}: mandatory, and nobody knows it.
    let mut record = [0; 16];
    record[12..14].copy_from_slice(&[0x34, 0x12]);
    expect!(fd.write_all(&record).is_err(), "an unknown record is taken");
    expect!(fd.write_all(&record).is_err(), "taken afterwards");
    let answer = pair.target.set_state(State::Stop).map(drop);
    expect!(answer.is_err(), "RESUMING -> STOP: {answer:?}");
    expect_eq!(files.state()?, "ERROR", "state");
    let text = "migration stream: unknown mandatory record (tag 0x1234)";
    let last = files.last_error()?;
    expect!(last.starts_with(text), "last error: {last}");
    let lines = said(&mut log, &vf2, "migration stream")?;
    expect_eq!(lines.len(), 1, "lines in the log: {lines:?}");
    expect!(lines[0].contains(text), "{lines:?}");
    rig::recover(&pair.target)?;
    expect_eq!(files.state()?, "RUNNING", "state after a reset");
    Ok(())
}

fn trace() -> Result<Trace> {
    match Trace::of(kmod::OURS)? {
        Some(trace) => Ok(trace),
        None => skip!("this kernel has no trace events (CONFIG_EVENT_TRACING)"),
    }
}

/// Texts of events that begin with the address of `function`.
fn events(trace: &Trace, event: &str, function: &Function) -> Result<Vec<String>> {
    let address = format!("{} ", function.address());
    let mut events = trace.events(event)?;
    events.retain(|event| event.starts_with(&address));
    Ok(events)
}

/// `from`, `to` and `errno` of arc events.
fn arcs(events: &[String]) -> Vec<(&str, &str, &str)> {
    let of = |event, name| field(event, name).unwrap_or("?");
    events
        .iter()
        .map(|event| (of(event, "from"), of(event, "to"), of(event, "errno")))
        .collect()
}

fn trace_of_a_migration(config: &Config) -> Result<()> {
    let (vf, vf2) = (config.vf()?, config.vf2()?);
    let mut pair = Pair::set_up(config)?;
    let before = pair.commands()?;
    let trace = trace()?;
    let client = pair.migrate()?;
    let after = pair.commands()?;

    expect_eq!(
        arcs(&events(&trace, "arc", &vf)?),
        [
            ("RUNNING", "PRE_COPY", "0"),
            ("PRE_COPY", "PRE_COPY_P2P", "0"),
            ("PRE_COPY_P2P", "STOP_COPY", "0"),
            ("STOP_COPY", "STOP", "0"),
        ],
        "arcs of the source"
    );
    expect_eq!(
        arcs(&events(&trace, "arc", &vf2)?),
        [
            ("RUNNING", "RUNNING_P2P", "0"),
            ("RUNNING_P2P", "STOP", "0"),
            ("STOP", "RESUMING", "0"),
            ("RESUMING", "STOP", "0"),
            ("STOP", "RUNNING_P2P", "0"),
            ("RUNNING_P2P", "RUNNING", "0"),
        ],
        "arcs of the target"
    );

    for (function, phase, expected) in [
        (&vf, "pre_copy", client.pre_copy),
        (&vf, "stop_copy", client.stop_copy),
        (&vf2, "resuming", moved(&client.stream)),
    ] {
        let mut records = events(&trace, "record", function)?;
        records.retain(|event| field(event, "phase") == Some(phase));
        let sizes = records.iter().filter_map(|event| field(event, "size"));
        let sizes: Vec<u64> = sizes.map(str::parse).collect::<Result<_, _>>()?;
        let traced = Moved {
            bytes: sizes.iter().map(|size| size + 16).sum(),
            records: sizes.len() as u64,
        };
        expect_eq!(traced, expected, "records in {phase}");
    }

    for (at, function) in [&vf, &vf2].into_iter().enumerate() {
        let commands = events(&trace, "admin_command", function)?;
        for opcode in opcode::MIGRATION {
            let text = format!("{opcode:#04x}");
            let traced = commands
                .iter()
                .filter(|event| field(event, "opcode") == Some(&text))
                .count() as u64;
            let count = |commands: &BTreeMap<u16, Commands>| {
                commands.get(&opcode).copied().unwrap_or_default().count
            };
            let counted = count(&after[at]) - count(&before[at]);
            expect_eq!(traced, counted, "opcode {text} of {}", function.address());
        }
        let failed = commands.iter().any(|c| field(c, "errno") != Some("0"));
        expect!(!failed, "{commands:?}");
    }
    Ok(())
}

fn trace_of_a_failure(config: &Config) -> Result<()> {
    let mut control = config.control()?;
    let vf = config.vf()?;
    let pair = Pair::set_up(config)?;
    let trace = trace()?;
    pair.source.go(State::Stop)?;
    control.inject(opcode::DEV_PARTS_GET, 1, 1, REFUSE)?;
    let answer = pair.source.set_state(State::StopCopy).map(drop);
    expect_eq!(answer, Err(Errno::EINVAL), "STOP -> STOP_COPY");
    let traced = events(&trace, "arc", &vf)?;
    expect_eq!(
        arcs(&traced).last(),
        Some(&("STOP", "STOP_COPY", "-22")),
        "the last arc"
    );
    let commands = events(&trace, "admin_command", &vf)?;
    let failed: Vec<_> = commands
        .iter()
        .filter(|event| field(event, "errno") != Some("0"))
        .map(|event| (field(event, "opcode"), field(event, "errno")))
        .collect();
    expect_eq!(failed, [(Some("0x0f"), Some("-22"))], "failed commands");
    control.clear_faults()?;
    rig::recover(&pair.source)
}

/// Files opened before the device is unbound are dead afterwards, and do no harm.
fn open_across_unbind(config: &Config) -> Result<()> {
    let pair = Pair::set_up(config)?;
    let vf = config.vf()?;
    let files = pair.files[0].clone();
    drop(pair);
    let mut opened = Vec::new();
    for name in ["state", "stream", "admin_commands", "last_error"] {
        let path = files.path(name);
        let mut file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        file.read_exact(&mut [0; 1]).context("one byte")?;
        opened.push(file);
    }
    vf.unbind()?;
    expect!(!files.exist(), "the files of an unbound device");
    let mut expect_dead = || -> Result<()> {
        for file in &mut opened {
            let answer = file.read(&mut [0; 64]).map_err(errno_of);
            expect_eq!(answer, Err(Errno::EIO), "reading a file of the past");
        }
        Ok(())
    };
    expect_dead()?;
    config.bind(&vf, Driver::Rs)?;
    expect_eq!(files.state()?, "RUNNING", "state of the device bound anew");
    expect_eq!(files.last_error()?, "none", "its last error");
    expect_dead()
}

/// The file operations of an open file are the module's.
fn open_pins_the_module(config: &Config) -> Result<()> {
    let pair = Pair::set_up(config)?;
    let functions = [config.vf()?, config.vf2()?];
    let path = pair.files[0].path("state");
    drop(pair);
    let name = config.module_name(Driver::Rs);
    let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
    for function in &functions {
        function.unbind()?;
    }
    expect_eq!(
        kmod::unload(&name),
        Err(Errno::EWOULDBLOCK),
        "unloading with a file open"
    );
    drop(file);
    expect_eq!(kmod::unload(&name), Ok(()), "unloading afterwards");
    Ok(())
}

fn interval_file(function: &Function) -> PathBuf {
    function.path().join("precopy_interval_ms")
}

fn interval(config: &Config) -> Result<()> {
    let (vf, vf2) = (config.vf()?, config.vf2()?);
    let pair = Pair::set_up(config)?;
    let read = |function: &Function| -> Result<String> {
        let text = fs::read_to_string(interval_file(function)).context("the interval")?;
        Ok(text.trim_end().to_owned())
    };
    let asked = || -> Result<u64> {
        Ok(pair.commands()?[0]
            .get(&opcode::DEV_PARTS_GET)
            .map_or(0, |commands| commands.count))
    };
    expect_eq!(read(&vf)?, "1000", "the interval by default");

    pci::write(&interval_file(&vf), "0\n")?;
    expect_eq!(read(&vf)?, "0", "the interval");
    expect_eq!(read(&vf2)?, "1000", "the other device's interval");
    let mut fd = pair.source.begin(State::PreCopy)?;
    fd.read_available()?;
    let before = asked()?;
    for _ in 0..20 {
        fd.precopy().context("VFIO_MIG_GET_PRECOPY_INFO")?;
    }
    expect_eq!(asked()? - before, 20, "readings without an interval");

    // In a session that has begun, too.
    let hour = (60 * 60 * 1000).to_string();
    pci::write(&interval_file(&vf), &hour)?;
    let before = asked()?;
    for _ in 0..20 {
        fd.precopy().context("VFIO_MIG_GET_PRECOPY_INFO")?;
    }
    expect_eq!(asked()? - before, 0, "readings within an hour");
    rig::recover(&pair.source)?;

    for nonsense in ["", "x", "-1", "4294967296", "1 2"] {
        let written = fs::write(interval_file(&vf), nonsense).map_err(errno_of);
        let refused = matches!(written, Err(Errno::EINVAL | Errno::ERANGE));
        // A write of nothing never reaches the driver.
        expect!(refused || nonsense.is_empty(), "'{nonsense}': {written:?}");
        expect_eq!(read(&vf)?, hour, "the interval after '{nonsense}'");
    }

    // What was set goes with the binding.
    drop((fd, pair));
    for function in [&vf, &vf2] {
        function.unbind()?;
    }
    expect!(!interval_file(&vf).exists(), "the setting without a driver");
    let name = config.module_name(Driver::Rs);
    expect_eq!(kmod::unload(&name), Ok(()), "unloading");
    kmod::load(&name, "precopy_interval_ms=77")?;
    config.bind(&vf, Driver::Rs)?;
    expect_eq!(read(&vf)?, "77", "the interval by module parameter");
    vf.unbind()?;
    expect_eq!(kmod::unload(&name), Ok(()), "unloading");
    Ok(())
}

/// Whoever has the device can make it fail, in ever new ways and without end.
fn log_is_limited(config: &Config) -> Result<()> {
    /// Lines in a period, and its length in seconds.
    const BURST: u64 = 10;
    const PERIOD: u64 = 5;
    const FAILURES: u64 = 100;
    let vf = config.vf()?;
    let device = rig::open(config, &vf, Driver::Rs, config.access)?;
    let mut log = Log::follow()?;
    let start = Instant::now();
    for failure in 0..FAILURES {
        let mut fd = rig::resume(&device)?;
        // A record with a tag of its own, which nobody knows.
        let unknown = framing::record(0, 0, 0x1000 + failure as u32, &[]);
        expect_eq!(fd.write_all(&unknown), Err(Errno::EPROTO), "an unknown tag");
        rig::recover(&device)?;
    }
    let lines = said(&mut log, &vf, "migration stream")?.len() as u64;
    let most = BURST * (start.elapsed().as_secs() / PERIOD + 2);
    expect!(lines > 0, "nothing was said");
    expect!(
        lines <= most && lines < FAILURES,
        "{lines} lines of {FAILURES} failures, {most} are allowed"
    );
    note!("{lines} lines of {FAILURES} failures");
    Ok(())
}

/// A migration that succeeds is not worth a line.
fn quiet_log(config: &Config) -> Result<()> {
    let mut pair = Pair::set_up(config)?;
    let mut log = Log::follow()?;
    pair.migrate()?;
    drop(pair);
    // Others may say what they like.
    let mut messages = log.messages()?;
    let name = config.driver_name(Driver::Rs);
    let own = [config.vf()?, config.vf2()?].map(|vf| vf.address().to_string());
    messages.retain(|line| line.contains(name) || own.iter().any(|vf| line.contains(vf)));
    expect!(messages.is_empty(), "the log has {messages:?}");
    Ok(())
}

fn modinfo(config: &Config) -> Result<()> {
    let Some(file) = kmod::source(&config.module_name(Driver::Rs)) else {
        skip!("no module file was given (VVP_MODULE)");
    };
    let info = |key| kmod::info(&file, key);
    expect_eq!(info("license")?, ["GPL"], "license");
    for key in ["author", "description", "vermagic"] {
        let values = info(key)?;
        expect!(values.iter().any(|v| !v.is_empty()), "{key}: {values:?}");
    }
    expect_eq!(info("import_ns")?, ["IOMMUFD"], "namespaces");
    // Every parameter has a type and a description.
    let names = |key| -> Result<Vec<String>> {
        let mut names = Vec::new();
        for value in info(key)? {
            let (name, text) = value.split_once(':').context("no colon")?;
            ensure!(!text.is_empty(), "parameter {name} has no {key}");
            names.push(name.to_owned());
        }
        Ok(names)
    };
    let parameters = names("parm")?;
    expect_eq!(names("parmtype")?, parameters, "parameters with a type");
    for name in ["precopy_interval_ms", "precopy_delta", "stream_checksum"] {
        expect!(parameters.iter().any(|p| p == name), "{parameters:?}");
    }
    for (device, what) in [("1041", "network"), ("1042", "block")] {
        let wanted = format!("vfio_pci:v00001AF4d0000{device}sv*sd*bc*sc*i*");
        let aliases = kmod::aliases(&file)?;
        expect!(aliases.contains(&wanted), "{what}: {aliases:?}");
    }
    Ok(())
}
