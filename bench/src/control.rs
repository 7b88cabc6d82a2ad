// SPDX-License-Identifier: GPL-2.0
//! The control socket: one JSON object a line each way, several clients at once.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use serde_json::{Value, json};

use crate::assembly::{Devices, Ending};
use crate::iommu::Unit;

/// Longest request, with its newline.
const MAX_LINE: u64 = 64 << 10;

/// What requests act on.
#[derive(Clone)]
pub struct Control {
    devices: Arc<dyn Devices>,
    unit: Arc<Unit>,
    ending: Sender<Ending>,
}

impl Control {
    /// Requests act on these; `shutdown` is passed on to `ending`.
    pub fn new(devices: Arc<dyn Devices>, unit: Arc<Unit>, ending: Sender<Ending>) -> Self {
        Self {
            devices,
            unit,
            ending,
        }
    }

    /// Listens at `path`, with a thread for each client.
    pub fn listen(self, path: &Path) -> io::Result<()> {
        let listener = UnixListener::bind(path)?;
        std::thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                for client in listener.incoming() {
                    let control = self.clone();
                    let served = client.and_then(|client| {
                        std::thread::Builder::new()
                            .name("control-client".into())
                            .spawn(move || control.serve(client))
                    });
                    if let Err(error) = served {
                        tracing::warn!(%error, "control client");
                    }
                }
            })?;
        Ok(())
    }

    fn serve(&self, mut client: UnixStream) {
        let result = client
            .try_clone()
            .and_then(|read| self.converse(read, &mut client));
        if let Err(error) = result {
            tracing::debug!(%error, "control client left");
        }
    }

    fn converse(&self, read: UnixStream, write: &mut impl Write) -> io::Result<()> {
        let mut read = BufReader::new(read);
        loop {
            let mut line = Vec::new();
            let length = read.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
            if length == 0 {
                return Ok(());
            }
            let whole = line.ends_with(b"\n") || (length as u64) < MAX_LINE;
            let answer = match whole {
                true => self.answer(&line),
                false => Err(format!("a request has at most {MAX_LINE} bytes")),
            };
            let answer = answer.unwrap_or_else(|error| {
                let error = error.lines().next().unwrap_or("unknown error");
                json!({"ok": false, "error": error})
            });
            let mut text = answer.to_string();
            text.push('\n');
            write.write_all(text.as_bytes())?;
            if !whole {
                return Ok(());
            }
        }
    }

    /// Answers one request.
    pub fn answer(&self, line: &[u8]) -> Result<Value, String> {
        let request: Value =
            serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
        let command = request.get("cmd").and_then(Value::as_str);
        let ok = json!({"ok": true});
        match command.ok_or("a request is an object with a string \"cmd\"")? {
            "ping" => Ok(ok),
            "dirty-bits" => {
                let enabled = request.get("enabled").and_then(Value::as_bool);
                self.unit
                    .set_dirty_bits(enabled.ok_or("\"enabled\" is true or false")?);
                Ok(ok)
            }
            "shutdown" => {
                // The answer may get lost with the process; closing says as much.
                let _ = self.ending.send(Ending::Shutdown);
                Ok(ok)
            }
            "state" => {
                let mut state = self.devices.control(&request).unwrap_or(Ok(ok))?;
                state["iommu"] = self.unit.describe();
                Ok(state)
            }
            other => self
                .devices
                .control(&request)
                .unwrap_or_else(|| Err(format!("no command {other:?}"))),
        }
    }
}
