// SPDX-License-Identifier: GPL-2.0
//! The guest's peer, on the physical function.

use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use vvp_harness::wait;

use crate::traffic::Traffic;
use crate::wire;

/// Listens on the physical function and serves the first guest whose function
/// `index` connects. A peer that was there before must have been closed.
pub fn listen(index: usize) -> Result<Arc<Traffic>> {
    let own = wire::peer(index);
    let listener =
        TcpListener::bind((own, wire::STREAM_PORT)).context("listening for the guest")?;
    let probes = wait::until(
        "the port of the datagrams",
        wait::PATIENCE,
        || match UdpSocket::bind((own, wire::PROBE_PORT)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(None),
            result => result.map(Some).context("UDP socket"),
        },
    )?;
    let traffic = Traffic::new();
    let served = Arc::clone(&traffic);
    thread::spawn(move || {
        if let Err(error) = serve(&listener, probes, &served) {
            // Seen by the reader of the log, and by the verdict: no traffic.
            println!("peer: {error:#}");
        }
    });
    Ok(traffic)
}

fn serve(listener: &TcpListener, probes: UdpSocket, traffic: &Arc<Traffic>) -> Result<()> {
    let (stream, from) = listener.accept().context("accepting the guest")?;
    println!("peer: the guest is connected from {from}");
    traffic.run_stream(stream)?;
    // Only a look: the datagram itself is to be counted as received.
    let (_, from) = probes
        .peek_from(&mut [0; 1])
        .context("waiting for datagrams")?;
    probes.connect(from).context("answering datagrams")?;
    traffic.run_probes(probes)
}
