// SPDX-License-Identifier: GPL-2.0
//! The control socket: see [`vfio_bench_protocol`] for what is said there.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use serde::Serialize;
use serde_json::{Map, Value};
use vfio_bench_protocol::client::PROGRAM;
use vfio_bench_protocol::{Hello, MAX_REQUEST, Request, Version};

use crate::assembly::{Assembly, Devices, Ending, function_name};
use crate::iommu::Unit;
use crate::pci::endpoint::Endpoint;

/// The fields of an answer, or why there is none.
pub type Answer = Result<Map<String, Value>, String>;

/// The answer to what is simply done.
pub fn done() -> Answer {
    Ok(Map::new())
}

/// An answer with the fields of `reply`.
pub fn answer(reply: &impl Serialize) -> Answer {
    match serde_json::to_value(reply) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(format!("no object: {other}")),
        Err(error) => Err(error.to_string()),
    }
}

/// What requests act on.
#[derive(Clone)]
pub struct Control {
    devices: Arc<dyn Devices>,
    endpoints: Vec<Arc<Endpoint>>,
    unit: Arc<Unit>,
    ending: Sender<Ending>,
}

impl Control {
    /// Requests act on `bench`; `shutdown` is passed on to `ending`.
    pub fn new(bench: &Assembly, ending: Sender<Ending>) -> Self {
        Self {
            devices: bench.devices().clone(),
            endpoints: bench.endpoints().to_vec(),
            unit: bench.unit().clone(),
            ending,
        }
    }

    fn remove(&self, function: &str, gone: bool) -> Answer {
        let names = (0..).map(function_name);
        let mut named = names.zip(&self.endpoints);
        let (_, endpoint) = named
            .find(|(name, _)| name == function)
            .ok_or_else(|| format!("no function {function:?}"))?;
        endpoint.set_gone(gone);
        done()
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
            let limit = MAX_REQUEST as u64;
            let length = read.by_ref().take(limit).read_until(b'\n', &mut line)?;
            if length == 0 {
                return Ok(());
            }
            let whole = line.ends_with(b"\n") || length < MAX_REQUEST;
            let answer = match whole {
                true => self.answer(&line),
                false => Err(format!("a request has at most {MAX_REQUEST} bytes")),
            };
            let mut fields = answer.unwrap_or_else(|error| {
                let error = error.lines().next().unwrap_or("unknown error");
                let mut fields = Map::new();
                fields.insert("ok".into(), false.into());
                fields.insert("error".into(), error.into());
                fields
            });
            fields.entry("ok").or_insert(true.into());
            let mut text = Value::Object(fields).to_string();
            text.push('\n');
            write.write_all(text.as_bytes())?;
            if !whole {
                return Ok(());
            }
        }
    }

    /// Answers one request.
    pub fn answer(&self, line: &[u8]) -> Answer {
        let request = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        match request {
            Request::Hello {} => answer(&Hello {
                program: PROGRAM.into(),
                version: env!("CARGO_PKG_VERSION").into(),
                protocol: Version::CURRENT,
            }),
            Request::Ping {} => done(),
            Request::DirtyBits { enabled } => {
                self.unit.set_dirty_bits(enabled);
                done()
            }
            Request::Shutdown {} => {
                // The answer may get lost with the process; closing says as much.
                let _ = self.ending.send(Ending::Shutdown);
                done()
            }
            Request::Remove { function, gone } => self.remove(&function, gone),
            Request::State {} => {
                let mut state = self.devices.state()?;
                let iommu = answer(&self.unit.state())?;
                state.insert("iommu".into(), iommu.into());
                Ok(state)
            }
            request => self.devices.control(request),
        }
    }
}
