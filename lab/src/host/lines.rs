// SPDX-License-Identifier: GPL-2.0
//! JSON objects, a line each, over a socket that QEMU or another host offers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use vvp_harness::wait;

/// How long QEMU may take until a socket of its listens.
const LISTENING: Duration = Duration::from_secs(60);

/// A connection on which lines are sent, and received by a thread.
pub struct Lines {
    output: Box<dyn Write + Send>,
    incoming: Receiver<Value>,
}

impl Lines {
    /// Connects as soon as the socket is there.
    pub fn connect(path: &Path) -> Result<Self> {
        let socket = wait::until(&format!("socket {path:?}"), LISTENING, || {
            Ok(UnixStream::connect(path).ok())
        })?;
        let reader = socket.try_clone().context("second handle of a socket")?;
        Ok(Self::over(reader, socket))
    }

    /// The same over the network.
    pub fn connect_to(place: SocketAddr, limit: Duration) -> Result<Self> {
        let socket = wait::until(&format!("somebody at {place}"), limit, || {
            Ok(TcpStream::connect(place).ok())
        })?;
        socket.set_nodelay(true).context("TCP_NODELAY")?;
        let reader = socket.try_clone().context("second handle of a socket")?;
        Ok(Self::over(reader, socket))
    }

    fn over(input: impl Read + Send + 'static, output: impl Write + Send + 'static) -> Self {
        let reader = BufReader::new(input);
        let (forward, incoming) = channel();
        // Ends with the connection.
        thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                // What is no JSON cannot be an answer to anything.
                let Ok(value) = serde_json::from_str(&line) else {
                    continue;
                };
                if forward.send(value).is_err() {
                    break;
                }
            }
        });
        Self {
            output: Box::new(output),
            incoming,
        }
    }

    pub fn send(&mut self, value: &Value) -> Result<()> {
        self.output
            .write_all(format!("{value}\n").as_bytes())
            .with_context(|| format!("sending {value}"))
    }

    /// The next line, if one arrives until `deadline`.
    pub fn receive(&mut self, deadline: Instant) -> Result<Option<Value>> {
        let limit = deadline.saturating_duration_since(Instant::now());
        match self.incoming.recv_timeout(limit) {
            Ok(value) => Ok(Some(value)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the connection was closed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_go_both_ways() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut lines = Lines::over(ours.try_clone().unwrap(), ours);
        lines.send(&json!({"a": 1})).unwrap();
        let mut sent = String::new();
        BufReader::new(theirs.try_clone().unwrap())
            .read_line(&mut sent)
            .unwrap();
        assert_eq!(sent, "{\"a\":1}\n");
        theirs.write_all(b"noise\r\n{\"b\":2}\r\n").unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        assert_eq!(lines.receive(deadline).unwrap(), Some(json!({"b": 2})));
        assert_eq!(lines.receive(Instant::now()).unwrap(), None);
        drop(theirs);
        assert!(lines.receive(deadline).is_err());
    }
}
