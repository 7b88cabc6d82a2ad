// SPDX-License-Identifier: GPL-2.0
//! Client of the bench's control socket: one JSON object a line each way.
//!
//! On the development machine it is a unix socket; inside the virtual machine a
//! virtio-serial port named `bench.control` leads to it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Deserialize;
use serde_json::{Value, json};

/// Name of the virtio-serial port.
pub const PORT: &str = "bench.control";

/// Opcodes of the admin commands that migrate a function: device mode, resource objects,
/// device parts.
pub const MIGRATION_OPCODES: [u16; 6] = [0x0a, 0x0d, 0x0e, 0x0f, 0x10, 0x11];

/// How long the bench may take to answer.
const ANSWER: Duration = Duration::from_secs(20);

/// Longest answer accepted; `parts` of a large context is the longest there is.
const LINE_LIMIT: usize = 64 << 20;

/// What one virtqueue looks like in [`State`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Queue {
    pub index: u16,
    pub size: u16,
    pub enabled: bool,
    pub vector: u16,
    #[serde(deserialize_with = "hex_u64")]
    pub desc: u64,
    #[serde(deserialize_with = "hex_u64")]
    pub driver: u64,
    #[serde(deserialize_with = "hex_u64")]
    pub device: u64,
    pub next_avail: u16,
    pub next_used: u16,
}

/// What a function has counted.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Counters {
    pub tx_frames: u64,
    pub tx_bytes: u64,
    pub rx_frames: u64,
    pub rx_bytes: u64,
    pub rx_dropped: u64,
    /// Block requests, those that failed among them.
    pub requests: u64,
    pub failed_requests: u64,
    /// Requests that were in flight when the device was stopped.
    pub drained_requests: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub flushes: u64,
    pub interrupts: u64,
    pub page_writes: u64,
}

/// One PCI function of the bench.
#[derive(Clone, Debug, Deserialize)]
pub struct FunctionState {
    /// `pf`, `vf1`, `vf2`, ...
    pub name: String,
    /// Device status register.
    pub status: u8,
    #[serde(deserialize_with = "hex_u64")]
    pub features: u64,
    /// In the admin command set's STOPPED mode.
    pub stopped: bool,
    pub enabled: bool,
    pub mac: String,
    pub queues: Vec<Queue>,
    pub counters: Counters,
}

/// The IOMMU model's counters.
#[derive(Clone, Debug, Deserialize)]
pub struct IommuState {
    pub enabled: bool,
    pub faults: u64,
    pub walks: u64,
    pub iotlb_hits: u64,
    pub dirty_bits_set: u64,
}

/// A resource object of the admin queue.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct AdminObject {
    pub id: u32,
    #[serde(rename = "type")]
    pub kind: Value,
    pub member: u64,
}

/// The admin queue's side.
#[derive(Clone, Debug, Deserialize)]
pub struct AdminState {
    pub objects: Vec<AdminObject>,
    /// Commands seen, by opcode (`0x..`).
    pub commands: BTreeMap<String, u64>,
}

/// What kind of device the functions are where the standard leaves that open.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Choices {
    /// Device parts of the common configuration are verified and not applied.
    pub verify_common_cfg: bool,
}

/// Answer to `state`.
#[derive(Clone, Debug, Deserialize)]
pub struct State {
    pub functions: Vec<FunctionState>,
    pub choices: Choices,
    pub iommu: IommuState,
    pub admin: AdminState,
}

impl State {
    /// The function called `name`.
    pub fn function(&self, name: &str) -> Result<&FunctionState> {
        self.functions
            .iter()
            .find(|function| function.name == name)
            .with_context(|| format!("the bench has no function '{name}'"))
    }

    /// How many commands the bench has executed.
    pub fn all_commands(&self) -> u64 {
        self.admin.commands.values().sum()
    }

    /// How often the bench has executed `opcode`.
    pub fn commands(&self, opcode: u16) -> u64 {
        self.admin
            .commands
            .iter()
            .filter(|(key, _)| u16::from_str_radix(key.trim_start_matches("0x"), 16) == Ok(opcode))
            .map(|(_, count)| *count)
            .sum()
    }
}

/// What happens to an injected command.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Answer with this status and qualifier, without executing.
    Status { status: u16, qualifier: u16 },
    /// Execute late.
    DelayMs(u64),
    /// Do not answer until released.
    Silence,
    /// The metadata command reports this size.
    ResultSize(u64),
    /// Of the result only this many bytes are written, though the device claims
    /// to have written all.
    Withhold(u64),
    /// Each byte of the result becomes this one.
    ResultFill(u8),
}

impl Action {
    fn to_json(self) -> Value {
        match self {
            Self::Status { status, qualifier } => json!({"status": status, "qualifier": qualifier}),
            Self::DelayMs(ms) => json!({"delay_ms": ms}),
            Self::Silence => json!({"silence": true}),
            Self::ResultSize(size) => json!({"result_size": size}),
            Self::Withhold(written) => json!({"written": written}),
            Self::ResultFill(byte) => json!({"result_fill": byte}),
        }
    }
}

/// A connection to the bench.
pub struct Control {
    wire: OwnedFd,
    /// Bytes received behind the last answer.
    rest: Vec<u8>,
}

impl Control {
    /// Connects to a unix socket.
    pub fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("connecting to {}", path.display()))?;
        stream.set_nonblocking(true).context("control socket")?;
        Self::over(stream.into())
    }

    /// Opens the virtio-serial port, if this machine has it.
    pub fn open_port() -> Result<Option<Self>> {
        let Some(path) = find_port(PORT)? else {
            return Ok(None);
        };
        let port = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        Self::over(port.into()).map(Some)
    }

    /// The bench of this machine: `VVP_CONTROL` (a socket path) or the port.
    pub fn find() -> Result<Option<Self>> {
        match std::env::var_os("VVP_CONTROL") {
            Some(path) => Self::connect(Path::new(&path)).map(Some),
            None => Self::open_port(),
        }
    }

    fn over(wire: OwnedFd) -> Result<Self> {
        let mut control = Self {
            wire,
            rest: Vec::new(),
        };
        // A predecessor that was killed may have left an answer unread on the port.
        while control.readable(Duration::from_millis(5))? && control.receive()? > 0 {}
        control.rest.clear();
        control.ping()?;
        Ok(control)
    }

    fn readable(&self, limit: Duration) -> Result<bool> {
        self.wait(PollFlags::POLLIN, limit)
    }

    fn wait(&self, events: PollFlags, limit: Duration) -> Result<bool> {
        let mut fds = [PollFd::new(self.wire.as_fd(), events)];
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        Ok(poll(&mut fds, timeout).context("polling the control socket")? > 0)
    }

    /// Reads what is there; 0 means nothing was.
    fn receive(&mut self) -> Result<usize> {
        let mut chunk = [0; 65536];
        match nix::unistd::read(&self.wire, &mut chunk) {
            Ok(length) => {
                self.rest.extend_from_slice(&chunk[..length]);
                Ok(length)
            }
            Err(Errno::EAGAIN) => Ok(0),
            Err(errno) => Err(errno).context("reading the control socket"),
        }
    }

    /// Sends one request and returns the whole answer, which said `ok`.
    pub fn request(&mut self, request: &Value) -> Result<Value> {
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        let mut sent = 0;
        while sent < line.len() {
            match nix::unistd::write(&self.wire, &line[sent..]) {
                Ok(length) => sent += length,
                Err(Errno::EAGAIN) => ensure!(
                    self.wait(PollFlags::POLLOUT, ANSWER)?,
                    "the bench does not take requests"
                ),
                Err(errno) => return Err(errno).context("writing to the control socket"),
            }
        }
        let answer: Value = serde_json::from_slice(&self.line()?)
            .with_context(|| format!("answer of the bench to {request}"))?;
        if answer.get("ok") == Some(&Value::Bool(true)) {
            return Ok(answer);
        }
        let error = answer
            .get("error")
            .and_then(Value::as_str)
            .unwrap_or("no reason given");
        bail!("the bench refused {request}: {error}")
    }

    fn line(&mut self) -> Result<Vec<u8>> {
        let start = Instant::now();
        let mut searched = 0;
        loop {
            if let Some(end) = self.rest[searched..].iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.rest.drain(..=searched + end).collect();
                line.pop();
                return Ok(line);
            }
            searched = self.rest.len();
            ensure!(searched < LINE_LIMIT, "endless answer from the bench");
            ensure!(start.elapsed() < ANSWER, "the bench does not answer");
            if self.readable(Duration::from_secs(1))? {
                self.receive()?;
            }
        }
    }

    /// Is it there?
    pub fn ping(&mut self) -> Result<()> {
        self.request(&json!({"cmd": "ping"})).map(drop)
    }

    /// Counters and state of everything.
    pub fn state(&mut self) -> Result<State> {
        let answer = self.request(&json!({"cmd": "state"}))?;
        serde_json::from_value(answer).context("state of the bench")
    }

    /// The device parts of `function` as they are now.
    pub fn parts(&mut self, function: &str) -> Result<Vec<u8>> {
        let answer = self.request(&json!({"cmd": "parts", "function": function}))?;
        let hex = answer
            .get("parts")
            .and_then(Value::as_str)
            .context("no parts in the answer")?;
        from_hex(hex)
    }

    /// Applies `action` to the `nth` matching command from now and `count - 1` following ones.
    pub fn inject(&mut self, opcode: u16, nth: u32, count: u32, action: Action) -> Result<()> {
        self.request(&json!({
            "cmd": "inject", "opcode": opcode, "nth": nth, "count": count, "action": action.to_json(),
        }))
        .map(drop)
    }

    /// Lets silenced commands complete.
    pub fn release(&mut self) -> Result<()> {
        self.request(&json!({"cmd": "release"})).map(drop)
    }

    /// Changes a byte of the ballast in a function's context (`--extra-parts`).
    pub fn poke_extra(&mut self, function: &str, position: usize, value: u8) -> Result<()> {
        let request = json!({
            "cmd": "poke-extra",
            "function": function,
            "position": position,
            "value": value,
        });
        self.request(&request).map(drop)
    }

    /// Gives a function's context this much ballast, in parts of this size.
    pub fn ballast(&mut self, function: &str, bytes: usize, part_size: usize) -> Result<()> {
        let request = json!({
            "cmd": "ballast",
            "function": function,
            "bytes": bytes,
            "part_size": part_size,
        });
        self.request(&request).map(drop)
    }

    /// Changes a byte in each of so many parts of a function's ballast.
    pub fn touch_ballast(&mut self, function: &str, parts: usize) -> Result<()> {
        let request = json!({"cmd": "touch-ballast", "function": function, "parts": parts});
        self.request(&request).map(drop)
    }

    /// Makes block requests take this long from now on.
    pub fn slow_disk(&mut self, delay_ms: u64) -> Result<()> {
        self.request(&json!({"cmd": "slow-disk", "delay_ms": delay_ms}))
            .map(drop)
    }

    /// Removes pending injections.
    pub fn clear_faults(&mut self) -> Result<()> {
        self.request(&json!({"cmd": "clear-faults"})).map(drop)
    }

    /// Lets the IOMMU set dirty bits, or not.
    pub fn dirty_bits(&mut self, enabled: bool) -> Result<()> {
        self.request(&json!({"cmd": "dirty-bits", "enabled": enabled}))
            .map(drop)
    }

    /// The 4 KiB pages that `function` has written, as the model itself saw it.
    pub fn dma_writes(&mut self, function: &str, clear: bool) -> Result<Vec<u64>> {
        let answer =
            self.request(&json!({"cmd": "dma-writes", "function": function, "clear": clear}))?;
        let pages = answer
            .get("pages")
            .and_then(Value::as_array)
            .context("no pages in the answer")?;
        pages
            .iter()
            .map(|page| parse_hex(page.as_str().context("a page that is no string")?))
            .collect()
    }
}

/// The device node of the virtio-serial port called `name`.
fn find_port(name: &str) -> Result<Option<PathBuf>> {
    let Ok(ports) = fs::read_dir("/sys/class/virtio-ports") else {
        return Ok(None);
    };
    for port in ports {
        let port = port.context("listing virtio ports")?;
        let found = fs::read_to_string(port.path().join("name")).unwrap_or_default();
        if found.trim_end() == name {
            return Ok(Some(Path::new("/dev").join(port.file_name())));
        }
    }
    Ok(None)
}

fn parse_hex(text: &str) -> Result<u64> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
        .with_context(|| format!("'{text}' is no number"))
}

fn hex_u64<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_hex(&text).map_err(serde::de::Error::custom)
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    ensure!(
        text.len() % 2 == 0 && text.is_ascii(),
        "not a hexadecimal string"
    );
    (0..text.len() / 2)
        .map(|index| {
            u8::from_str_radix(&text[2 * index..2 * index + 2], 16)
                .context("not a hexadecimal string")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;

    /// A bench that answers the ping of [`Control::over`] and then `answers` in turn.
    fn bench(answers: Vec<String>) -> Control {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            let mut writer = theirs;
            for answer in std::iter::once("{\"ok\":true}".to_owned()).chain(answers) {
                lines.next();
                writeln!(writer, "{answer}").unwrap();
            }
        });
        Control::over(ours.into()).unwrap()
    }

    #[test]
    fn parts_are_bytes() {
        let mut control = bench(vec![r#"{"ok":true,"parts":"00ff10"}"#.into()]);
        assert_eq!(control.parts("vf1").unwrap(), [0, 0xff, 0x10]);
    }

    #[test]
    fn refusals_carry_the_reason() {
        let mut control = bench(vec![r#"{"ok":false,"error":"no such function"}"#.into()]);
        assert!(
            control
                .parts("vf9")
                .unwrap_err()
                .to_string()
                .ends_with("no such function")
        );
    }

    #[test]
    fn requests_about_ballast() {
        let mut control = bench(vec![r#"{"ok":false,"error":"no"}"#.into(); 2]);
        let refused = |request: Value| format!("the bench refused {request}: no");
        assert_eq!(
            control.ballast("vf1", 1000, 64).unwrap_err().to_string(),
            refused(json!({"cmd": "ballast", "function": "vf1", "bytes": 1000, "part_size": 64}))
        );
        assert_eq!(
            control.touch_ballast("vf2", 7).unwrap_err().to_string(),
            refused(json!({"cmd": "touch-ballast", "function": "vf2", "parts": 7}))
        );
    }

    #[test]
    fn long_answers_arrive_whole() {
        let hex = "ab".repeat(300_000);
        let mut control = bench(vec![format!(r#"{{"ok":true,"parts":"{hex}"}}"#)]);
        assert_eq!(control.parts("vf1").unwrap(), vec![0xab; 300_000]);
    }

    #[test]
    fn state() {
        let mut control = bench(vec![
            r#"{"ok":true,"functions":[{"name":"vf1","status":15,"features":"0x100000021","stopped":false,
                "enabled":true,"mac":"52:54:00:00:00:01","queues":[{"index":0,"size":256,"enabled":true,"vector":1,
                "desc":"0x1000","driver":"0x2000","device":"0x3000","next_avail":3,"next_used":2}],
                "counters":{"tx_frames":7}}],
                "choices":{"verify_common_cfg":true,"quiet_resume":false},
                "iommu":{"enabled":true,"faults":1,"walks":2,"iotlb_hits":3,"dirty_bits_set":4,"commands":{}},
                "admin":{"objects":[{"id":1,"type":0,"member":2}],"commands":{"0x10":5}}}"#
                .replace('\n', ""),
        ]);
        let state = control.state().unwrap();
        let vf = state.function("vf1").unwrap();
        assert_eq!(
            (vf.features, vf.queues[0].desc, vf.counters.tx_frames),
            (0x1_0000_0021, 0x1000, 7)
        );
        assert!(state.choices.verify_common_cfg);
        assert_eq!(state.commands(0x10), 5);
        assert!(state.function("vf2").is_err());
    }
}
