// SPDX-License-Identifier: GPL-2.0
//! Passes the guest's control channel on to the other host.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};

/// Listens at `place`, and connects who comes, one at a time, with the socket at `path`.
pub fn start(place: SocketAddr, path: &Path) -> Result<()> {
    let listener = TcpListener::bind(place).with_context(|| format!("listening at {place}"))?;
    let path = path.to_owned();
    thread::spawn(move || {
        for caller in listener.incoming().flatten() {
            if let Err(error) = pass(&caller, &path) {
                println!("# relay: {error}");
            }
        }
    });
    Ok(())
}

/// Copies both ways until one end closes.
fn pass(caller: &TcpStream, path: &Path) -> io::Result<()> {
    caller.set_nodelay(true)?;
    let guest = UnixStream::connect(path)?;
    thread::scope(|scope| {
        scope.spawn(|| {
            // However it ends, it has ended.
            let _ = io::copy(&mut &*caller, &mut &guest);
            let _ = guest.shutdown(Shutdown::Both);
        });
        let _ = io::copy(&mut &guest, &mut &*caller);
        let _ = caller.shutdown(Shutdown::Both);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::Ipv4Addr;
    use std::os::unix::net::UnixListener;

    #[test]
    fn words_go_both_ways() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("relay");
        let guest = UnixListener::bind(&path).unwrap();
        // A port that was free a moment ago.
        let place = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap();
        start(place, &path).unwrap();
        for _ in 0..2 {
            let mut caller = TcpStream::connect(place).unwrap();
            let (mut guest, _) = guest.accept().unwrap();
            let mut word = [0; 4];
            caller.write_all(b"ask?").unwrap();
            guest.read_exact(&mut word).unwrap();
            assert_eq!(&word, b"ask?");
            guest.write_all(b"told").unwrap();
            caller.read_exact(&mut word).unwrap();
            assert_eq!(&word, b"told");
        }
    }
}
