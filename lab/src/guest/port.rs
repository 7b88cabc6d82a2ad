// SPDX-License-Identifier: GPL-2.0
//! The control port: requests in, answers out, a line each.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::control::{Answer, PORT, Request};

const PORTS: &str = "/sys/class/virtio-ports";

/// The guest's end of the control channel.
pub struct Port {
    input: BufReader<File>,
    output: File,
}

impl Port {
    /// Opens the port by its name.
    pub fn open() -> Result<Self> {
        for entry in fs::read_dir(PORTS).with_context(|| format!("listing {PORTS}"))? {
            let entry = entry.context("listing ports")?;
            let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            if name.trim_end() == PORT {
                let device = Path::new("/dev").join(entry.file_name());
                let output = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(&device)
                    .with_context(|| format!("opening {device:?}"))?;
                let input = BufReader::new(output.try_clone().context("second handle")?);
                return Ok(Self { input, output });
            }
        }
        bail!("no virtio-serial port named {PORT}")
    }

    /// Waits for the next request. `None`: nobody is connected.
    pub fn request(&mut self) -> Result<Option<Request>> {
        let mut line = String::new();
        if self
            .input
            .read_line(&mut line)
            .context("reading a request")?
            == 0
        {
            return Ok(None);
        }
        let request = serde_json::from_str(&line).with_context(|| format!("request {line:?}"))?;
        Ok(Some(request))
    }

    pub fn answer(&mut self, answer: &Answer) -> Result<()> {
        let mut line = serde_json::to_string(answer).context("encoding an answer")?;
        line.push('\n');
        self.output
            .write_all(line.as_bytes())
            .context("sending an answer")
    }
}
